"""A vantage from tables: the specification of the port, for tests and the demo."""

from collections.abc import Mapping

from twisted.internet.defer import Deferred

from fe_mail.model.errors import Unavailable
from fe_mail.model.vantage import OwnAddresses, Whose

__all__ = ["TableVantage"]


class TableVantage:
    """
    ``own`` is what ``addresses`` gives; ``greetings`` maps addresses to what is said at port 25.
    Both may be changed between questions. While ``is_late`` nobody greets before ``answer_next``.
    """

    def __init__(
        self, own: OwnAddresses | None = None, greetings: Mapping[str, str] | None = None
    ) -> None:
        self.own = own or OwnAddresses()
        self.greetings = dict(greetings or {})
        self.is_late = False
        self.asked: list[str] = []
        self.waiting: list[Deferred[None]] = []

    def addresses(self) -> OwnAddresses:
        """What was given."""
        return self.own

    def whose(self, address: str) -> Whose:
        """By these addresses."""
        return self.own.whose(address)

    async def greeting(self, address: str) -> str:
        """From the table."""
        self.asked.append(address)
        if self.is_late:
            waiter: Deferred[None] = Deferred(self.waiting.remove)
            self.waiting.append(waiter)
            await waiter
        if address not in self.greetings:
            raise Unavailable("Nobody answers there.")
        return self.greetings[address]

    def answer_next(self) -> None:
        """Answer the oldest question that waits."""
        self.waiting.pop(0).callback(None)
