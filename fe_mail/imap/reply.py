"""
Tagged replies, and the one table that maps our errors to them (RFC 9051 §7.1, RFC 5530).
"""

from collections.abc import Callable
from typing import Final

import attrs

from fe_mail.imap.command import Append, Command, Copy, Move
from fe_mail.imap.scanner import BadCharset, Malformed
from fe_mail.mailboxes.view import NoSuchMessage
from fe_mail.model import errors
from fe_mail.model.errors import MailError

__all__ = ["Reply", "bad", "damaged", "no", "ok", "reply_to_error", "vanished"]


@attrs.frozen
class Reply:
    """The end of a command: OK, NO or BAD, a response code, and a sentence."""

    status: bytes
    text: str
    code: bytes = b""
    after: Callable[[], None] | None = None  # to be done once the reply is written out

    def line(self, tag: bytes) -> bytes:
        """As it goes out."""
        code = b"[%s] " % self.code if self.code else b""
        text = self.text.encode("ascii", "replace").replace(b"\r", b" ").replace(b"\n", b" ")
        return b"%s %s %s%s\r\n" % (tag, self.status, code, text)


def ok(text: str, code: bytes = b"") -> Reply:
    """It worked."""
    return Reply(b"OK", text, code)


def no(text: str, code: bytes = b"") -> Reply:
    """It did not."""
    return Reply(b"NO", text, code)


def bad(text: str, code: bytes = b"") -> Reply:
    """It was not understood, or not allowed now."""
    return Reply(b"BAD", text, code)


def vanished() -> Reply:
    """
    A sequence number names a message that another session removed (RFC 2180 §4, RFC 5530 §3).

    A UID that is gone is no error, so that commands with UIDs never answer this.
    """
    return no("Some messages are gone.", b"EXPUNGEISSUED")


def damaged() -> Reply:
    """
    Some of what was asked for is there and cannot be read (RFC 5530 §3).

    The client must not take it for expunged, nor hope that NOOP brings it.
    """
    return no("Some messages cannot be read.", b"CORRUPTION")


# The first class that fits decides.
CODES: Final[tuple[tuple[type[MailError], bytes, bytes], ...]] = (
    (BadCharset, b"NO", b"BADCHARSET (US-ASCII UTF-8)"),
    (Malformed, b"BAD", b""),
    (NoSuchMessage, b"BAD", b""),
    (errors.Invalid, b"NO", b"CANNOT"),
    (errors.NotFound, b"NO", b"NONEXISTENT"),
    (errors.AlreadyExists, b"NO", b"ALREADYEXISTS"),
    (errors.OverQuota, b"NO", b"OVERQUOTA"),
    (errors.TooBig, b"NO", b"LIMIT"),
    (errors.RateLimited, b"NO", b"LIMIT"),
    (errors.AuthenticationFailed, b"NO", b"AUTHENTICATIONFAILED"),
    (errors.PermissionDenied, b"NO", b"NOPERM"),
    (errors.Conflict, b"NO", b"INUSE"),
    (errors.Locked, b"NO", b"AUTHORIZATIONFAILED"),
    (errors.Unavailable, b"NO", b"UNAVAILABLE"),
    (errors.SchemaTooNew, b"NO", b"UNAVAILABLE"),
    (errors.Corrupt, b"NO", b"CORRUPTION"),
    (MailError, b"NO", b""),
)

NAME_A_TARGET: Final = (Append, Copy, Move)


def reply_to_error(error: MailError, command: Command | None = None) -> Reply:
    """What the client hears of one of our errors."""
    if isinstance(error, errors.NotFound) and isinstance(command, NAME_A_TARGET):
        return no("There is no such folder.", b"TRYCREATE")
    status, code = next((s, c) for kind, s, c in CODES if isinstance(error, kind))
    return Reply(status, error.message, code)
