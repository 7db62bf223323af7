"""
Command lines: from the octets between two CRLFs to a frozen value.

Nothing here knows a session; a line that cannot be understood raises ``CommandError`` with the
reply it deserves. Source routes are read and ignored, a path without a domain is allowed for
``<Postmaster>`` alone, and parameters that were not offered are refused, not dropped.

RFC 5321 §4.1 (commands), §4.1.2 (paths); RFC 1870 (SIZE); RFC 6152 (8BITMIME); RFC 6531
(SMTPUTF8); RFC 3030 (BDAT); RFC 3461 §4 (DSN); RFC 4954 (AUTH); RFC 3207 (STARTTLS).
"""

import re
from collections.abc import Callable, Mapping

import attrs

from fe_mail.model.address import Address, parse_address
from fe_mail.model.errors import Invalid
from fe_mail.model.status import Status
from fe_mail.smtp.wire import decode_xtext

__all__ = [
    "Auth",
    "Bdat",
    "Command",
    "CommandError",
    "Data",
    "Ehlo",
    "Expn",
    "Foreign",
    "Grammar",
    "Helo",
    "Help",
    "Mail",
    "Noop",
    "Quit",
    "Rcpt",
    "Rset",
    "StartTLS",
    "Vrfy",
]

MAX_HELO_OCTETS = 255
MAX_SIZE_DIGITS = 20  # RFC 1870 §3
MAX_ENVELOPE_ID_OCTETS = 100  # RFC 3461 §4.4
MAX_ORIGINAL_RECIPIENT_OCTETS = 500  # RFC 3461 §4.2

