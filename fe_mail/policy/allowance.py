"""
How many messages a domain and a user may send in a day.

The allowance follows the reference: 300 messages of a domain and of a user, none where a server
admin runs the domain. A message takes its part before it is queued, so that a crowd of them
passes no limit, and gives it back when it is refused after all.
"""

from fe_mail.model.account import Alias
from fe_mail.model.counting import Claim, Counter, Window
from fe_mail.policy.limits import DAILY_MESSAGES
from fe_mail.ports import Counters

__all__ = ["Allowance"]


class Allowance:
    """Of all domains and users, ``daily_messages`` each."""

    def __init__(self, counters: Counters, daily_messages: int = DAILY_MESSAGES) -> None:
        self._counters = counters
        self.daily_messages = daily_messages

    async def take(self, alias: Alias) -> bool:
        """A message of the domain's and of the user's; False, and none, when one is used up."""
        return (await self._counters.take(*self._claims(alias))).refused is None

    async def give_back(self, alias: Alias) -> None:
        """The message was not accepted."""
        await self._counters.give_back(*self._claims(alias))

    def _claims(self, alias: Alias) -> tuple[Claim, ...]:
        names = (f"sent-domain:{alias.domain_id}", f"sent-user:{alias.user_id}")
        return tuple(Claim(Counter(name, Window.DAY), most=self.daily_messages) for name in names)
