"""
Reception of mail from our own users: only as themselves, completed, signed, queued.

The state of the alias is read again for every message (a password may be gone since login).
The message is held in memory until its end, since the signature over the body stands before
it; all messages in hand share one budget. Then its header is completed (Date, Message-ID, no
Bcc), what some host on the way could not carry is encoded, DKIM-Signature and Received are put
on top, and one spool serves all recipients: hosted ones are routed here, others go to the remote
courier. Who resends a message of somebody else (``message/resent.py``) sends it unchanged. Our
Received field names no address or name of the user's machine: where somebody writes from is
nobody's business.
RFC 6409 §3, §6, §8; RFC 6376 §5.3; RFC 5321 §4.4; RFC 5322 §3.6.6.
"""

from collections.abc import Sequence
from typing import Protocol

import attrs
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from fe_mail.accounts.claims import chosen_claim
from fe_mail.budget import Budget
from fe_mail.message.compose import new_message_id
from fe_mail.message.form import header_fault
from fe_mail.message.headers import HeaderField
from fe_mail.message.opening import without_mbox_line
from fe_mail.message.received import received_field
from fe_mail.message.resent import resenders, sole_address
from fe_mail.message.submit import Completed, Completion, complete_message, own_message_id
from fe_mail.model.account import Domain, RouteRows
from fe_mail.model.address import Address
from fe_mail.model.envelope import Envelope, Peer, Recipient
from fe_mail.model.errors import Invalid, MailError, Unavailable
from fe_mail.model.identity import Identity
from fe_mail.model.ids import new_id
from fe_mail.model.queue import Target
from fe_mail.model.route import Route
from fe_mail.model.status import TEMPORARY, Status, status_for
from fe_mail.model.verdicts import Verdicts
from fe_mail.policy.allowance import Allowance
from fe_mail.policy.limits import DAILY_MESSAGES, MAX_RECIPIENTS
from fe_mail.policy.outbound import (
    RECIPIENT,
    SENDER,
    Rights,
    SubmissionFacts,
    SubmittedRecipient,
    SubmittedSender,
    allowance_table,
    is_own_address,
    message_table,
)
from fe_mail.policy.rules import Count, Discard, Judgment, first_refusal, judge
from fe_mail.ports import AliasStore, BodyWriter, Counters, DomainStore, Offload
from fe_mail.queue.intake import Intake
from fe_mail.reception.inbound import Routing
from fe_mail.reception.interface import Spooling
from fe_mail.reception.letter import Letter
from fe_mail.reception.signing import Signer
from fe_mail.reception.spooling import HoldReason, deliveries_for, message_of

__all__ = ["MAX_SPOOLING_OCTETS", "SubmissionReception"]

log = Logger()

MAX_SPOOLING_OCTETS = 256 * 1024 * 1024  # of all messages that are being received
OFFLOAD_COMPLETION_OCTETS = 16 * 1024  # bigger ones are completed in a thread: a header may cost


class SenderRecords(AliasStore, DomainStore, Protocol):
    """What is asked about a sender."""


