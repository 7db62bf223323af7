"""
A message being received: portions go to the spool, and the first failure decides.

Whatever goes wrong, the client's octets are still read to the end of the message, so that no
line of it can ever be taken for a command; the reply comes at the end.
"""

from fe_mail.reception.interface import Spooling
from fe_mail.smtp.errors import TOO_BIG, answer_to_content
from fe_mail.smtp.framing import Portion
from fe_mail.smtp.wire import Answer

__all__ = ["Incoming"]


class Incoming:
    """One message; ``failure`` is what the client will hear, ``deadline`` when it must be here."""

    def __init__(self, spooling: Spooling, max_size_octets: int, deadline: float) -> None:
        self.failure: Answer | None = None
        self.size_octets = 0
        self.deadline = deadline
        self._max_size_octets = max_size_octets
        self._spooling: Spooling | None = spooling

    @property
    def is_flood(self) -> bool:
        """So much more came than is allowed that reading on makes no sense."""
        return self.size_octets > 2 * self._max_size_octets

    async def write(self, portion: Portion) -> None:
        """Store a portion. Raises what the spool raises."""
        self.size_octets += len(portion.octets)
        if self.failure is not None:
            return
        if portion.fault is not None:
            await self.fail(answer_to_content(portion.fault))
        elif self.size_octets > self._max_size_octets:
            await self.fail(TOO_BIG)
        elif self._spooling is not None and portion.octets:
            await self._spooling.write(portion.octets)

    async def fail(self, answer: Answer) -> None:
        """Remember why, and let go of the spool."""
        if self.failure is None:
            self.failure = answer
        await self.abort()

    async def finish(self) -> Answer:
        """End of data."""
        if self.failure is not None or self._spooling is None:
            return self.failure or TOO_BIG
        spooling, self._spooling = self._spooling, None
        return Answer.of(await spooling.finish())

    async def abort(self) -> None:
        """Forget the message; more than once does nothing."""
        spooling, self._spooling = self._spooling, None
        if spooling is not None:
            await spooling.abort()
