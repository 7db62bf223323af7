"""
What a courier is: it delivers one claim to one target and says what came of it.

A courier never raises for what the world does: a full mailbox, a host that is down and a
refusal are outcomes. ``MailError`` from a port is mapped here, in one table; anything else is a
bug, which the runner logs and treats as temporary.
RFC 3463 (status codes): temporary unless proven permanent.
"""

from typing import Protocol

from fe_mail.model.errors import (
    Corrupt,
    MailError,
    NotFound,
    OverQuota,
    TooBig,
)
from fe_mail.model.queue import Claim, Outcome

__all__ = ["Courier", "outcome_of"]


class Courier(Protocol):
    """Delivers one copy."""

    async def deliver(self, claim: Claim) -> Outcome:
        """Try once."""


def outcome_of(error: MailError) -> Outcome:
    """What an error of a port means for a delivery."""
    if isinstance(error, OverQuota):
        return Outcome.deferred(452, "4.2.2", "The mailbox is over its quota.")
    if isinstance(error, TooBig):
        return Outcome.failed(552, "5.3.4", "The message is too big for this mailbox.")
    if isinstance(error, NotFound):
        return Outcome.failed(550, "5.1.1", "No such address here.")
    if isinstance(error, Corrupt):
        return Outcome.deferred(451, "4.3.0", "The stored message cannot be read now.")
    return Outcome.deferred(451, "4.3.0", "Temporary failure, try again later.")
