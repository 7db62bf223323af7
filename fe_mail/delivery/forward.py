"""
The courier of forwarded mail: like remote mail, with a reverse-path of ours.

The reverse-path is rewritten by SRS, so that SPF passes for the host that really sends and
reports find their way back through us. The null reverse-path stays null (RFC 5321 §4.5.5).
"""

import attrs
from twisted.internet.interfaces import IReactorTime

from fe_mail.delivery.courier import Courier
from fe_mail.mailauth.srs import SRS
from fe_mail.model.address import parse_address
from fe_mail.model.errors import Invalid
from fe_mail.model.queue import Claim, Outcome

__all__ = ["ForwardCourier"]

_NOT_FORWARDED = Outcome.failed(553, "5.1.7", "The sender's address cannot be forwarded.")


class ForwardCourier:
    """Sends a copy on to the target of an alias."""

    def __init__(self, remote: Courier, srs: SRS, clock: IReactorTime) -> None:
        self._remote = remote
        self._srs = srs
        self._clock = clock

    async def deliver(self, claim: Claim) -> tuple[Outcome, ...]:
        """Rewrite the reverse-path, then send."""
        try:
            reverse_path = self._rewritten(claim.message.reverse_path)
        except Invalid:
            return (_NOT_FORWARDED,) * len(claim.deliveries)
        message = attrs.evolve(claim.message, reverse_path=reverse_path)
        return await self._remote.deliver(attrs.evolve(claim, message=message))

    def _rewritten(self, reverse_path: str) -> str:
        if not reverse_path:
            return ""
        return str(self._srs.forward(parse_address(reverse_path), self._clock.seconds()))
