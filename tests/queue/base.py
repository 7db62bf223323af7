"""A small post office in memory: stores, router, queue, and ways to hand mail in."""

import json
from collections.abc import Sequence
from typing import Any

from fe_mail.accounts.routing import Router
from fe_mail.adapters.memory.cache import MemoryCache
from fe_mail.adapters.sqlite.queue import SQLiteQueue
from fe_mail.adapters.threads import InlineThreads
from fe_mail.mailauth.srs import SRS
from fe_mail.model.account import LogEntry
from fe_mail.model.address import parse_address
from fe_mail.model.envelope import Envelope, Peer, Recipient
from fe_mail.model.ids import AliasId, DomainId, new_id
from fe_mail.model.lane import KINDS
from fe_mail.model.queue import (
    Claim,
    Outcome,
    QueuedDelivery,
    QueuedMessage,
    QueueEntry,
    QueueFilter,
    Room,
    Target,
)
from fe_mail.model.status import Status
from fe_mail.ports import Acceptance
from fe_mail.queue.intake import Intake
from fe_mail.reception.harvesting import Harvesting
from fe_mail.reception.inbound import InboundReception
from fe_mail.reception.interface import Reception
from fe_mail.reception.rooms import Rooms
from fe_mail.reception.signing import OwnDomain, Signer
from tests.accounts.fakes import AccountsTestCase
from tests.fakes import MemoryBlobs, give_keys, queue_in_memory

__all__ = ["MESSAGE", "PEER", "ROOMS", "PostOfficeTestCase", "ScriptedCourier"]

MESSAGE = (
    b"From: Carol <carol@elsewhere.test>\r\n"
    b"To: alice@example.org\r\n"
    b"Subject: hello\r\n"
    b"Message-ID: <1@elsewhere.test>\r\n"
    b"\r\n"
    b"Hello Alice\r\n"
)
PEER = Peer(ip="192.0.2.7", port=4000, helo="client.test", session_id="s1", protocol="ESMTPS")
KEY = b"k" * 32
ROOMS = tuple(Room(kind=kind, places=100, per_lane=100, per_owner=100) for kind in KINDS)


class ScriptedCourier:
    """Answers with the outcomes it was given, the last one for ever; keeps what it got."""

    def __init__(self, *outcomes: Outcome | Exception) -> None:
        self.outcomes = list(outcomes) or [Outcome.delivered()]
        self.claims: list[Claim] = []

    async def deliver(self, claim: Claim) -> tuple[Outcome, ...]:
        """Take the next outcome, for all of them."""
        self.claims.append(claim)
        outcome = self.outcomes.pop(0) if len(self.outcomes) > 1 else self.outcomes[0]
        if isinstance(outcome, Exception):
            raise outcome
        return (outcome,) * len(claim.deliveries)


