"""
Every error that a port or a service of fe-mail may raise.

Each protocol maps them to its own codes in one table (over quota: SMTP ``452 4.2.2``, IMAP
``NO [OVERQUOTA]``, API 403). The ``message`` is ours, in English and safe to show to a peer; it
never carries the text of a foreign exception. Edges that know the reader's language translate
``sentence``, the same before its values were filled in.
"""

from fe_mail.model.sentence import Paragraph, Sentence

__all__ = [
    "AlreadyExists",
    "AuthenticationFailed",
    "Conflict",
    "Corrupt",
    "Invalid",
    "Locked",
    "MailError",
    "MailboxGone",
    "Malformed",
    "Missing",
    "NoSpace",
    "NotFound",
    "OverQuota",
    "PermissionDenied",
    "RateLimited",
    "SchemaTooNew",
    "TooBig",
    "Unavailable",
]


class MailError(Exception):
    """Base of all our errors; ``message`` is one sentence for the person at the other end."""

    default = "The operation failed."

    def __init__(self, message: str | Sentence | Paragraph = "") -> None:
        text = message or self.default
        self.sentence = Sentence(text) if isinstance(text, str) else text
        self.message = str(self.sentence)
        super().__init__(self.message)


class NotFound(MailError):
    """What was named does not exist, or is not the caller's to see."""

    default = "Not found."


class MailboxGone(NotFound):
    """The mailbox that was open was removed, or another one is in its place."""

    default = "There is no such mailbox."


class AlreadyExists(MailError):
    """A unique name is taken."""

    default = "Already exists."


class Invalid(MailError):
    """
    The input breaks a rule.

    ``field`` is the name of the offending field, empty if none; ``code`` the reference's
    message key (``INVALID_DOMAIN``) where it has one.
    """

    default = "Invalid value."

    def __init__(
        self, message: str | Sentence | Paragraph = "", field: str = "", code: str = ""
    ) -> None:
        super().__init__(message)
        self.field = field
        self.code = code


class Malformed(Invalid):
    """A message breaks a rule of its format, and nobody but its author can mend it."""


class PermissionDenied(MailError):
    """The caller is known but may not do this."""

    default = "Permission denied."


class AuthenticationFailed(MailError):
    """Wrong name or password; one wording for both, so that nobody learns which."""

    default = "Invalid address or password."


class RateLimited(MailError):
    """Too many; ``retry_after_seconds`` says when to come back."""

    default = "Too many attempts. Try again later."

    def __init__(
        self, message: str | Sentence | Paragraph = "", retry_after_seconds: int = 60
    ) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class OverQuota(MailError):
    """The mailbox is full."""

    default = "The mailbox is over its quota."


class TooBig(MailError):
    """A named limit of size, count or depth was exceeded."""

    default = "Too big."


class Locked(MailError):
    """The mailbox is encrypted and no key is at hand."""

    default = "The mailbox is locked."


class Conflict(MailError):
    """The state changed underneath (If-Match, UNCHANGEDSINCE, a lease that was lost)."""

    default = "The item changed in the meantime."


class Unavailable(MailError):
    """A store, a resolver or a worker cannot answer now. Temporary by definition."""

    default = "Temporarily unavailable. Try again later."


class NoSpace(Unavailable):
    """Nothing can be written: the disk is full, or read-only."""

    default = "The server cannot store anything now. Try again later."


class Corrupt(MailError):
    """Stored data breaks an invariant. Never raised for what a peer sent."""

    default = "Stored data is damaged."


class Missing(Corrupt):
    """A file that must be there is not, or nothing is in it."""

    default = "Stored data is missing."


class SchemaTooNew(MailError):
    """The database was written by a newer fe-mail; opening it could lose data."""

    default = "This database was written by a newer version of fe-mail."
