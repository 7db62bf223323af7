"""
Links that are mailed to prove who reads an address, or to set a new password.

A link carries what it is for, encrypted with the server's key and dated; nothing is stored. It is
used up by what it does: whoever makes one binds it to what will have changed then. Nobody can read
or make one, and one of a kind opens no other.
"""

import base64
import binascii
import json

from twisted.internet.interfaces import IReactorTime

from fe_mail.model.errors import Corrupt, Invalid
from fe_mail.ports import Keyring

__all__ = ["Links"]

MAX_TOKEN_LENGTH = 2048


class Links:
    """Makes and reads the last segment of such a link."""

    def __init__(self, keyring: Keyring, clock: IReactorTime) -> None:
        self._keyring = keyring
        self._clock = clock

    def make(self, purpose: str, *parts: str, seconds: float) -> str:
        """Good for so many seconds."""
        content = [self._clock.seconds() + seconds, *parts]
        plain = json.dumps(content, ensure_ascii=False).encode()
        sealed = self._keyring.protect(plain, f"link {purpose}")
        return base64.urlsafe_b64encode(sealed).rstrip(b"=").decode("ascii")

    def read(self, purpose: str, token: str) -> tuple[str, ...]:
        """Its parts. ``Invalid`` when it is none of ours, for something else, or too old."""
        try:
            octets = token[: MAX_TOKEN_LENGTH + 1].encode("ascii")
            sealed = base64.b64decode(octets + b"=" * (-len(octets) % 4), b"-_", validate=True)
            ends_at, *parts = json.loads(self._keyring.reveal(sealed, f"link {purpose}"))
        except (Corrupt, UnicodeEncodeError, binascii.Error):
            raise _refused() from None
        if ends_at <= self._clock.seconds():
            raise _refused()
        return tuple(parts)


def _refused() -> Invalid:
    return Invalid("This link is not valid, or not any more. Ask for a new one.", field="token")