class PostOfficeTestCase(AccountsTestCase):
    """``example.org`` is hosted, ``alice`` has a mailbox, ``fan`` forwards."""

    def setUp(self) -> None:
        """Open the office."""
        super().setUp()
        self.blobs = MemoryBlobs()
        self.queue = self.make_queue()
        self.intake = Intake(self.queue, self.bus)
        self.signer = Signer(self.keyring, self.clock, InlineThreads().run)
        self.own_domain = OwnDomain("example.net", self.accounts, self.signer)
        self.srs = SRS([b"secret"], "mail.example.net")
        self.router = Router(self.accounts, srs=self.srs, clock=self.clock)
        self.domain = self.add_domain("example.org", has_smtp=True)
        self.alice = self.add_alias(self.domain, "alice", has_imap=True)
        sealing_key = self.now(self.mailboxes.create(self.alice.id, KEY))
        self.now(give_keys(self.accounts, self.alice.id, [], sealing_key))
        self.alice = self.now(self.accounts.alias(self.alice.id))
        self.fan = self.add_alias(self.domain, "fan", "fan@elsewhere.test")
        self.counted: list[str] = []
        self.cache = MemoryCache(self.clock)
        self.rooms = Rooms(self.mailboxes, self.queue, self.clock)
        self.harvesting = Harvesting(self.counters, self.cache)
        self.reception = InboundReception(
            self.router,
            self.intake,
            self.rooms,
            self.harvesting,
            self.cache,
            self.clock,
            hostname="mx.example.net",
            count=self.counted.append,
        )

    def make_queue(self) -> SQLiteQueue:
        """An empty queue."""
        return queue_in_memory(self.clock, self.blobs)

    def envelope(
        self, *recipients: str, sender: str = "carol@elsewhere.test", **more: Any
    ) -> Envelope:
        """An envelope of plain addresses."""
        return Envelope(
            reverse_path=parse_address(sender) if sender else None,
            recipients=tuple(Recipient(address=parse_address(text)) for text in recipients),
            peer=PEER,
            **more,
        )

    def hand_in(
        self,
        envelope: Envelope,
        message: bytes = MESSAGE,
        reception: Reception | None = None,
        identity: Any = None,
    ) -> Status:
        """The whole message through a reception."""
        spooling = (reception or self.reception).begin(envelope, identity)
        for start in range(0, len(message), 40):
            self.now(spooling.write(message[start : start + 40]))
        return self.now(spooling.finish())

    def message(self, **more: Any) -> QueuedMessage:
        """A message that alice sends; the id is new unless one is given."""
        now = self.clock.seconds()
        return QueuedMessage(
            **{
                "id": new_id(now),
                "size_octets": len(MESSAGE),
                "reverse_path": "alice@example.org",
                "created_at": now,
                "source": "submission",
                "domain_id": self.domain.id,
                "alias_id": self.alice.id,
                **more,
            }
        )

    def acceptance(
        self, message: QueuedMessage, *targets: Target, raw: bytes = MESSAGE, **more: Any
    ) -> Acceptance:
        """The message with one delivery for each target, numbered from 1."""
        now = self.clock.seconds()
        deliveries = tuple(
            QueuedDelivery(
                **{
                    "message_id": message.id,
                    "number": number,
                    "recipient": target.address,
                    "target": target,
                    "next_attempt_at": now,
                    **more,
                }
            )
            for number, target in enumerate(targets, 1)
        )
        body = self.now(self.intake.written(raw, now=now))
        return Acceptance(message=message, deliveries=deliveries, body=body)

    def claim_on(
        self, message: QueuedMessage, *targets: Target, raw: bytes = MESSAGE, **more: Any
    ) -> Claim:
        """Accept the message, and have it claimed as a whole."""
        acceptance = self.acceptance(message, *targets, raw=raw, **more)
        numbers = [delivery.number for delivery in acceptance.deliveries]
        (claim,) = self.now(self.queue.accept(acceptance, 60.0, numbers))
        return claim

    def entries(self) -> tuple[QueueEntry, ...]:
        """What is in the queue."""
        return self.now(self.queue.find(QueueFilter()))

    def stored(self) -> bytes:
        """The body of the only message in the queue."""
        (entry,) = self.entries()
        return self.now(self.queue.read_body(entry.message))

    def claims(self) -> tuple[Claim, ...]:
        """Everything that is due, for nobody in particular."""
        return self.now(self.queue.claim(self.clock.seconds(), 60.0, ROOMS))

    def claim(self) -> Claim:
        """The one delivery that is due."""
        (claim,) = self.claims()
        return claim

    def journal(self) -> list[LogEntry]:
        """What owners of domains will read, oldest first."""
        rows = self.now(
            self.queue.database.read(
                lambda cursor: cursor.execute(
                    "SELECT id, created_at, kind, domain_id, alias_id, detail FROM log ORDER BY id"
                ).fetchall()
            )
        )
        return [
            LogEntry(
                id=id_,
                created_at=created_at,
                kind=kind,
                domain_id=DomainId(domain_id),
                alias_id=AliasId(alias_id),
                detail=json.loads(detail),
            )
            for id_, created_at, kind, domain_id, alias_id, detail in rows
        ]

    def inbox(self, key: bytes = KEY) -> Sequence[bytes]:
        """The raw messages in alice's INBOX."""
        mailbox = self.now(self.mailboxes.unlock(self.alice.id, key))
        view = self.now(mailbox.select("INBOX"))
        return [self.now(mailbox.read(view.folder.id, uid, 0, 10_000_000)) for uid in view.uids]
