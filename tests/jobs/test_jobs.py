"""The background jobs, on in-memory stores and a clock of our own."""

from collections.abc import Coroutine
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from fe_mail.accounts.site import Site
from fe_mail.adapters.memory.blobs import MemoryBlobs
from fe_mail.adapters.memory.bus import MemoryBus
from fe_mail.jobs.storage import record_storage, tell_quotas
from fe_mail.jobs.sweep import MIN_AGE_SECONDS, sweep_bodies
from fe_mail.jobs.verify import RECHECK_SECONDS, verify_domains
from fe_mail.model.account import Alias, Domain, Member, User
from fe_mail.model.errors import Corrupt, Unavailable
from fe_mail.model.ids import AliasId, DomainId, UserId
from fe_mail.model.mailbox import Delivery, NewMessage
from fe_mail.ports import Acceptance, BodyWriter
from tests.contracts.queue import LARGE, delivery, message
from tests.fakes import MemoryAccountStore, give_keys, mailbox_store, queue_in_memory

SITE = Site(hostname="mx.host.test", exchange_domains=("mx.host.test",), web_host="host.test")
T = TypeVar("T")


class SweepTests(SynchronousTestCase):
    """Large bodies that a crash left behind."""

    def get(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of what is done at once."""
        return self.successResultOf(Deferred.fromCoroutine(work))

    def test_only_old_orphans_go(self) -> None:
        """Needed bodies stay for ever, young ones until their message had its time."""
        blobs = MemoryBlobs()
        queue = queue_in_memory(Clock(), blobs)

        def begun(now: float) -> BodyWriter:
            body = queue.body(now)
            self.get(body.write(LARGE))
            self.get(body.complete())
            return body

        begun(0.0)
        acceptance = Acceptance(message=message(), deliveries=(delivery(),), body=begun(0.0))
        self.get(queue.accept(acceptance))
        begun(MIN_AGE_SECONDS)
        for now, left in ((MIN_AGE_SECONDS, 3), (MIN_AGE_SECONDS + 1, 2)):
            self.get(sweep_bodies(queue, now))
            self.assertEqual(len(self.get(blobs.list())), left)


class VerifyTests(SynchronousTestCase):
    """Which domains are looked at again."""

    def test_settled_domains_rest_and_failures_stop_nothing(self) -> None:
        """A fresh good check is left alone; a resolver that fails for one domain is not the end."""
        store = MemoryAccountStore()
        owner = User(id=UserId("u" * 24), email="a@b.test", password_hash="x")
        self.successResultOf(Deferred.fromCoroutine(store.add_user(owner)))
        settled = {"has_mx_record": True, "has_txt_record": True, "has_smtp": True}
        for name, fields in (
            ("new.test", {}),
            ("fresh.test", {**settled, "last_checked_at": 1000.0}),
            ("stale.test", {**settled, "last_checked_at": 1000.0 - RECHECK_SECONDS}),
            ("future.test", {**settled, "last_checked_at": 90_000.0}),
        ):
            domain = Domain(
                id=DomainId(name),
                name=name,
                members=(Member(user_id=owner.id, group="admin"),),
                **fields,  # type: ignore[arg-type]
            )
            self.successResultOf(Deferred.fromCoroutine(store.add_domain(domain)))
        asked: list[str] = []

        async def verify(domain_id: str) -> None:
            asked.append(domain_id)
            raise Unavailable()

        self.successResultOf(Deferred.fromCoroutine(verify_domains(store, verify, 1000.0)))
        self.assertEqual(sorted(asked), ["future.test", "new.test", "stale.test"])

    def test_every_second_hourly_run(self) -> None:
        """A check ends a little after its run began; it is due all the same two hours later."""
        store = MemoryAccountStore()
        owner = User(id=UserId("u" * 24), email="a@b.test", password_hash="x")
        self.successResultOf(Deferred.fromCoroutine(store.add_user(owner)))
        domain = Domain(
            id=DomainId("d"),
            name="b.test",
            members=(Member(user_id=owner.id, group="admin"),),
            has_mx_record=True,
            has_txt_record=True,
            has_smtp=True,
            last_checked_at=0.5,
        )
        self.successResultOf(Deferred.fromCoroutine(store.add_domain(domain)))
        asked: list[float] = []
        for now in (3600.0, 7200.0):

            async def verify(domain_id: str, now: float = now) -> None:
                asked.append(now)

            self.successResultOf(Deferred.fromCoroutine(verify_domains(store, verify, now)))
        self.assertEqual(asked, [7200.0])


class StorageTests(SynchronousTestCase):
    """What mailboxes use, for the lists, and what they may use."""

    def test_quota(self) -> None:
        """A mailbox that was not told of its quota hears of it."""
        store, clock = MemoryAccountStore(), Clock()
        run = lambda work: self.successResultOf(Deferred.fromCoroutine(work))  # noqa: E731
        owner = run(store.add_user(User(id=UserId("u"), email="a@b.test", password_hash="x")))
        members = (Member(user_id=owner.id, group="admin"),)
        domain = Domain(id=DomainId("d"), name="b.test", members=members)
        run(store.add_domain(domain))
        alias = Alias(id=AliasId("a"), domain_id=domain.id, user_id=owner.id, name="a")
        run(store.add_alias(alias))
        mailboxes = mailbox_store(self, MemoryBus(clock), clock)
        run(give_keys(store, alias.id, [], run(mailboxes.create(alias.id, b"k" * 32))))
        run(store.update_domain(domain.id, 1.0, max_quota_per_alias=12345))
        run(tell_quotas(store, mailboxes, SITE))
        mailbox = run(mailboxes.unlock(alias.id, b"k" * 32))
        self.assertEqual(run(mailbox.quota()).limit_octets, 12345)

    def test_storage(self) -> None:
        """What is used is recorded within a minute of its change, stored or sealed, up or down."""
        store, clock = MemoryAccountStore(), Clock()
        run = lambda work: self.successResultOf(Deferred.fromCoroutine(work))  # noqa: E731
        owner = run(store.add_user(User(id=UserId("u"), email="a@b.test", password_hash="x")))
        members = (Member(user_id=owner.id, group="admin"),)
        domain = Domain(id=DomainId("d"), name="b.test", members=members)
        run(store.add_domain(domain))
        alias = Alias(id=AliasId("a"), domain_id=domain.id, user_id=owner.id, name="a")
        run(store.add_alias(alias))
        mailboxes = mailbox_store(self, MemoryBus(clock), clock)
        sealing_key = run(mailboxes.create(alias.id, b"k" * 32))
        new = NewMessage(raw=b"a: b\r\n\r\n12", received_at=0.0)
        run(mailboxes.deliver(alias.id, sealing_key, Delivery(id="1", message=new)))

        def recorded() -> int:
            run(record_storage(store, mailboxes))
            found = run(store.alias(alias.id))
            self.assertEqual(found.updated_at, alias.updated_at)
            self.assertEqual(run(store.domain(domain.id)).storage_used, found.storage_used)
            return found.storage_used

        self.assertEqual(recorded(), 10)
        mailbox = run(mailboxes.unlock(alias.id, b"k" * 32))
        run(mailbox.append("INBOX", [new]))
        self.assertEqual(recorded(), 20)
        inbox = run(mailbox.select("INBOX")).folder.id
        run(mailbox.remove(inbox, [1]))
        self.assertEqual(recorded(), 10)
        run(mailboxes.settle(alias.id, 1))
        self.assertEqual(recorded(), 0)

    def test_a_broken_mailbox_stops_nothing(self) -> None:
        """The aliases behind one that cannot be told hear of their quota."""
        store = MemoryAccountStore()
        owner = User(id=UserId("u" * 24), email="a@b.test", password_hash="x")
        members = (Member(user_id=owner.id, group="admin"),)
        domain = Domain(id=DomainId("d"), name="b.test", members=members)
        self.successResultOf(Deferred.fromCoroutine(store.add_user(owner)))
        self.successResultOf(Deferred.fromCoroutine(store.add_domain(domain)))
        for name in ("x", "y", "z"):
            alias = Alias(
                id=AliasId(name),
                domain_id=domain.id,
                user_id=owner.id,
                name=name,
                sealing_key=b"key" if name != "z" else b"",
            )
            self.successResultOf(Deferred.fromCoroutine(store.add_alias(alias)))
        asked: list[str] = []

        class Mailboxes:
            async def set_quota(self, alias_id: AliasId, limit_octets: int) -> None:
                asked.append(alias_id)
                if len(asked) == 1:
                    raise Corrupt()

        mailboxes: Any = Mailboxes()
        self.successResultOf(Deferred.fromCoroutine(tell_quotas(store, mailboxes, SITE)))
        self.assertEqual(sorted(asked), ["x", "y"])
