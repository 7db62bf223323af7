"""
SRS: a reverse-path that survives forwarding, and comes back as a bounce we can trust.

``SRS0=hash=day=domain=local@us`` wraps a sender; an address that is SRS already becomes
``SRS1=hash=first-host==rest@us``, so that it never grows beyond two hops. The first host may be
us: mail that we forwarded comes back and is forwarded again. Then the address is read all the way
to the sender. The hash is an HMAC over everything behind it in lower case, because local parts
lose their case on the way; base32 for the same reason. All secrets verify, the first one signs, so
a secret can be rotated. We write ``=`` behind the kind, and read ``+`` and ``-`` too. Forged,
expired and truncated addresses are refused. (The "SRS" draft and its reference code define the
shape; RFC 7208 §2.4, appendix D.3 say why it is needed.)
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Sequence

from fe_mail.model.address import Address, parse_address
from fe_mail.model.errors import Invalid

__all__ = ["MAX_AGE_DAYS", "SRS", "is_srs"]

# Bounces of a message that was sent longer ago are refused.
MAX_AGE_DAYS = 21
# Characters of the hash: 30 bits, for an address that lives three weeks.
HASH_CHARACTERS = 6
# RFC 5321 §4.5.3.1.3 (a path, without brackets); the local part alone may pass 64 octets.
MAX_SRS_OCTETS = 254

_SECONDS_A_DAY = 86_400
_DAYS_MODULUS = 1_024  # two characters of base32
_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_SRS = re.compile(r"srs[01][=+\-]", re.IGNORECASE)
_SRS1_REST = re.compile(r"[^=]+=[=+\-].+\Z", re.DOTALL)  # first host, separator, the rest of SRS0
_DOT_ATOM = re.compile(r"[^\s\"(),:;<>@\[\\\].]+(?:\.[^\s\"(),:;<>@\[\\\].]+)*\Z")


def is_srs(local: str) -> bool:
    """Does this local part look like SRS, anybody's?"""
    return _SRS.match(_unquote(local)) is not None


class SRS:
    """
    Rewrites senders to ``domain`` and back. ``secrets`` newest first, at least one.

    ``now`` is seconds since the epoch.
    """

    def __init__(
        self, secrets: Sequence[bytes], domain: str, *, max_age_days: int = MAX_AGE_DAYS
    ) -> None:
        if not secrets or not all(secrets):
            raise Invalid("SRS needs a secret.", field="SRS_SECRET")
        self._secrets = tuple(secrets)
        self._domain = domain
        self._max_age_days = max_age_days

    def is_for_us(self, address: Address) -> bool:
        """An address that only SRS of ours can have made, genuine or not."""
        return address.domain == self._domain and is_srs(address.local)

    def forward(self, sender: Address, now: float) -> Address:
        """The reverse-path to forward with. ``Invalid`` when it would be too long."""
        local = _unquote(sender.local)
        if sender.domain == self._domain:
            return sender
        if _SRS.match(local) and local[3] == "0":
            rest = f"{sender.domain}={local[4:]}"
            return self._wrap("SRS1", rest)
        if _SRS.match(local) and _SRS1_REST.match(rest := local[5:].partition("=")[2]):
            return self._wrap("SRS1", rest)
        return self._wrap("SRS0", f"{_day(now)}={sender.domain}={local}")

    def reverse(self, address: Address, now: float) -> Address:
        """Who a bounce to this address of ours is for. ``Invalid`` unless it is genuine."""
        local = _unquote(address.local)
        kind = local[:4].upper()
        signature, equals, rest = local[5:].partition("=")
        if not self.is_for_us(address) or not equals:
            raise Invalid("This is no SRS address of ours.", code="INVALID_SRS")
        if not self._is_genuine(kind, signature, rest):
            raise Invalid("The SRS address is not genuine.", code="INVALID_SRS")
        if kind == "SRS0":
            return self._original(rest, now)
        first_hop = self._first_hop(rest)
        return self.reverse(first_hop, now) if first_hop.domain == self._domain else first_hop

    def _original(self, rest: str, now: float) -> Address:
        day, _, path = rest.partition("=")
        domain, equals, local = path.partition("=")
        if not equals or not local or not self._is_recent(day, now):
            raise Invalid("The SRS address has expired.", code="INVALID_SRS")
        return _address(local, domain)

    def _first_hop(self, rest: str) -> Address:
        domain, equals, opaque = rest.partition("=")
        if not equals or not opaque:
            raise Invalid("The SRS address is incomplete.", code="INVALID_SRS")
        return _address(f"SRS0{opaque}", domain)

    def _is_recent(self, day: str, now: float) -> bool:
        if len(day) != 2 or any(character not in _ALPHABET for character in day.upper()):
            return False
        then = _ALPHABET.index(day[0].upper()) * 32 + _ALPHABET.index(day[1].upper())
        age = (int(now // _SECONDS_A_DAY) - then) % _DAYS_MODULUS
        # A clock that was a day ahead when we signed is no forgery.
        return age <= self._max_age_days or age == _DAYS_MODULUS - 1

    def _wrap(self, kind: str, rest: str) -> Address:
        signature = _hash(self._secrets[0], kind, rest)
        address = _address(f"{kind}={signature}={rest}", self._domain)
        if len(str(address).encode("utf-8")) > MAX_SRS_OCTETS:
            raise Invalid("The sender's address is too long to forward.", code="INVALID_SRS")
        return address

    def _is_genuine(self, kind: str, signature: str, rest: str) -> bool:
        given = signature.upper().encode("utf-8", "replace")
        matches = [
            hmac.compare_digest(given, _hash(secret, kind, rest).encode("ascii"))
            for secret in self._secrets
        ]
        return any(matches)


def _hash(secret: bytes, kind: str, rest: str) -> str:
    text = f"{kind}={rest.lower()}".encode("utf-8", "replace")
    digest = hmac.new(secret, text, hashlib.sha256).digest()
    return base64.b32encode(digest).decode("ascii")[:HASH_CHARACTERS]


def _day(now: float) -> str:
    day = int(now // _SECONDS_A_DAY) % _DAYS_MODULUS
    return _ALPHABET[day // 32] + _ALPHABET[day % 32]


def _unquote(local: str) -> str:
    return re.sub(r"\\(.)", r"\1", local[1:-1]) if local.startswith('"') else local


def _address(local: str, domain: str) -> Address:
    """An address of unquoted halves; the local part is quoted if it must be."""
    if not _DOT_ATOM.match(local):
        escaped = local.replace("\\", "\\\\").replace('"', '\\"')
        local = f'"{escaped}"'
    # The syntax of a foreign domain is checked with a local part that is certainly valid.
    return Address(local, parse_address(f"x@{domain}").domain)
