"""
The rules for the name of an alias: how it is written, and which names are not for everybody.

A name is a local part in lower case, ``*`` (the catch-all) or ``/regex/``. Pure functions like
those of ``validation``, which offers them too.

Two names are never equal to the eye: they are stored in NFC, and hold nothing invisible, no
scripts mixed, no characters that only stand for others. (RFC 8265 §3.3, which wants the same of
user names.) RFC 5321 §4.1.2 and RFC 6531 §3.3 (local parts), RFC 2142 (names with a role).
"""

import re
import unicodedata
from collections.abc import Iterable

from fe_mail.accounts.patterns import compile_pattern, is_pattern
from fe_mail.model.address import MAX_LOCAL_OCTETS, folded, parse_address
from fe_mail.model.errors import Invalid
from fe_mail.model.scripts import has_hidden, is_mixed, is_plain
from fe_mail.model.sentence import Paragraph, Sentence

__all__ = ["alias_name", "normalized_name", "refuse_reserved"]

_REPEATED = re.compile(r"(?P<unit>.+?)(?P=unit)+\Z")
_QUOTED_NAME = re.compile(r"[\x21\x23-\x5b\x5d-\x7e\u00a1-\U0010ffff]+\Z")

# Names that mean somebody in charge. RFC 2142, and what people take for an authority.
_RESERVED = frozenset(
    """
    abuse admin administrator billing compliance dmarc dnsadmin help hostmaster info investor
    it legal mailer-daemon maildaemon majordomo marketing media mis moderator news no-reply
    noc noreply nobody notifications owner payments postmaster press privacy root sales
    security ssladmin ssladministrator sslwebmaster staff support sysadmin system team tls
    tlsadmin trouble usenet uucp webmaster www
    """.split()  # noqa: SIM905  # a block of words reads better
)
# Of these even a part of the name is refused: "root-login", "my.postmaster".
_AUTHORITIES = frozenset(
    """
    abuse admin administrator hostmaster mailerdaemon noreply postmaster root security
    ssladmin sysadmin webmaster
    """.split()  # noqa: SIM905  # a block of words reads better
)


def normalized_name(text: str) -> str:
    """The form in which the name of an alias is stored and looked up."""
    return unicodedata.normalize("NFC", text) if is_pattern(text) else folded(text)


def alias_name(value: object, domain: str) -> str:
    """A local part, ``*`` or ``/regex/``; whether the caller may have it is asked elsewhere."""
    name = value.strip() if isinstance(value, str) else ""
    if is_pattern(name) and name.isprintable():
        name = normalized_name(name)
        compile_pattern(name)
        return name
    name = normalized_name(name)
    if len(name) > MAX_LOCAL_OCTETS:
        raise _bad_name(Sentence("The alias is too long."))
    if "*" in name and (name == "*" or _REPEATED.match(name)):
        return "*"
    if name.startswith("!") or "+" in name or not _QUOTED_NAME.match(name):
        raise _bad_name(
            Sentence("An alias may not begin with ! nor hold +, blanks or quotation marks.")
            if name
            else Sentence("An alias needs a name.")
        )
    _refuse_deceptive(name)
    try:
        return parse_address(f"{name}@{domain}").local_key
    except Invalid as error:
        raise _bad_name(error.sentence) from None


def _refuse_deceptive(name: str) -> None:
    if has_hidden(name) or unicodedata.combining(name[0]):
        raise _bad_name(Sentence("The alias holds characters that cannot be seen."))
    if is_mixed(name):
        raise _bad_name(
            Sentence("The alias mixes letters of several scripts, so it may look like another.")
        )
    if not is_plain(name):
        raise _bad_name(Sentence("The alias holds characters that only stand for others."))


def _bad_name(sentence: Sentence | Paragraph) -> Invalid:
    return Invalid(sentence, field="name", code="INVALID_ALIAS_NAME")


def refuse_reserved(name: str, restricted: Iterable[str]) -> None:
    """``Invalid`` for names that would pass as an authority; admins may have them."""
    bare = _letters(name)
    is_taken = (
        name in _RESERVED
        or bare in {_letters(word) for word in _RESERVED}
        or any(bare.startswith(word) or bare.endswith(word) for word in _AUTHORITIES)
        or name in {folded(word) for word in restricted}
    )
    if is_taken:
        raise Invalid(
            "This name is reserved. Only an admin of the domain can add it.",
            field="name",
            code="RESERVED_WORD_ADMIN_REQUIRED",
        )


def _letters(name: str) -> str:
    """Without accents and what stands between the letters."""
    return re.sub(r"[^a-z0-9]", "", unicodedata.normalize("NFKD", name.lower()))
