"""What the server writes to people by mail, and how often it may."""

from typing import Protocol

import attrs

from fe_mail.model.counting import Claim, Counter, Window
from fe_mail.model.errors import RateLimited
from fe_mail.model.sentence import Paragraph, Sentence
from fe_mail.ports import Counters, Keyring

__all__ = ["MAX_MAILS_BY", "MAX_MAILS_TO", "MailLimits", "Notice", "Notices"]

MAX_MAILS_TO = 5  # in a day, to one address
MAX_MAILS_BY = 50  # in a day, because of one account or one visitor


@attrs.frozen(kw_only=True)
class Notice:
    """One mail. ``paragraphs`` are separated by empty lines; ``language`` is the reader's."""

    to: str
    language: str
    subject: Sentence
    paragraphs: tuple[Sentence, ...]

    @property
    def text(self) -> Paragraph:
        """All of it."""
        return Paragraph(self.paragraphs, separator="\n\n")


class Notices(Protocol):
    """Whoever sends them."""

    async def send(self, notice: Notice) -> None:
        """Durable in the queue when it returns. ``Invalid`` for an address that cannot be."""


class MailLimits:
    """So that nobody makes the server fill the mailbox of a third person."""

    def __init__(self, counters: Counters, keyring: Keyring) -> None:
        self._counters = counters
        self._keyring = keyring

    async def take(self, to: str, by: str) -> None:
        """Count a mail before it is made. ``RateLimited``."""
        taken = await self._counters.take(
            Claim(self._counter("to", to.lower()), most=MAX_MAILS_TO),
            Claim(self._counter("by", by), most=MAX_MAILS_BY),
        )
        if taken.refused is not None:
            raise RateLimited(
                "Too many mails were asked for. Try again later.",
                retry_after_seconds=int(taken.refused.seconds_left) + 1,
            )

    def _counter(self, count: str, who: str) -> Counter:
        mark = self._keyring.mac(who.encode("utf-8", "backslashreplace"), f"notices {count}")
        return Counter(f"notices-{count}:{mark[:16].hex()}", Window.DAY)
