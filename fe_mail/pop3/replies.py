"""
Replies: one table from our errors to response codes, and the texts we say.

RFC 2449 §6.4, §8 (response codes); RFC 3206 (SYS/TEMP, SYS/PERM, AUTH).
"""

from fe_mail.model.errors import (
    AuthenticationFailed,
    Conflict,
    Invalid,
    Locked,
    MailError,
    NotFound,
    PermissionDenied,
    RateLimited,
    Unavailable,
)

__all__ = ["error_reply", "fail", "ok"]

# The first that fits; an error that is not here is ours and permanent.
_CODES: tuple[tuple[type[MailError], bytes], ...] = (
    (AuthenticationFailed, b"[AUTH] "),
    (PermissionDenied, b"[AUTH] "),
    (RateLimited, b"[SYS/TEMP] "),
    (Unavailable, b"[SYS/TEMP] "),
    (Locked, b"[IN-USE] "),
    (Conflict, b"[IN-USE] "),
    (NotFound, b""),
    (Invalid, b""),
    (MailError, b"[SYS/PERM] "),
)


def ok(text: bytes = b"") -> bytes:
    """A positive reply."""
    return b"+OK " + text + b"\r\n" if text else b"+OK\r\n"


def fail(text: bytes) -> bytes:
    """A negative reply."""
    return b"-ERR " + text + b"\r\n"


def error_reply(error: MailError) -> bytes:
    """The negative reply for an error."""
    code = next(code for kind, code in _CODES if isinstance(error, kind))
    return fail(code + error.message.encode("ascii", "replace"))
