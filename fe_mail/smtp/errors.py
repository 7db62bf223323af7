"""
What a failure means in SMTP: the one table from our errors to replies.

Temporary unless proven permanent (RFC 5321 §4.2.1); the text is ours or a ``MailError``'s, which
is ours too. RFC 3463 gives the enhanced codes.
"""

from fe_mail.model.errors import (
    AlreadyExists,
    AuthenticationFailed,
    Conflict,
    Corrupt,
    Invalid,
    Locked,
    MailError,
    NotFound,
    OverQuota,
    PermissionDenied,
    RateLimited,
    SchemaTooNew,
    TooBig,
    Unavailable,
)
from fe_mail.queue.reception import Reply
from fe_mail.smtp.wire import ContentFault

__all__ = ["INTERNAL", "TIMED_OUT", "reply_to_content", "reply_to_error"]

INTERNAL = Reply(code=451, enhanced="4.3.0", text="Temporary failure, try again later")
TIMED_OUT = Reply(code=421, enhanced="4.4.2", text="Timeout, closing the connection")

# Error class -> reply code and enhanced code.
_TABLE: dict[type[MailError], tuple[int, str]] = {
    AuthenticationFailed: (535, "5.7.8"),
    Conflict: (451, "4.3.0"),
    Corrupt: (451, "4.3.0"),
    AlreadyExists: (451, "4.3.0"),
    Invalid: (553, "5.1.3"),
    Locked: (451, "4.3.0"),
    NotFound: (550, "5.1.1"),
    OverQuota: (452, "4.2.2"),
    PermissionDenied: (550, "5.7.1"),
    RateLimited: (450, "4.7.1"),
    SchemaTooNew: (451, "4.3.0"),
    TooBig: (552, "5.3.4"),
    Unavailable: (451, "4.3.0"),
}

# Errors that say something about us and nothing to the peer.
_PRIVATE = (AlreadyExists, Conflict, Corrupt, Locked, SchemaTooNew)

_CONTENT: dict[ContentFault, Reply] = {
    ContentFault.BARE_LINE_END: Reply(
        code=554, enhanced="5.5.2", text="Message refused: bare CR or LF (RFC 5321 section 2.3.8)"
    ),
    ContentFault.NUL: Reply(code=554, enhanced="5.5.2", text="Message refused: NUL octet"),
    ContentFault.LONG_LINE: Reply(
        code=554, enhanced="5.5.2", text="Message refused: a line is too long"
    ),
}


def reply_to_error(error: BaseException) -> Reply | None:
    """The reply to one of our errors; None for any other exception, which is a defect of ours."""
    for kind in type(error).__mro__:
        if kind in _TABLE:
            code, enhanced = _TABLE[kind]
            text = INTERNAL.text if isinstance(error, _PRIVATE) else _message(error)
            return Reply(code=code, enhanced=enhanced, text=text)
    return INTERNAL if isinstance(error, MailError) else None


def reply_to_content(fault: ContentFault) -> Reply:
    """The reply at the end of a message that cannot be accepted as it was written."""
    return _CONTENT[fault]


def _message(error: BaseException) -> str:
    return error.message if isinstance(error, MailError) else INTERNAL.text
