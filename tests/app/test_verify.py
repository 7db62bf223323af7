"""What ``fe-mail verify`` finds, on fakes."""

from collections.abc import Coroutine
from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from fe_mail.app.verify import broken_invariants
from fe_mail.model.account import Alias, Domain, Member, User
from fe_mail.model.ids import AliasId, DomainId, UserId
from fe_mail.ports import Acceptance
from tests.contracts.queue import LARGE, delivery, message
from tests.fakes import (
    MemoryAccountStore,
    MemoryBlobs,
    MemoryBus,
    QuickKeyring,
    give_keys,
    mailbox_store,
    queue_in_memory,
)


class VerifyTests(SynchronousTestCase):
    """Every store is asked."""

    def setUp(self) -> None:
        """Sound stores, with a large message that waits."""
        clock = Clock()
        self.blobs = MemoryBlobs()
        queue = queue_in_memory(clock, self.blobs)
        body = queue.body(0.0)
        self.run_now(body.write(LARGE))
        acceptance = Acceptance(message=message(), deliveries=(delivery(),), body=body)
        self.run_now(queue.accept(acceptance))
        self.stores: Any = SimpleNamespace(
            accounts=MemoryAccountStore(),
            queue=queue,
            mailboxes=mailbox_store(self, MemoryBus(clock), clock),
            keyring=QuickKeyring(),
        )

    def run_now(self, work: Coroutine[Deferred[Any], Any, Any]) -> Any:
        """The result of work that waits for nothing."""
        return self.successResultOf(Deferred.fromCoroutine(work))

    def problems(self) -> list[str]:
        """What is found."""
        return self.run_now(broken_invariants(self.stores))

    def test_whole(self) -> None:
        """Nothing to say of a message that waits."""
        self.assertEqual(self.problems(), [])

    def test_missing_body(self) -> None:
        """A queued message without a body is named."""
        ((blob, _),) = self.run_now(self.blobs.list())
        self.run_now(self.blobs.delete(blob))
        (problem,) = self.problems()
        self.assertTrue(problem.startswith(f"queue: The body {blob} cannot be read"), problem)

    def test_keys(self) -> None:
        """Keys that another server protected are named; those of this one are fine."""
        for secret, count in ((b"secret of a test", 0), (b"of another server", 2)):
            keyring = QuickKeyring(secret)
            domain = Domain(
                id=DomainId(f"d{count}"),
                name=f"d{count}.test",
                dkim_private_key=keyring.protect(b"pem", "dkim"),
                webhook_key=keyring.protect(b"digits", "webhook"),
            )
            self.run_now(self.stores.accounts.add_domain(domain))
            problems = self.problems()
            self.assertEqual(len([each for each in problems if each.startswith("keys:")]), count)

    def test_mailboxes(self) -> None:
        """A mailbox that is missing and one of nobody are named; what a job is about to set right
        is not."""
        accounts, mailboxes = self.stores.accounts, self.stores.mailboxes
        owner = self.run_now(
            accounts.add_user(User(id=UserId("u"), email="a@b.test", password_hash="x"))
        )
        members = (Member(user_id=owner.id, group="admin"),)
        self.run_now(accounts.add_domain(Domain(id=DomainId("d"), name="d.test", members=members)))
        for name in ("fine", "missing", "other", "busy"):
            alias = Alias(id=AliasId(name), domain_id=DomainId("d"), user_id=owner.id, name=name)
            self.run_now(accounts.add_alias(alias))
        for name in ("fine", "other", "gone", "busy"):
            key = self.run_now(mailboxes.create(AliasId(name), b"k" * 32))
            if name == "fine":
                self.run_now(give_keys(accounts, AliasId(name), [], key))
        for name in ("missing", "other"):
            self.run_now(give_keys(accounts, AliasId(name), [], b"another key"))
        busy = self.run_now(accounts.keys(AliasId("busy")))
        self.run_now(accounts.set_keys(busy, 0.0, 300.0))
        self.assertEqual(
            self.run_now(broken_invariants(self.stores)),
            [
                "mailboxes: the mailbox of missing@d.test is missing.",
                "mailboxes: the mailbox of other@d.test is missing.",
                "mailboxes: gone is the mailbox of no alias.",
            ],
        )
