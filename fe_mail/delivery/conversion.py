"""
A message for a host that takes ASCII only.

RFC 6152 §3 leaves two ways: to convert the message, or to send it back. What carries a DKIM
signature is not converted, for others believe it by that signature only and would refuse it
without, or take it for a forgery; it fails with the reason. What carries none loses nothing.
Mail of our own users never comes here: it was converted before it was signed.
RFC 6152 §3; RFC 6531 §3.2; RFC 3463 §3.7 (5.6.3).
"""

from fe_mail.message.headers import header_bounds, header_fields
from fe_mail.message.seven_bit import is_ascii, seven_bit
from fe_mail.model.errors import Malformed
from fe_mail.model.outbound import Attempt, Transmission
from fe_mail.ports import Offload

__all__ = ["Octets", "asks_for_conversion", "converted"]

_STATUS = ("5.6.3", "5.6.7")  # conversion required but not supported; addresses beyond ASCII


class Octets:
    """A ``BlobReader`` of what is in memory."""

    def __init__(self, octets: bytes) -> None:
        self._octets = octets
        self._position = 0

    @property
    def size_octets(self) -> int:
        """All of it."""
        return len(self._octets)

    async def read(self, size_octets: int) -> bytes:
        """The next ones."""
        start, self._position = self._position, self._position + size_octets
        return self._octets[start : self._position]

    async def close(self) -> None:
        """Done."""


def asks_for_conversion(attempt: Attempt, transmission: Transmission) -> bool:
    """Would this host take the message in ASCII?"""
    if attempt.needs_utf8_envelope or not attempt.prefix.isascii():
        return False
    return all(reply.enhanced in _STATUS for reply in transmission.replies)


async def converted(raw: bytes, run: Offload) -> bytes | None:
    """The message in ASCII; None when it is signed, or cannot be said so."""

    def work() -> bytes | None:
        fields = header_fields(raw[: header_bounds(raw)[0]])
        if any(field.key == b"dkim-signature" for field in fields):
            return None
        try:
            octets = seven_bit(raw)
        except Malformed:
            return None
        return octets if is_ascii(octets) else None

    return await run(work)
