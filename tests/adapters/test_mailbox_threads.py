"""The encrypted store with real threads: groups of writers, readers beside them, many sessions."""

from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults, inlineCallbacks
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase, TestCase

from fe_mail.adapters.memory.bus import MemoryBus
from fe_mail.adapters.sqlite.mailbox import SQLiteMailboxStore
from fe_mail.adapters.sqlite.mailbox.file import SLEEP_SECONDS, MailboxFile
from fe_mail.adapters.sqlite.mailbox.spool import Spool
from fe_mail.adapters.threads import InlineThreads, ReactorThreads
from fe_mail.model import search
from fe_mail.model.errors import OverQuota, Unavailable
from fe_mail.model.mailbox import FlagAction
from tests.adapters.later import LaterThreads
from tests.contracts.mailbox_case import ALICE, KEY, delivery, letter, new

SEEN = frozenset({"\\Seen"})


class ThreadsTests(TestCase):
    """Everything at once."""

    timeout = 60

    @inlineCallbacks
    def setUp(self) -> Any:
        """A store with Alice's mailbox."""
        threads = ReactorThreads(reactor, 4, "test")  # type: ignore[arg-type]  # a module
        self.store = SQLiteMailboxStore(
            self.mktemp(), MemoryBus(reactor), threads, reactor, key=KEY
        )
        self.addCleanup(threads.stop)
        self.addCleanup(lambda: Deferred.fromCoroutine(self.store.stop()))
        yield Deferred.fromCoroutine(self.store.start())
        self.sealing_key = yield Deferred.fromCoroutine(self.store.create(ALICE, KEY))

    def deliveries(self, prefix: str) -> "Deferred[Any]":
        """Forty deliveries, each of them twice, at the same time."""
        return gatherResults(
            [
                Deferred.fromCoroutine(
                    self.store.deliver(ALICE, self.sealing_key, delivery(f"{prefix}{number}"))
                )
                for number in range(40)
                for _ in range(2)
            ]
        )

    @inlineCallbacks
    def test_deliver_while_it_opens(self) -> Any:
        """Mail that arrives locked, while the mailbox opens, and after that: each once."""
        yield self.deliveries("locked")
        opening = Deferred.fromCoroutine(self.store.unlock(ALICE, KEY))
        during = self.deliveries("opening")
        mailbox = yield opening
        yield during
        yield self.deliveries("open")
        yield Deferred.fromCoroutine(mailbox.take_in())
        view = yield Deferred.fromCoroutine(mailbox.select("INBOX"))
        self.assertEqual(tuple(view.uids), tuple(range(1, 121)))
        self.assertEqual((yield Deferred.fromCoroutine(mailbox.check())), ())

    @inlineCallbacks
    def test_sessions(self) -> Any:
        """Four sessions that append, flag, move, search and remove leave a sound mailbox."""
        mailboxes = yield gatherResults(
            [Deferred.fromCoroutine(self.store.unlock(ALICE, KEY)) for _ in range(4)]
        )

        async def session(mailbox: Any, number: int) -> None:
            for turn in range(10):
                appended = await mailbox.append("INBOX", [new(letter(f"{number}-{turn}"))] * 3)
                inbox, uids = appended.folder.id, appended.uids
                await mailbox.store_flags(inbox, uids, FlagAction.ADD, SEEN)
                found = await mailbox.search(inbox, search.TextContains(f"{number}-{turn}"))
                assert [uid for uid, _ in found] == list(uids)
                await mailbox.move(inbox, uids[:1], "Archive")
                await mailbox.remove(inbox, uids[1:2])

        yield gatherResults(
            [
                Deferred.fromCoroutine(session(mailbox, number))
                for number, mailbox in enumerate(mailboxes)
            ]
        )
        (inbox, archive) = yield Deferred.fromCoroutine(mailboxes[0].status(["INBOX", "Archive"]))
        self.assertEqual((inbox.messages, archive.messages, inbox.uidnext), (40, 40, 121))
        self.assertEqual((yield Deferred.fromCoroutine(mailboxes[1].check())), ())

    @inlineCallbacks
    def test_quota_race(self) -> Any:
        """Deliveries at the same time cannot together pass the limit that each alone keeps."""
        for state in ("locked", "open"):
            if state == "open":
                yield Deferred.fromCoroutine(self.store.unlock(ALICE, KEY))
            used = yield Deferred.fromCoroutine(self.store.used_octets(ALICE))
            limit = used + 5 * len(letter())
            yield Deferred.fromCoroutine(self.store.set_quota(ALICE, limit))
            results = yield gatherResults(
                [
                    Deferred.fromCoroutine(
                        self.store.deliver(ALICE, self.sealing_key, delivery(f"{state}{number}"))
                    ).addErrback(lambda failure: failure.trap(OverQuota))
                    for number in range(20)
                ]
            )
            self.assertEqual(results.count(OverQuota), 15)
            self.assertEqual((yield Deferred.fromCoroutine(self.store.used_octets(ALICE))), limit)


class ClosingTests(SynchronousTestCase):
    """A file that somebody wakes while it is closed."""

    def setUp(self) -> None:
        """Alice's mailbox, and threads that work when the test says so."""
        self.directory = Path(self.mktemp())
        self.clock = Clock()
        self.bus = MemoryBus(self.clock)
        store = SQLiteMailboxStore(self.directory, self.bus, InlineThreads(), self.clock, key=KEY)
        for work in (store.start(), store.create(ALICE, KEY), store.stop()):
            self.successResultOf(Deferred.fromCoroutine(work))
        self.threads = LaterThreads()
        spool = Spool(self.directory, InlineThreads(), self.clock, KEY)
        self.successResultOf(Deferred.fromCoroutine(spool.open()))
        self.addCleanup(lambda: self.successResultOf(Deferred.fromCoroutine(spool.close())))
        path = self.directory / f"{ALICE}.sqlite"
        self.file = MailboxFile(ALICE, path, KEY, spool, self.bus, self.threads, self.clock)

    def work_all(self) -> None:
        """Let the threads do all that waits for them."""
        while self.threads.calls:
            self.threads.next()

    def test_woken_while_it_closes(self) -> None:
        """Nothing of it stays open, and no timer is left."""
        opening = Deferred.fromCoroutine(self.file.open())
        self.work_all()
        self.successResultOf(opening)
        for _ in range(2):  # upkeep is done with, then it sleeps
            self.clock.advance(SLEEP_SECONDS)
            self.work_all()
        reading = Deferred.fromCoroutine(self.file.read(lambda tx: tx.modseq))
        closing = Deferred.fromCoroutine(self.file.close())
        self.work_all()
        self.successResultOf(closing)
        self.failureResultOf(reading, Unavailable)
        self.assertFalse((self.directory / f"{ALICE}.sqlite-wal").exists(), "it is open")
        self.assertEqual([x for x in self.clock.getDelayedCalls() if x.active()], [])
