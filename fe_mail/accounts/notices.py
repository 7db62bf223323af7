"""What the server writes to people by mail, and how often it may."""

from typing import Protocol

import attrs

from fe_mail.model.address import parse_address
from fe_mail.model.counting import Claim, Counter, Window
from fe_mail.model.errors import Invalid, RateLimited
from fe_mail.model.sentence import Paragraph, Sentence
from fe_mail.ports import Counters, Keyring

__all__ = ["ADDRESSES", "PASSWORDS", "RECIPIENTS", "MailLimit", "MailLimits", "Notice", "Notices"]


@attrs.frozen
class MailLimit:
    """
    Mails of one kind within a ``window``: so many to one address, and so many because of one
    account or one network of strangers. Kinds are counted apart, or strangers who ask for one
    could keep somebody from another.
    """

    kind: str
    to: int
    by: int
    window: Window


ADDRESSES = MailLimit("address", 5, 50, Window.DAY)
RECIPIENTS = MailLimit("recipient", 5, 50, Window.DAY)
# Anybody may ask for these in another's name. Their links last as long as the count, so whoever is
# refused because of the others has one in his mailbox that still works.
PASSWORDS = MailLimit("password", 3, 20, Window.HOUR)


@attrs.frozen(kw_only=True)
class Notice:
    """
    One mail. ``paragraphs`` are separated by empty lines.

    ``language`` is the reader's; empty, or one that we do not have, means the default one.
    """

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

    async def take(self, limit: MailLimit, to: str, by: str) -> None:
        """Count a mail before it is made. ``RateLimited``."""
        taken = await self._counters.take(
            Claim(self._counter(limit, "to", _reader(to)), most=limit.to),
            Claim(self._counter(limit, "by", by), most=limit.by),
        )
        if taken.refused is not None:
            raise RateLimited(
                "Too many mails were asked for. Open the link in the last one, or try again later.",
                retry_after_seconds=int(taken.refused.seconds_left) + 1,
            )

    def _counter(self, limit: MailLimit, count: str, who: str) -> Counter:
        mark = self._keyring.mac(who.encode("utf-8", "backslashreplace"), f"notices {count}")
        return Counter(f"notices-{limit.kind}-{count}:{mark[:16].hex()}", limit.window)


def _reader(email: str) -> str:
    """One for every spelling of an address, with and without a ``+tag`` (RFC 5233)."""
    try:
        address = parse_address(email.strip())
    except Invalid:
        return email.strip().lower()
    return f"{address.base}@{address.domain}"
