"""
Our errors as HTTP statuses, in one table; and the error object of the API.

RFC 9110 §15.
"""

from http import HTTPStatus

from fe_mail.model.errors import (
    AlreadyExists,
    AuthenticationFailed,
    Conflict,
    Invalid,
    Locked,
    MailError,
    NotFound,
    OverQuota,
    PermissionDenied,
    RateLimited,
    TooBig,
    Unavailable,
)
from fe_mail.model.sentence import Sentence

__all__ = ["UNEXPECTED", "error_object", "reason", "status_of"]

UNEXPECTED = Sentence("An unexpected error occurred. Please try again later.")

_STATUSES: tuple[tuple[type[MailError], int], ...] = (
    (NotFound, 404),
    (AuthenticationFailed, 401),
    (AlreadyExists, 400),
    (PermissionDenied, 403),
    (RateLimited, 429),
    (OverQuota, 403),
    (TooBig, 413),
    (Locked, 409),
    (Conflict, 409),
    (Unavailable, 503),
    (Invalid, 400),
)

# Messages that have a status of their own; the first three are the reference's.
_CODES = {
    "WRONG_PASSWORD": 403,
    "ALIAS_RATE_LIMITED": 403,
    "DNS_TIMEOUT": 408,
    "UNSUPPORTED_MEDIA_TYPE": 415,
    "NOT_BUILT": 501,
}


def status_of(error: MailError) -> int:
    """The status of an error; ours to repair (damaged data, wrong schema): 500."""
    code = getattr(error, "code", "")
    if code in _CODES:
        return _CODES[code]
    return next((status for kind, status in _STATUSES if isinstance(error, kind)), 500)


def reason(status: int) -> str:
    """The standard phrase."""
    return HTTPStatus(status).phrase


def error_object(status: int, message: str) -> dict[str, object]:
    """What every client of the API reads from an error."""
    return {"statusCode": status, "error": reason(status), "message": message}
