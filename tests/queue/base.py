"""A small post office in memory: stores, router, queue, and ways to hand mail in."""

from collections.abc import Sequence
from typing import Any

from fe_mail.accounts.routing import Router
from fe_mail.adapters.memory.blobs import MemoryBlobs
from fe_mail.adapters.memory.queue import MemoryQueue
from fe_mail.mailauth.srs import SRS
from fe_mail.model.address import parse_address
from fe_mail.model.envelope import Envelope, Peer, Recipient
from fe_mail.model.queue import Claim, Outcome, QueueEntry, QueueFilter
from fe_mail.queue.inbound import InboundReception
from fe_mail.queue.reception import Reception, Reply
from tests.accounts.fakes import AccountsTestCase
from tests.fakes import give_keys

__all__ = ["MESSAGE", "PEER", "PostOfficeTestCase", "ScriptedCourier"]

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


class ScriptedCourier:
    """Answers with the outcomes it was given, the last one for ever; keeps what it got."""

    def __init__(self, *outcomes: Outcome | Exception) -> None:
        self.outcomes = list(outcomes) or [Outcome.delivered()]
        self.claims: list[Claim] = []

    async def deliver(self, claim: Claim) -> Outcome:
        """Take the next outcome."""
        self.claims.append(claim)
        outcome = self.outcomes.pop(0) if len(self.outcomes) > 1 else self.outcomes[0]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


class PostOfficeTestCase(AccountsTestCase):
    """``example.org`` is hosted, ``alice`` has a mailbox, ``fan`` forwards."""

    def setUp(self) -> None:
        """Open the office."""
        super().setUp()
        self.queue = MemoryQueue()
        self.blobs = MemoryBlobs()
        self.router = Router(self.accounts)
        self.srs = SRS([b"secret"], "mail.example.net")
        self.domain = self.add_domain("example.org", has_smtp=True)
        self.alice = self.add_alias(self.domain, "alice", has_imap=True)
        sealing_key = self.now(self.mailboxes.create(self.alice.id, KEY))
        self.now(give_keys(self.accounts, self.alice.id, [], sealing_key))
        self.alice = self.now(self.accounts.alias(self.alice.id))
        self.fan = self.add_alias(self.domain, "fan", "fan@elsewhere.test")
        self.counted: list[str] = []
        self.reception = InboundReception(
            self.router,
            self.queue,
            self.blobs,
            self.cache,
            self.bus,
            self.clock,
            hostname="mx.example.net",
            srs=self.srs,
            count=self.counted.append,
        )

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
    ) -> Reply:
        """The whole message through a reception."""
        spooling = (reception or self.reception).begin(envelope, identity)
        for start in range(0, len(message), 40):
            self.now(spooling.write(message[start : start + 40]))
        return self.now(spooling.finish())

    def entries(self) -> tuple[QueueEntry, ...]:
        """What is in the queue."""
        return self.now(self.queue.find(QueueFilter()))

    def claim(self) -> Claim:
        """The one delivery that is due."""
        (claim,) = self.now(self.queue.claim(self.clock.seconds(), 60.0, 10))
        return claim

    def inbox(self, key: bytes = KEY) -> Sequence[bytes]:
        """The raw messages in alice's INBOX."""
        mailbox = self.now(self.mailboxes.unlock(self.alice.id, key))
        view = self.now(mailbox.select("INBOX"))
        return [self.now(mailbox.read(view.folder.id, uid, 0, 10_000_000)) for uid in view.uids]
