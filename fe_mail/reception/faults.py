"""
What is set up wrong, told to the operator when mail comes upon it.

The sender of such mail is asked to come back, so whoever mends it in time loses nothing. Strangers
decide how often that is, so each address is told of once an hour.
"""

from twisted.logger import Logger

from fe_mail.accounts.explaining import explain, may_see_all
from fe_mail.model.route import Route

__all__ = ["Faults"]

QUIET_SECONDS = 3600.0
MAX_REMEMBERED = 1000  # addresses; when there are more, some are told of again

log = Logger()


class Faults:
    """Logs that mail has to wait, and why."""

    def __init__(self) -> None:
        self._told: dict[str, float] = {}

    def tell(self, route: Route, now: float) -> None:
        """Say so if nobody gets the mail for an address and somebody should."""
        fault = route.fault
        if fault is None or now - self._told.get(route.address, -QUIET_SECONDS) < QUIET_SECONDS:
            return
        while len(self._told) >= MAX_REMEMBERED:
            del self._told[next(iter(self._told))]
        self._told.pop(route.address, None)
        self._told[route.address] = now
        log.warn(
            "Mail for {address} waits with its senders: {reason}"
            " (fe-mail route lists everything that leads nowhere)",
            address=route.address,
            reason=str(explain(route, fault, may_see_all)),
            metric="route",
            outcome=fault.cause.value,
        )