_HELO = re.compile(r"[!#-'*+\-./0-9:=?A-Z\[\]^_`{|}~]+\Z", re.IGNORECASE | re.ASCII)
_PARAMETER = re.compile(r"([A-Z0-9][A-Z0-9-]*)(?:=([^\x00-\x20=\x7f]+))?\Z", re.IGNORECASE)
# A path in angle brackets; a quoted local part may hold ">" and spaces.
_PATH = re.compile(r'\s*<((?:"(?:[^"\\]|\\.)*"|[^<>"\s])*)>(?:\s+(.*))?\Z', re.DOTALL)
_SOURCE_ROUTE = re.compile(r"@[^,:@]+(?:,@[^,:@]+)*:")
_ORIGINAL = re.compile(r"[A-Za-z0-9-]+;(.+)\Z")
_NOTIFY = frozenset({"SUCCESS", "FAILURE", "DELAY"})
# A browser that was made to talk to us (cross-protocol attacks) is not worth an answer.
_FOREIGN_VERBS = frozenset({"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "POST", "PUT"})


class CommandError(Invalid):
    """A line that is no valid command, and what is said to that."""

    def __init__(self, code: int, enhanced: str, message: str) -> None:
        super().__init__(message)
        self.status = Status(code, enhanced, message)


@attrs.frozen
class Helo:
    """HELO."""

    name: str


@attrs.frozen
class Ehlo:
    """EHLO."""

    name: str


@attrs.frozen(kw_only=True)
class Mail:
    """MAIL FROM. ``reverse_path`` None is ``<>``; ``size_octets`` 0 means unknown."""

    reverse_path: Address | None
    size_octets: int = 0
    is_8bit: bool = False
    is_utf8: bool = False
    dsn_return: str = ""
    envelope_id: str = ""  # xtext as given, so that it cannot break a header


@attrs.frozen(kw_only=True)
class Rcpt:
    """RCPT TO. ``needs_utf8`` when the path as written is not ASCII."""

    address: Address
    needs_utf8: bool = False
    notify: tuple[str, ...] = ()
    original: str = ""


@attrs.frozen
class Data:
    """DATA."""


@attrs.frozen(kw_only=True)
class Bdat:
    """BDAT: ``size_octets`` follow at once."""

    size_octets: int
    is_last: bool = False


@attrs.frozen
class Rset:
    """RSET."""


@attrs.frozen
class Noop:
    """NOOP."""


@attrs.frozen
class Quit:
    """QUIT."""


@attrs.frozen
class Help:
    """HELP."""


@attrs.frozen
class Vrfy:
    """VRFY."""


@attrs.frozen
class Expn:
    """EXPN."""


@attrs.frozen
class StartTLS:
    """STARTTLS."""


@attrs.frozen(kw_only=True)
class Auth:
    """AUTH. ``initial`` is the initial response as written, None if there was none."""

    mechanism: str
    initial: bytes | None = attrs.field(default=None, repr=False)


@attrs.frozen
class Foreign:
    """The first line of another protocol."""

    verb: str


Command = (
    Auth | Bdat | Data | Ehlo | Expn | Foreign | Helo | Help | Mail | Noop | Quit | Rcpt | Rset
    | StartTLS | Vrfy
)  # fmt: skip


@attrs.frozen(kw_only=True)
class Grammar:
    """
    What one listener understands: ``hostname`` completes ``<Postmaster>``.

    ``takes_any_name``: mail programs say of their machine what its owner called it, and a name
    that proves nothing is no reason to refuse (RFC 5321 §4.1.4).
    """

    hostname: str
    has_dsn: bool = False
    has_auth: bool = False
    takes_any_name: bool = False

    def parse(self, line: bytes) -> Command:
        """The command of a line without its CRLF. ``CommandError``."""
        text = self._text(line).rstrip(" \t")
        verb, _, rest = text.partition(" ")
        verb = verb.upper()
        parse = _VERBS.get(verb)
        if parse is not None:
            return parse(self, rest)
        if verb in _FOREIGN_VERBS:
            return Foreign(verb)
        raise CommandError(500, "5.5.2", "Command not recognized")

    def _text(self, line: bytes) -> str:
        """UTF-8; but a machine may be named in the octets of its own character set."""
        try:
            return line.decode("utf-8")
        except UnicodeDecodeError:
            if self.takes_any_name and line[:5].upper() in (b"EHLO ", b"HELO "):
                return line.decode("latin-1")
            raise CommandError(500, "5.5.2", "The command is not UTF-8") from None


def _helo(grammar: Grammar, rest: str) -> Helo:
    return Helo(_helo_name(grammar, rest))


def _ehlo(grammar: Grammar, rest: str) -> Ehlo:
    return Ehlo(_helo_name(grammar, rest))


def _helo_name(grammar: Grammar, rest: str) -> str:
    name = rest.strip(" \t")
    is_name = name.isprintable() if grammar.takes_any_name else _HELO.match(name)
    if not name or len(name) > MAX_HELO_OCTETS or not is_name:
        raise CommandError(501, "5.5.4", "Syntax: EHLO followed by your host name")
    return name


def _mail(grammar: Grammar, rest: str) -> Mail:
    path, parameters = _split_path(rest, "FROM:", "MAIL FROM:<address>")
    known: tuple[str, ...] = ("SIZE", "BODY", "SMTPUTF8")
    known += ("RET", "ENVID") if grammar.has_dsn else ()
    known += ("AUTH",) if grammar.has_auth else ()
    values = _parameters(parameters, known)
    is_utf8 = _flag(values, "SMTPUTF8")
    if not path.isascii() and not is_utf8:
        raise CommandError(553, "5.6.7", "A sender address outside ASCII needs SMTPUTF8")
    if "AUTH" in values:  # RFC 4954 §5: accepted, and not believed
        _xtext(values["AUTH"], "AUTH")
    return Mail(
        reverse_path=_reverse_path(path),
        size_octets=_number(values.get("SIZE", "0"), "SIZE"),
        is_8bit=_choice(values, "BODY", ("7BIT", "8BITMIME")) == "8BITMIME",
        is_utf8=is_utf8,
        dsn_return=_choice(values, "RET", ("FULL", "HDRS")),
        envelope_id=_envelope_id(values.get("ENVID", "")),
    )


def _rcpt(grammar: Grammar, rest: str) -> Rcpt:
    path, parameters = _split_path(rest, "TO:", "RCPT TO:<address>")
    values = _parameters(parameters, ("NOTIFY", "ORCPT") if grammar.has_dsn else ())
    return Rcpt(
        address=_forward_path(path, grammar.hostname),
        needs_utf8=not path.isascii(),
        notify=_notify(values.get("NOTIFY", "")),
        original=_original(values.get("ORCPT", "")),
    )


def _bdat(grammar: Grammar, rest: str) -> Bdat:
    words = rest.split()
    if not 1 <= len(words) <= 2 or (len(words) == 2 and words[1].upper() != "LAST"):
        raise CommandError(501, "5.5.4", "Syntax: BDAT size [LAST]")
    return Bdat(size_octets=_number(words[0], "The size"), is_last=len(words) == 2)


def _auth(grammar: Grammar, rest: str) -> Auth:
    words = rest.split(" ")
    if not words[0] or len(words) > 2 or not rest.isascii():
        raise CommandError(501, "5.5.4", "Syntax: AUTH mechanism [initial-response]")
    initial = words[1].encode("ascii") if len(words) == 2 else None
    return Auth(mechanism=words[0].upper(), initial=initial)


def _bare(kind: Callable[[], Command], name: str) -> Callable[[Grammar, str], Command]:
    """A command that takes no argument (RFC 5321 §4.1.1)."""

    def parse(grammar: Grammar, rest: str) -> Command:
        if rest.strip():
            raise CommandError(501, "5.5.4", f"{name} takes no argument")
        return kind()

    return parse


_VERBS: Mapping[str, Callable[[Grammar, str], Command]] = {
    "AUTH": _auth,
    "BDAT": _bdat,
    "DATA": _bare(Data, "DATA"),
    "EHLO": _ehlo,
    "EXPN": lambda grammar, rest: Expn(),
    "HELO": _helo,
    "HELP": lambda grammar, rest: Help(),
    "MAIL": _mail,
    "NOOP": lambda grammar, rest: Noop(),
    "QUIT": _bare(Quit, "QUIT"),
    "RCPT": _rcpt,
    "RSET": _bare(Rset, "RSET"),
    "STARTTLS": _bare(StartTLS, "STARTTLS"),
    "VRFY": lambda grammar, rest: Vrfy(),
}


def _split_path(rest: str, keyword: str, syntax: str) -> tuple[str, str]:
    """The path without its brackets, and the parameters behind it."""
    rest = rest.lstrip(" ")
    match = _PATH.match(rest[len(keyword) :]) if rest.upper().startswith(keyword) else None
    if match is None:
        raise CommandError(501, "5.5.4", f"Syntax: {syntax}")
    return match[1], match[2] or ""


def _reverse_path(path: str) -> Address | None:
    return _address(path, "5.1.7") if path else None


def _forward_path(path: str, hostname: str) -> Address:
    if path.lower() == "postmaster":  # RFC 5321 §4.1.1.3
        return _address(f"{path}@{hostname}", "5.1.3")
    return _address(path, "5.1.3")


def _address(path: str, enhanced: str) -> Address:
    route = _SOURCE_ROUTE.match(path)  # RFC 5321 §4.1.1.3: ignore it
    try:
        return parse_address(path[route.end() :] if route else path)
    except Invalid as error:
        raise CommandError(553, enhanced, error.message) from None


def _parameters(text: str, known: tuple[str, ...]) -> dict[str, str]:
    values: dict[str, str] = {}
    for word in text.split():
        match = _PARAMETER.match(word)
        name = match[1].upper() if match else ""
        if match is None or name in values:
            raise CommandError(501, "5.5.4", "The parameters are malformed or repeated")
        if name not in known:
            raise CommandError(555, "5.5.4", f"The parameter {name} is not supported")
        values[name] = match[2] or ""
    return values


def _flag(values: Mapping[str, str], name: str) -> bool:
    if values.get(name):
        raise CommandError(501, "5.5.4", f"{name} takes no value")
    return name in values


def _choice(values: Mapping[str, str], name: str, allowed: tuple[str, ...]) -> str:
    value = values[name].upper() if name in values else ""
    if name in values and value not in allowed:
        raise CommandError(501, "5.5.4", f"{name} must be {' or '.join(allowed)}")
    return value


def _number(text: str, name: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= MAX_SIZE_DIGITS):
        raise CommandError(501, "5.5.4", f"{name} must be a number of octets")
    return int(text)


def _xtext(text: str, name: str) -> str:
    try:
        return decode_xtext(text)
    except Invalid:
        raise CommandError(501, "5.5.4", f"{name} is not valid xtext") from None


def _envelope_id(text: str) -> str:
    if len(text) > MAX_ENVELOPE_ID_OCTETS:
        raise CommandError(501, "5.5.4", "ENVID is too long")
    _xtext(text, "ENVID")
    return text


def _notify(text: str) -> tuple[str, ...]:
    words = tuple(text.upper().split(",")) if text else ()
    if words == ("NEVER",):
        return words
    if len(set(words)) != len(words) or not _NOTIFY.issuperset(words):
        raise CommandError(501, "5.5.4", "NOTIFY must be NEVER or some of SUCCESS,FAILURE,DELAY")
    return words


def _original(text: str) -> str:
    if not text:
        return ""
    match = _ORIGINAL.match(text)
    if match is None or len(text) > MAX_ORIGINAL_RECIPIENT_OCTETS:
        raise CommandError(501, "5.5.4", "ORCPT must be a type, a semicolon and an address")
    if match[1].isascii():  # RFC 6533 §3 allows UTF-8 as it is
        _xtext(match[1], "ORCPT")
    elif not match[1].isprintable():
        raise CommandError(501, "5.5.4", "ORCPT has characters that are not allowed")
    return text
