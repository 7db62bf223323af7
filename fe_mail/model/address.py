"""
Mailbox addresses as SMTP knows them: ``local@domain``.

The domain is kept as lower-case A-labels (IDNA 2008), so that every comparison is one of
octets; the local part keeps its case, and is compared without it (RFC 5321 §2.4 allows it) and in
Unicode's NFC. Quotes that change nothing are dropped, and so are needless backslashes, so that
``"john"`` is ``john`` for routing, identities and login alike (RFC 5321 §4.1.2: the least quoting
possible). People are shown U-labels.
RFC 5321 §4.1.2 (grammar), §4.5.3.1 (sizes); RFC 6531 §3.3 (UTF-8); RFC 6532 §3.1 (NFC);
RFC 5890 §2.3.2.1 (labels).
"""

import ipaddress
import re
import unicodedata

import attrs
import idna

from fe_mail.model.errors import Invalid
from fe_mail.model.scripts import has_hidden, is_mixed, is_pretending

__all__ = [
    "MAX_ADDRESS_OCTETS",
    "MAX_DOMAIN_OCTETS",
    "MAX_LOCAL_OCTETS",
    "Address",
    "display_address",
    "display_domain",
    "folded",
    "normalize_domain",
    "parse_address",
]

MAX_LOCAL_OCTETS = 64
MAX_DOMAIN_OCTETS = 255
MAX_ADDRESS_OCTETS = 254

_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\-\u0080-\U0010ffff]+"
_DOT_ATOM = re.compile(rf"{_ATOM}(?:\.{_ATOM})*\Z")
_QUOTED = re.compile(r'"(?:[\x20\x21\x23-\x5b\x5d-\x7e\u0080-\U0010ffff]|\\[\x20-\x7e])*"\Z')
_ESCAPE = re.compile(r"\\(.)")
_MUST_ESCAPE = re.compile(r'(["\\])')
_SRS = re.compile(r'"?srs[01][=+\-]', re.IGNORECASE)
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9\-]{0,61}[a-z0-9])?\Z")


@attrs.frozen
class Address:
    """A mailbox: ``local`` with its case (quoted if it must be), ``domain`` as A-labels."""

    local: str
    domain: str

    def __str__(self) -> str:
        return f"{self.local}@{self.domain}"

    @property
    def key(self) -> str:
        """The form to compare and to store by: all lower case, without needless quotes."""
        return f"{self.local_key}@{self.domain}"

    @property
    def local_key(self) -> str:
        """The local part for look-ups: lower case, unquoted where that changes nothing."""
        return folded(_least_quoted(self.local))

    @property
    def base(self) -> str:
        """The local part to look up without its ``+tag`` (sub-addressing, RFC 5233)."""
        key = self.local_key
        head, plus, _ = key.partition("+")
        return head if plus and head and not key.startswith('"') else key

    @property
    def tag(self) -> str:
        """What stands behind the first ``+``, case kept; empty if nothing."""
        head, _, tail = _least_quoted(self.local).partition("+")
        return tail if head and not head.startswith('"') else ""


def _least_quoted(local: str) -> str:
    """The local part with as few quotes and backslashes as it needs."""
    if not local.startswith('"'):
        return local
    inner = _ESCAPE.sub(r"\1", local[1:-1])
    if _DOT_ATOM.match(inner):
        return inner
    return '"' + _MUST_ESCAPE.sub(r"\\\1", inner) + '"'


def folded(local: str) -> str:
    """A local part in the form to compare by: lower case, NFC."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", local).lower())


def display_domain(name: str) -> str:
    """A domain name as people write it: U-labels, but for those that feign to be others."""
    return ".".join(_display_label(label) for label in name.split("."))


def _display_label(label: str) -> str:
    if not label.lower().startswith("xn--"):
        return label
    try:
        shown = idna.ulabel(label)
    except (idna.IDNAError, UnicodeError):
        return label
    feigns = is_mixed(shown) or is_pretending(shown) or has_hidden(shown)
    return label if feigns else shown


def display_address(text: str) -> str:
    """An address, or a name alone, with its domain as people write it. A URL stays as it is."""
    if "/" in text:
        return text
    local, at, domain = text.rpartition("@")
    return f"{local}{at}{display_domain(domain)}"


def normalize_domain(name: str) -> str:
    """
    The lower-case A-label form of a host or domain name, without a final dot.

    An address literal (``[192.0.2.1]``, ``[IPv6:2001:db8::1]``) comes back in canonical form.
    Raises ``Invalid`` for anything else that is no name. RFC 5890; RFC 5321 §4.1.3.
    """
    if name.startswith("[") and name.endswith("]"):
        return _normalize_literal(name[1:-1])
    text = name.strip().rstrip(".").lower()
    if not text.isascii():
        try:
            text = idna.encode(text, uts46=True).decode("ascii")
        except (idna.IDNAError, UnicodeError):
            raise Invalid("The domain name is not valid.", code="INVALID_DOMAIN") from None
    if not text or len(text) > MAX_DOMAIN_OCTETS - 2:
        raise Invalid("The domain name is not valid.", code="INVALID_DOMAIN")
    if not all(_LABEL.match(label) for label in text.split(".")):
        raise Invalid("The domain name is not valid.", code="INVALID_DOMAIN")
    return text


def _normalize_literal(inner: str) -> str:
    try:
        if "%" in inner:
            raise ValueError("a scope, which may hold any characters (RFC 4007 §11)")
        if inner.lower().startswith("ipv6:"):
            return f"[IPv6:{ipaddress.IPv6Address(inner[5:])}]"
        return f"[{ipaddress.IPv4Address(inner)}]"
    except ValueError:
        raise Invalid("The address literal is not valid.", code="INVALID_DOMAIN") from None


def parse_address(text: str) -> Address:
    """
    Parse ``local@domain`` (no display name, no angle brackets).

    Raises ``Invalid`` with a sentence that says what is wrong. RFC 5321 §4.1.2.
    """
    local, at, domain = text.rpartition("@")
    if not at:
        raise Invalid("The address has no domain.", code="INVALID_EMAIL")
    if not (_DOT_ATOM.match(local) or (len(local) > 2 and _QUOTED.match(local))):
        raise Invalid("The part before the @ is not valid.", code="INVALID_EMAIL")
    local = _least_quoted(local)
    try:
        octets = len(local.encode("utf-8"))
    except UnicodeEncodeError:
        raise Invalid("The address is not valid UTF-8.", code="INVALID_EMAIL") from None
    # SRS addresses wrap a whole address; servers take local parts this long (RFC 5321 §4.5.3.1).
    limit = MAX_ADDRESS_OCTETS if _SRS.match(local) else MAX_LOCAL_OCTETS
    if octets > limit:
        raise Invalid("The part before the @ is too long.", code="INVALID_EMAIL")
    address = Address(local, normalize_domain(domain))
    if len(str(address).encode("utf-8")) > MAX_ADDRESS_OCTETS:
        raise Invalid("The address is too long.", code="INVALID_EMAIL")
    return address
