"""
What one side of SMTP says to the other: a reply code, an enhanced status code, one line of text.

The refusal of a rule, the reply to a message, the answer of another host and the outcome of a
delivery are all a ``Status``; those that carry more extend it. ``status_for`` is the one table
from our errors to it: temporary unless proven permanent. A ``NotFound`` of a port is therefore
temporary, for it may mean a domain, a user or a spool: that an address does not exist is said by
whoever looked the address up (``accounts/routing.py``, the couriers), with a Status of its own.

RFC 5321 §4.2.1 (reply codes); RFC 3463 (enhanced status codes).
"""

import attrs

from fe_mail.model.errors import (
    AuthenticationFailed,
    Invalid,
    MailError,
    Malformed,
    NoSpace,
    OverQuota,
    PermissionDenied,
    RateLimited,
    TooBig,
)

__all__ = ["TEMPORARY", "Status", "status_for"]


@attrs.frozen
class Status:
    """``enhanced`` is empty where RFC 2034 wants none (greetings, EHLO, 354)."""

    code: int
    enhanced: str = ""
    text: str = ""

    @property
    def is_positive(self) -> bool:
        """2xx."""
        return 200 <= self.code < 300

    @property
    def is_permanent(self) -> bool:
        """5xx: trying again is of no use."""
        return self.code >= 500

    @property
    def line(self) -> str:
        """``"451 4.4.1 Connection timed out"``."""
        return " ".join(part for part in (str(self.code), self.enhanced, self.text) if part)


TEMPORARY = Status(451, "4.3.0", "Temporary failure, try again later")

# What is not listed says something about us and nothing to the peer.
_TABLE: dict[type[MailError], tuple[int, str]] = {
    AuthenticationFailed: (535, "5.7.8"),
    Invalid: (553, "5.1.3"),
    Malformed: (550, "5.6.0"),
    NoSpace: (452, "4.3.1"),  # RFC 3463 §3.4: mail system full
    OverQuota: (452, "4.2.2"),
    PermissionDenied: (550, "5.7.1"),
    RateLimited: (450, "4.7.1"),
    TooBig: (552, "5.3.4"),
}


def status_for(error: MailError) -> Status:
    """What an error means; its text, which is ours, goes along where it helps the peer."""
    for kind in type(error).__mro__:
        if kind in _TABLE:
            return Status(*_TABLE[kind], error.message)
    return TEMPORARY
