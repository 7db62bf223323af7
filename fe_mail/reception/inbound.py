"""
Reception of mail from the Internet: unknown recipients are refused at RCPT, everything that is
answered 250 is durable in the queue.

The message streams into the spool behind a Received field of ours; only its header is looked
at on the way, and what would pass for ours in it is taken away (``message/opening.py``). At the
end of data the checks fill what the tables want to know, then the tables judge. Recipients are
routed again, so that the queue holds what is true then. If one of them takes no mail any more, the
sender is asked to begin again, and hears of that one alone: 250 would be a lie, and a report could
reach somebody who never wrote (backscatter).
RFC 5321 §4.4 (trace), §3.6 (no relaying), §6.1 (responsibility).
"""

from collections.abc import Sequence
from typing import Protocol

import attrs
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from fe_mail.budget import Budget
from fe_mail.message.opening import opened
from fe_mail.message.received import received_field
from fe_mail.model.address import Address
from fe_mail.model.envelope import Envelope, Peer, Recipient
from fe_mail.model.errors import Corrupt, MailError, NoSpace, TooBig
from fe_mail.model.identity import Identity
from fe_mail.model.ids import new_id
from fe_mail.model.route import Route
from fe_mail.model.status import TEMPORARY, Status, status_for
from fe_mail.model.verdicts import Result, Verdicts
from fe_mail.policy.inbound import (
    FULL,
    HARVESTED,
    MESSAGE,
    Acquaintance,
    ConnectFacts,
    MessageFacts,
    RecipientFacts,
    connect_table,
    recipient_table,
    sender_table,
)
from fe_mail.policy.limits import UNKNOWN_MAX
from fe_mail.policy.rules import Action, Count, Discard, Rule, first_refusal, judge
from fe_mail.ports import Cache
from fe_mail.queue.intake import Intake
from fe_mail.reception.checks import Check, collect
from fe_mail.reception.faults import Faults
from fe_mail.reception.harvesting import Harvesting, tarpit_seconds
from fe_mail.reception.interface import Spooling
from fe_mail.reception.letter import Letter
from fe_mail.reception.rooms import Rooms
from fe_mail.reception.spooling import HoldReason, deliveries_for, message_of
from fe_mail.waiting import pause

__all__ = ["InboundReception", "Routing"]

log = Logger()

# A recipient that we took is refused now: all of them again, so that it is refused alone.
CHANGED = Status(451, "4.3.5", "A recipient was changed meanwhile, try again")


class Routing(Protocol):
    """What we need of the one resolver of addresses."""

    async def route(self, address: Address, *, is_report: bool = False) -> Route:
        """Where it goes; a report has the null reverse-path."""


class InboundReception:
    """
    The MX's reception. ``rooms`` knows which mailboxes are full; ``count`` hears the name of every
    rule that acts; ``trusted`` are the networks of our own proxies; ``own_names`` are those by
    which we sign results, besides ``hostname``; ``memory`` is what all connections share.
    """

    def __init__(
        self,
        router: Routing,
        intake: Intake,
        rooms: Rooms,
        harvesting: Harvesting,
        cache: Cache,
        clock: IReactorTime,
        *,
        hostname: str,
        count: Count,
        checks: Sequence[Check] = (),
        hold: HoldReason | None = None,
        trusted: Sequence[str] = (),
        own_names: Sequence[str] = (),
        message_table: tuple[Rule[MessageFacts, Action], ...] = MESSAGE,
        memory: Budget | None = None,
    ) -> None:
        self.intake = intake
        self.rooms = rooms
        self.clock = clock
        self.hostname = hostname
        self.count = count
        self.checks = checks
        self.hold = hold
        self.own_names = frozenset(name.lower() for name in (hostname, *own_names))
        self.message_table = message_table
        self.memory = memory or Budget()
        self._router = router
        self._harvesting = harvesting
        self._faults = Faults()
        self._acquaintance = Acquaintance(cache, trusted)
        self._connect = connect_table(harvesting.is_over)
        self._sender = sender_table(harvesting.is_over)
        self._recipient = recipient_table(harvesting.is_over)

    async def connected(self, peer: Peer) -> Status | None:
        """May this peer speak at all?"""
        return await first_refusal(self._connect, ConnectFacts(peer=peer), self.count)

    async def patience(self, peer: Peer) -> float | None:
        """A stranger has to wait a little, and not to speak before."""
        return await self._acquaintance.patience(peer)

    async def sender(
        self, peer: Peer, identity: Identity | None, reverse_path: Address | None
    ) -> Status | None:
        """MAIL FROM. Any sender may write; what it is worth is decided with the message."""
        facts = ConnectFacts(peer=peer, reverse_path=reverse_path)
        refusal = await first_refusal(self._sender, facts, self.count)
        if refusal is None:
            await self._acquaintance.met(peer)
        return refusal

    async def recipient(
        self,
        peer: Peer,
        identity: Identity | None,
        reverse_path: Address | None,
        recipient: Address,
        size_octets: int = 0,
    ) -> Status | None:
        """RCPT TO: only what is hosted; guessing addresses gets slower and slower."""
        route = await self.route(recipient, reverse_path)
        self._faults.tell(route, self.clock.seconds())
        facts = RecipientFacts(
            peer=peer,
            reverse_path=reverse_path,
            recipient=recipient,
            route=route,
            is_full=await self.rooms.is_full(route, size_octets),
        )
        refusal = await first_refusal(self._recipient, facts, self.count)
        if refusal is not None and refusal.enhanced == "5.1.1":
            count = await self._harvesting.note(peer.ip)
            delay = tarpit_seconds(count)
            if delay:
                await pause(self.clock, delay)
            if count > UNKNOWN_MAX:
                return HARVESTED
        return refusal

    def begin(self, envelope: Envelope, identity: Identity | None) -> Spooling:
        """DATA or the first BDAT."""
        return _InboundSpooling(self, envelope)

    async def route(self, recipient: Address, reverse_path: Address | None) -> Route:
        """The routing of an address for mail with this reverse-path."""
        return await self._router.route(recipient, is_report=reverse_path is None)