class SubmissionReception:
    """
    ``hold`` gives the reason to hold mail to an outside address, empty for none. With
    ``loopback`` hosted recipients go through the MX like all others (the demo's way).
    """

    def __init__(
        self,
        router: Routing,
        accounts: SenderRecords,
        intake: Intake,
        counters: Counters,
        signer: Signer,
        clock: IReactorTime,
        *,
        hostname: str,
        own_names: Sequence[str] = (),
        run: Offload,
        count: Count,
        hold: HoldReason | None = None,
        loopback: bool = False,
        daily_messages: int = DAILY_MESSAGES,
        max_recipients: int = MAX_RECIPIENTS,
        memory: Budget | None = None,
    ) -> None:
        self.intake = intake
        self.signer = signer
        self.clock = clock
        self.hostname = hostname
        self.own_names = frozenset(name.lower() for name in (hostname, *own_names))
        self.run = run
        self.hold = hold
        self.count = count
        self.allowance = Allowance(counters, daily_messages)
        self.message_table = message_table(max_recipients)
        self.allowance_table = allowance_table(self.allowance)
        self.memory = memory or Budget()
        self.octets_in_hand = 0
        self._router = router
        self._accounts = accounts
        self._loopback = loopback

    async def connected(self, peer: Peer) -> Status | None:
        """Anybody may try to sign in; ``Login`` limits that."""
        return None

    async def patience(self, peer: Peer) -> float | None:
        """Mail programs are not tested for their manners."""
        return None

    async def sender(
        self, peer: Peer, identity: Identity | None, reverse_path: Address | None
    ) -> Status | None:
        """MAIL FROM: only one's own address (or the null reverse-path, for receipts)."""
        rights = await self.rights(identity) if identity else None
        facts = SubmittedSender(identity=identity, reverse_path=reverse_path, rights=rights)
        return await first_refusal(SENDER, facts, self.count)

    async def recipient(
        self,
        peer: Peer,
        identity: Identity | None,
        reverse_path: Address | None,
        recipient: Address,
        size_octets: int = 0,
    ) -> Status | None:
        """RCPT TO: the outside is not known here, hosted addresses must exist."""
        if identity is None:
            return Status(530, "5.7.0", "Authentication required.")
        facts = SubmittedRecipient(recipient=recipient, route=await self._router.route(recipient))
        return await first_refusal(RECIPIENT, facts, self.count)

    def begin(self, envelope: Envelope, identity: Identity | None) -> Spooling:
        """DATA or the first BDAT."""
        return _SubmissionSpooling(self, envelope, identity)

    async def rights(self, identity: Identity) -> Rights:
        """What the alias may do now."""
        alias, domain = identity.alias, identity.domain
        claims = await self._accounts.route_rows(alias.name, domain.name)
        claim = next((rows for rows in claims if rows.domain.id == domain.id), None)
        if claim is None:
            return Rights(alias_is_enabled=False, domain_may_send=False, is_unlimited=False)
        return Rights(
            alias_is_enabled=_is_enabled(claim, alias.id),
            domain_may_send=claim.domain.has_smtp or claim.owner_is_admin,
            is_unlimited=claim.owner_is_admin,
        )

    async def route(self, recipient: Address) -> Route:
        """Hosted addresses as the router says, all others to their own hosts."""
        route = await self._router.route(recipient)
        if route.refusal is not None or (route.is_hosted and not self._loopback):
            return route
        if route.is_hosted and not route.targets:
            return route  # dropped on purpose
        target = Target(courier="remote", address=str(recipient))
        return Route(address=str(recipient), is_hosted=route.is_hosted, targets=(target,))

    async def hosts(self, address: Address) -> bool:
        """Is its domain one of ours?"""
        return (await self._router.route(address)).is_hosted

    async def signed_before(self, chunks: Sequence[bytes], author: Address) -> bool:
        """Does the message bear a signature that we made for the author's domain?"""
        claim = chosen_claim(await self._accounts.route_rows(author.base, author.domain))
        return claim is not None and await self.signer.has_signed(chunks, claim.domain)

    async def current_domain(self, identity: Identity) -> Domain:
        """The domain with the key it has now."""
        return await self._accounts.domain(identity.domain.id)


def _is_enabled(claim: RouteRows, alias_id: str) -> bool:
    """The alias is there and enabled; ``*`` signs in as itself where that is allowed."""
    candidates = (claim.named, claim.catchall, *claim.patterns)
    return any(
        alias is not None and alias.id == alias_id and alias.is_enabled for alias in candidates
    )


