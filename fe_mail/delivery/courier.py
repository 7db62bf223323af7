"""
What a courier is: it delivers one claim to one target and says what came of it.

A courier never raises for what the world does: a full mailbox, a host that is down and a
refusal are outcomes, and so is a ``MailError`` from a port; anything else is a bug, which the
runner logs and treats as temporary.
RFC 3463 (status codes): temporary unless proven permanent.
"""

from typing import Protocol

from fe_mail.model.errors import MailError, TooBig
from fe_mail.model.queue import Claim, Outcome
from fe_mail.model.status import TEMPORARY, status_for

__all__ = ["LATER", "Courier", "outcome_of"]


LATER = Outcome.deferred(TEMPORARY.code, TEMPORARY.enhanced, TEMPORARY.text)


class Courier(Protocol):
    """Delivers one copy."""

    async def deliver(self, claim: Claim) -> tuple[Outcome, ...]:
        """Try once; one outcome for each delivery of the claim, in order."""


def outcome_of(error: MailError) -> Outcome:
    """
    What an error of a port means for a delivery.

    Only ``TooBig`` is about the message; any other error of our own stores may be gone tomorrow.
    """
    status = status_for(error)
    if isinstance(error, TooBig):
        return Outcome.failed(status.code, status.enhanced, status.text)
    if status.is_permanent:
        status = TEMPORARY
    return Outcome.deferred(status.code, status.enhanced, status.text)
