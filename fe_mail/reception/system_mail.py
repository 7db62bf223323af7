"""
Mail of the server itself: reports are in ``bounces``, this is what it writes to people.

It comes from ``postmaster`` of the server's own domain, with the null reverse-path, so that a
failure is reported to nobody, and is signed by that domain's key if the domain is hosted here.
Lines are short, as RFC 5322 §2.1.1 asks; only links are longer. RFC 3834 §3, §5; RFC 2142 §5.
"""

import textwrap
from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime

from fe_mail.accounts.notices import Notice
from fe_mail.message.compose import Correspondent, SystemMail, compose, new_message_id
from fe_mail.message.headers import header_bounds
from fe_mail.model.address import Address, parse_address
from fe_mail.model.envelope import Recipient
from fe_mail.model.errors import Invalid
from fe_mail.model.ids import new_id
from fe_mail.model.queue import QueuedMessage, Target
from fe_mail.model.route import Route
from fe_mail.model.sentence import Paragraph, Sentence
from fe_mail.queue.intake import Intake
from fe_mail.reception.inbound import Routing
from fe_mail.reception.signing import OwnDomain
from fe_mail.reception.spooling import HoldReason, deliveries_for

__all__ = ["LINE_CHARACTERS", "SystemMailer"]

LINE_CHARACTERS = 72

Translate = Callable[[str, Sentence | Paragraph], str]


class SystemMailer:
    """
    ``fe_mail.accounts.notices.Notices``.

    ``own`` is the server's domain, ``hostname`` the host that sends. ``translate`` gives a text in
    a language.
    """

    def __init__(
        self,
        router: Routing,
        intake: Intake,
        own: OwnDomain,
        clock: IReactorTime,
        translate: Translate,
        *,
        hostname: str,
        name: str,
        hold: HoldReason | None = None,
    ) -> None:
        self._router = router
        self._intake = intake
        self._own = own
        self._clock = clock
        self._translate = translate
        self._author = Correspondent(Address(local="postmaster", domain=own.name), name)
        self._hostname = hostname
        self._hold = hold

    async def send(self, notice: Notice) -> None:
        """Durable in the queue when it returns. ``Invalid`` for an address that cannot be."""
        now = self._clock.seconds()
        to = parse_address(notice.to)
        message_id = new_message_id(self._hostname, now)
        raw = await self._own.signed(
            compose(
                SystemMail(
                    author=self._author,
                    to=(Correspondent(to),),
                    subject=self._translate(notice.language, notice.subject),
                    text=_wrapped(self._translate(notice.language, notice.text)),
                    date=now,
                    message_id=message_id,
                )
            )
        )
        await self._queue(raw, to, now, message_id)

    async def _queue(self, raw: bytes, to: Address, now: float, message_id: str) -> None:
        queue_id = new_id(now)
        route = await self._route(to)
        deliveries = deliveries_for(queue_id, [(Recipient(address=to), route)], now, self._hold)
        if not deliveries:
            raise Invalid("Nobody would get this mail.", field="email")
        message = QueuedMessage(
            id=queue_id,
            size_octets=len(raw),
            reverse_path="",
            created_at=now,
            source="system",
            message_id=message_id,
            is_8bit=not raw.isascii(),
            is_utf8=not raw[: header_bounds(raw)[0]].isascii(),
        )
        body = await self._intake.written(raw, now=now)
        await self._intake.accept(message, deliveries, body)

    async def _route(self, to: Address) -> Route:
        route = await self._router.route(to)
        if route.is_hosted:
            return route
        target = Target(courier="remote", address=str(to))
        return Route(address=str(to), is_hosted=False, targets=(target,))


def _wrapped(text: str) -> str:
    """Broken between words; a link stays whole."""
    return "\n".join(
        textwrap.fill(line, LINE_CHARACTERS, break_long_words=False, break_on_hyphens=False)
        for line in text.split("\n")
    )
