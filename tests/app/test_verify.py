"""What ``fe-mail verify`` finds, on fakes."""

from collections.abc import Coroutine
from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from fe_mail.app.verify import broken_invariants
from fe_mail.model.account import Domain
from fe_mail.model.ids import BlobId, DomainId
from fe_mail.model.queue import QueuedDelivery, QueuedMessage, Target
from fe_mail.ports import BlobReader
from tests.fakes import (
    MemoryAccountStore,
    MemoryBlobs,
    MemoryBus,
    MemoryQueue,
    QuickKeyring,
    mailbox_store,
)


class SettlingBlobs(MemoryBlobs):
    """Whoever reads a body here comes a moment too late: it has just been delivered."""

    queue: MemoryQueue

    async def open(self, blob: BlobId) -> BlobReader:
        """Settle, then look."""
        await self.queue.drop("m1")
        await self.delete(blob)
        return await super().open(blob)


class VerifyTests(SynchronousTestCase):
    """The spool."""

    def run_now(self, work: Coroutine[Deferred[Any], Any, Any]) -> Any:
        """The result of work that waits for nothing."""
        return self.successResultOf(Deferred.fromCoroutine(work))

    def problems(self, blobs: MemoryBlobs) -> tuple[list[str], MemoryQueue, BlobId]:
        """What is found with one message in the queue."""
        clock = Clock()
        queue = MemoryQueue()
        writer = blobs.create(0.0)
        self.run_now(writer.write(b"body"))
        blob = self.run_now(writer.commit())
        message = QueuedMessage(
            id="m1",
            blob=blob,
            size_octets=4,
            reverse_path="a@b.test",
            created_at=0.0,
            source="mx",
        )
        target = Target(courier="remote", address="c@d.test")
        delivery = QueuedDelivery(message_id="m1", number=0, recipient="c@d.test", target=target)
        self.run_now(queue.put(message, [delivery]))
        self.stores: Any = SimpleNamespace(
            accounts=MemoryAccountStore(),
            queue=queue,
            blobs=blobs,
            mailboxes=mailbox_store(self, MemoryBus(clock), clock),
            keyring=QuickKeyring(),
        )
        if isinstance(blobs, SettlingBlobs):
            blobs.queue = queue
        return self.run_now(broken_invariants(self.stores)), queue, blob

    def test_whole(self) -> None:
        """Nothing to say of a message that waits."""
        self.assertEqual(self.problems(MemoryBlobs())[0], [])

    def test_missing_body(self) -> None:
        """A queued message without a body is named."""
        blobs = MemoryBlobs()
        _, _, blob = self.problems(blobs)
        self.run_now(blobs.delete(blob))
        (problem,) = self.run_now(broken_invariants(self.stores))
        self.assertIn(f"needs the body {blob}, which is missing", problem)

    def test_settled_meanwhile(self) -> None:
        """What a running server delivers while we look is no problem."""
        self.assertEqual(self.problems(SettlingBlobs())[0], [])

    def test_keys(self) -> None:
        """Keys that another server protected are named; those of this one are fine."""
        self.problems(MemoryBlobs())
        for secret, count in ((b"secret of a test", 0), (b"of another server", 2)):
            keyring = QuickKeyring(secret)
            domain = Domain(
                id=DomainId(f"d{count}"),
                name=f"d{count}.test",
                dkim_private_key=keyring.protect(b"pem", "dkim"),
                webhook_key=keyring.protect(b"digits", "webhook"),
            )
            self.run_now(self.stores.accounts.add_domain(domain))
            problems = self.run_now(broken_invariants(self.stores))
            self.assertEqual(len([each for each in problems if each.startswith("keys:")]), count)