class _SubmissionSpooling:
    """One message from a user."""

    def __init__(
        self, reception: SubmissionReception, envelope: Envelope, identity: Identity | None
    ) -> None:
        self._reception = reception
        self._envelope = envelope
        self._identity = identity
        self._now = reception.clock.seconds()
        self._id = new_id(self._now)
        self._chunks: list[bytes] = []
        self._octets = 0
        self._letter = Letter(envelope, self._now, examines=False, memory=reception.memory)
        self._error: MailError | None = None

    async def write(self, data: bytes) -> None:
        """Keep it, within the budget of all."""
        if self._error is not None:
            return
        if self._reception.octets_in_hand + len(data) > MAX_SPOOLING_OCTETS:
            self._error = Unavailable("Too much mail at once.")
            self._let_go()
            return
        self._reception.octets_in_hand += len(data)
        self._octets += len(data)
        self._chunks.append(data)
        try:
            self._letter.feed(data)
        except Unavailable as error:
            self._error = error
            self._let_go()

    def _let_go(self) -> None:
        self._reception.octets_in_hand -= self._octets
        self._octets = 0
        self._chunks = []
        self._letter.close()

    async def abort(self) -> None:
        """Forget it."""
        self._let_go()

    async def finish(self) -> Status:
        """End of data."""
        try:
            if self._error is not None:
                raise self._error
            return await self._accept()
        except MailError as error:
            log.info("{message_id} refused: {reason}", message_id=self._id, reason=error.message)
            return status_for(error)
        except Exception:
            log.failure("accepting {message_id} failed", message_id=self._id)
            return TEMPORARY
        finally:
            self._let_go()

    async def _accept(self) -> Status:
        reception, identity, reverse_path = (
            self._reception,
            self._identity,
            self._envelope.reverse_path,
        )
        rights = await reception.rights(identity) if identity else None
        sender = SubmittedSender(identity=identity, reverse_path=reverse_path, rights=rights)
        refusal = await first_refusal(SENDER, sender, reception.count)
        if refusal is not None or identity is None or rights is None:
            return refusal or TEMPORARY
        routed = await self._routed()
        for _, route in routed:
            if route.refusal is not None:  # since RCPT: tell it here rather than by a report
                return route.refusal
        submission = await self._facts(identity, rights)
        judgment = await judge(reception.message_table, submission, reception.count)
        refusal = judgment.refusal or await first_refusal(
            reception.allowance_table, submission, reception.count
        )
        if refusal is not None:
            return refusal
        try:
            return await self._queue(submission, routed, judgment)
        except Exception:
            if not rights.is_unlimited:
                await self._give_back(identity)
            raise

    async def _facts(self, identity: Identity, rights: Rights) -> SubmissionFacts:
        letter = self._letter
        author, who = _address_in(letter.fields, b"from"), _resenders(letter.fields)
        facts = SubmissionFacts(
            message=letter.facts(Verdicts()),
            identity=identity,
            rights=rights,
            author=author,
            fault=header_fault(without_mbox_line(letter.header)),
            resenders=who,
        )
        if author is None or not who:
            return facts
        return attrs.evolve(
            facts,
            author_is_hosted=await self._reception.hosts(author),
            author_is_proven=await self._reception.signed_before(self._chunks, author),
        )

    async def _give_back(self, identity: Identity) -> None:
        """The message is refused after all, so it must not count."""
        try:
            await self._reception.allowance.give_back(identity.alias)
        except MailError:
            log.failure("{message_id} counts though it was refused", message_id=self._id)

    async def _queue(
        self,
        submission: SubmissionFacts,
        routed: list[tuple[Recipient, Route]],
        judgment: Judgment,
    ) -> Status:
        reception, identity = self._reception, submission.identity
        deliveries = deliveries_for(self._id, routed, self._now, reception.hold, judgment)
        if not deliveries or isinstance(judgment.action, Discard):
            return self._taken()  # a rule, or every recipient's owner, wants it dropped in silence
        completion = self._completion(submission)
        completed = await self._completed(completion)
        domain = await reception.current_domain(identity)
        body = await reception.signer.signed(completed.raw, domain)
        spooled = await self._spooled(body)
        message = attrs.evolve(
            message_of(self._envelope, self._id, spooled.size_octets, self._now, "submission"),
            alias_id=identity.alias.id,
            domain_id=identity.domain.id,
            message_id=own_message_id(self._letter.fields) or completion.message_id,
            is_8bit=completed.is_8bit,
            is_utf8=completed.has_utf8_header or self._envelope.is_utf8,
        )
        await reception.intake.accept(message, deliveries, spooled)
        return self._taken()

    def _completion(self, submission: SubmissionFacts) -> Completion:
        identity, fields = submission.identity, self._letter.fields
        sender = _address_in(fields, b"sender")
        return Completion(
            now=self._now,
            message_id=new_message_id(identity.domain.name, self._now),
            keeps_sender=sender is not None and is_own_address(sender, identity),
            is_resent=bool(submission.resenders),
            names=self._reception.own_names,
        )

    async def _completed(self, completion: Completion) -> Completed:
        """The message with the fields it lacked; the original is let go of."""
        chunks, self._chunks = self._chunks, []

        def work() -> Completed:
            return complete_message(b"".join(chunks), completion)

        if self._octets > OFFLOAD_COMPLETION_OCTETS:
            return await self._reception.run(work)
        return work()

    async def _spooled(self, body: bytes) -> BodyWriter:
        recipients = self._envelope.recipients
        trace = received_field(
            attrs.evolve(self._envelope.peer, ip="", helo="", host=""),
            by=self._reception.hostname,
            queue_id=self._id,
            now=self._now,
            recipient=recipients[0].address if len(recipients) == 1 else None,
        )
        return await self._reception.intake.written(trace, body, now=self._now)

    async def _routed(self) -> list[tuple[Recipient, Route]]:
        reception = self._reception
        return [
            (recipient, await reception.route(recipient.address))
            for recipient in self._envelope.recipients
        ]

    def _taken(self) -> Status:
        return Status(250, "2.0.0", f"Queued as {self._id}")


def _address_in(fields: tuple[HeaderField, ...], name: bytes) -> Address | None:
    try:
        return sole_address(fields, name)
    except Invalid:
        return None


def _resenders(fields: tuple[HeaderField, ...]) -> tuple[Address, ...] | None:
    try:
        return resenders(fields)
    except Invalid:
        return None
