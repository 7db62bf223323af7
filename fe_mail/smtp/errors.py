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
from fe_mail.smtp.wire import Answer, ContentFault

__all__ = ["INTERNAL", "TOO_BIG", "answer_to_content", "answer_to_error", "answer_to_login"]

INTERNAL = Answer(451, "4.3.0", "Temporary failure, try again later")
TOO_BIG = Answer(552, "5.3.4", "The message is too big")

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

# During AUTH the same errors have other codes (RFC 4954 §6).
_LOGIN_TABLE: dict[type[MailError], tuple[int, str]] = {
    AuthenticationFailed: (535, "5.7.8"),
    Invalid: (501, "5.5.2"),
    NotFound: (535, "5.7.8"),
    PermissionDenied: (535, "5.7.8"),
    RateLimited: (421, "4.7.0"),
}
_LOGIN_UNAVAILABLE = Answer(454, "4.7.0", "Temporary authentication failure, try again later")

_CONTENT: dict[ContentFault, Answer] = {
    ContentFault.BARE_LINE_END: Answer(
        554, "5.5.2", "Message refused: bare CR or LF (RFC 5321 section 2.3.8)"
    ),
    ContentFault.NUL: Answer(554, "5.5.2", "Message refused: NUL octet"),
    ContentFault.LONG_LINE: Answer(554, "5.5.2", "Message refused: a line is too long"),
}


def answer_to_error(error: Exception) -> Answer | None:
    """The reply to one of our errors; None for any other exception, which is a defect of ours."""
    if not isinstance(error, MailError):
        return None
    if isinstance(error, _PRIVATE):
        return INTERNAL
    code, enhanced = _look_up(_TABLE, error) or (INTERNAL.code, INTERNAL.enhanced)
    return Answer(code, enhanced, error.message)


def answer_to_login(error: MailError) -> Answer:
    """The reply to a login that did not succeed."""
    found = _look_up(_LOGIN_TABLE, error)
    return Answer(*found, error.message) if found else _LOGIN_UNAVAILABLE


def answer_to_content(fault: ContentFault) -> Answer:
    """The reply at the end of a message that cannot be accepted as it was written."""
    return _CONTENT[fault]


def _look_up(
    table: dict[type[MailError], tuple[int, str]], error: MailError
) -> tuple[int, str] | None:
    for kind in type(error).__mro__:
        if kind in table:
            return table[kind]
    return None