def _refused(recipient: Address, enhanced: str, text: str) -> Route:
    refusal = Status(550, enhanced, text)
    return Route(address=str(recipient), is_hosted=True, refusal=refusal)


class _InboundSpooling:
    """One message on its way into the spool."""

    def __init__(self, reception: InboundReception, envelope: Envelope) -> None:
        self._reception = reception
        self._envelope = envelope
        self._now = reception.clock.seconds()
        self._id = new_id(self._now)
        self._letter = Letter(
            envelope, self._now, examines=bool(reception.checks), memory=reception.memory
        )
        self._body = reception.intake.body(self._now)
        self._has_trace = False
        self._error: MailError | None = None

    async def write(self, data: bytes) -> None:
        """More octets; an error is kept for the end, for the sender must talk on till then."""
        if self._error is not None:
            return
        try:
            body = self._letter.feed(data)
            if self._letter.has_header:
                await self._begin()
                await self._body.write(body)
        except MailError as error:
            self._error = error
            await self.abort()

    async def _begin(self) -> None:
        """Our trace, and the header; a header that never ends is refused later."""
        if self._has_trace:
            return
        self._has_trace = True
        reception = self._reception
        addresses = [recipient.address for recipient in self._envelope.recipients]
        await self._body.write(
            received_field(
                self._envelope.peer,
                by=reception.hostname,
                queue_id=self._id,
                now=self._now,
                recipient=addresses[0] if len(addresses) == 1 else None,
            )
            + opened(self._letter.header, reception.own_names)
        )

    async def finish(self) -> Status:
        """End of data."""
        try:
            if self._error is not None:
                raise self._error
            return await self._accept()
        except MailError as error:
            status = status_for(error)
            # Temporary: ours to mend. What is wrong with a store is told once, by itself.
            is_told = status.is_permanent or isinstance(error, NoSpace | Corrupt)
            tell = log.info if is_told else log.warn
            tell("{message_id} not taken: {reason}", message_id=self._id, reason=error.message)
            return status
        except Exception:
            log.failure("accepting {message_id} failed", message_id=self._id)
            return TEMPORARY
        finally:
            await self.abort()

    async def _accept(self) -> Status:
        reception = self._reception
        await self._begin()
        verdicts = await collect(reception.checks, self._letter, reception.clock)
        _record(self._id, verdicts)
        judgment = await judge(
            reception.message_table, self._letter.facts(verdicts), reception.count
        )
        if judgment.refusal is not None:
            return judgment.refusal
        if not self._letter.is_whole:  # whatever the rules say: the rest of it was not kept
            raise TooBig("The header of the message is too big.")
        routed = await self._routed()
        if not any(route.refusal is None for _, route in routed):
            return _first_refusal_of(routed)
        if any(route.refusal is not None for _, route in routed):
            return CHANGED
        deliveries = deliveries_for(self._id, routed, self._now, reception.hold, judgment)
        if deliveries and not isinstance(judgment.action, Discard):
            size = self._body.size_octets
            if not await self._has_room([route for _, route in routed], size):
                return FULL
            message = message_of(self._envelope, self._id, size, self._now, "mx")
            message = attrs.evolve(
                message, message_id=self._letter.message_id, is_8bit=self._letter.is_8bit
            )
            await reception.intake.accept(message, deliveries, self._body)
        # else a rule, or every recipient's owner, wants such mail dropped in silence
        return Status(250, "2.0.0", f"Queued as {self._id}")

    async def _has_room(self, routes: Sequence[Route], size_octets: int) -> bool:
        """Does anybody get it? Known for sure only now, whatever MAIL FROM said of the size."""
        sender = str(self._envelope.reverse_path or "")
        if await self._reception.rooms.take(routes, size_octets, sender):
            return True
        self._reception.count("inbound.message.full")
        return False

    async def _routed(self) -> list[tuple[Recipient, Route]]:
        routed = []
        for recipient in self._envelope.recipients:
            route = await self._reception.route(recipient.address, self._envelope.reverse_path)
            if not route.is_hosted:
                route = _refused(recipient.address, "5.7.1", "Relaying is not allowed here.")
            routed.append((recipient, route))
        return routed

    async def abort(self) -> None:
        """The connection or the transaction ended early; or what was kept for it is done with."""
        self._letter.close()
        await self._body.abort()


def _record(message_id: str, verdicts: Verdicts) -> None:
    """What the checks found, but for what was not there to be found."""
    for method, found in attrs.asdict(verdicts, recurse=False).items():
        for verdict in found or ():
            if verdict.result is not Result.NONE:
                log.info(
                    "{message_id}: {method}={result} {domain} {reason}",
                    message_id=message_id,
                    method=method,
                    result=verdict.result.value,
                    domain=verdict.domain,
                    reason=verdict.reason,
                    metric="verdict",
                    outcome=f"{method}.{verdict.result.value}",
                )


def _first_refusal_of(routed: Sequence[tuple[Recipient, Route]]) -> Status:
    refusals = [route.refusal for _, route in routed if route.refusal is not None]
    temporary = [refusal for refusal in refusals if refusal.code < 500]
    missing = Status(550, "5.1.1", "No such address here.")
    return next(iter(temporary or refusals), missing)
