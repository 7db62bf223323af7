"""
What a failure means on the wire: an error as ``model/status.py`` has it, and what is SMTP's own.

AUTH has other codes for the same errors; content that cannot be accepted has none elsewhere.
"""

from fe_mail.model.errors import (
    AuthenticationFailed,
    Invalid,
    MailError,
    NotFound,
    PermissionDenied,
    RateLimited,
)
from fe_mail.model.status import TEMPORARY, status_for
from fe_mail.smtp.wire import Answer, ContentFault

__all__ = ["INTERNAL", "TOO_BIG", "answer_to_content", "answer_to_error", "answer_to_login"]

INTERNAL = Answer.of(TEMPORARY)
TOO_BIG = Answer(552, "5.3.4", "The message is too big")

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
    return Answer.of(status_for(error))


def answer_to_login(error: MailError) -> Answer:
    """The reply to a login that did not succeed."""
    for kind in type(error).__mro__:
        if kind in _LOGIN_TABLE:
            return Answer(*_LOGIN_TABLE[kind], error.message)
    return _LOGIN_UNAVAILABLE


def answer_to_content(fault: ContentFault) -> Answer:
    """The reply at the end of a message that cannot be accepted as it was written."""
    return _CONTENT[fault]
