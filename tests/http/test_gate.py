"""The gate's limit on guesses, with counters that take their time and two processes."""

from twisted.internet.defer import Deferred, DeferredList

from fe_mail.adapters.sqlite.counters import SQLiteCounters
from fe_mail.adapters.sqlite.database import Database
from fe_mail.adapters.threads import InlineThreads
from fe_mail.http.gate import MAX_FAILURES, Gate, Gatekeeper
from fe_mail.model.errors import RateLimited
from tests.adapters.later import LaterThreads
from tests.api.test_calls import basic
from tests.http.world import HTTPTestCase

GATE = Gate(username="admin", password="let-me-in")
RIGHT = basic("admin", "let-me-in")


def wrong(number: int) -> str:
    """One of many guesses."""
    return basic("admin", f"wrong {number}")


class GuessingTests(HTTPTestCase):
    """Visitors who do not know the password."""

    def gatekeeper(self, database: Database) -> Gatekeeper:
        """One that counts there."""
        return Gatekeeper(GATE, self.services.users, SQLiteCounters(database, self.clock))

    def test_a_crowd(self) -> None:
        """Of guesses that come at once no more are answered than one after the other."""
        threads = LaterThreads()
        database = Database(":memory:", "counters", threads)
        opened = Deferred.fromCoroutine(database.open())
        threads.next()
        self.successResultOf(opened)
        gatekeeper = self.gatekeeper(database)
        guesses = [*(wrong(n) for n in range(MAX_FAILURES + 20)), RIGHT]
        asked = [Deferred.fromCoroutine(gatekeeper.admits(each, "192.0.2.1")) for each in guesses]
        answers = DeferredList(asked, consumeErrors=True)
        while threads.calls:
            threads.next()
        results = self.successResultOf(answers)
        self.assertEqual([result for is_told, result in results if is_told], [False] * MAX_FAILURES)
        refused = [result for is_told, result in results if not is_told]
        self.assertTrue(all(each.check(RateLimited) for each in refused))

    def test_two_processes_and_a_restart(self) -> None:
        """They have one limit, which outlives both."""
        path = self.mktemp()
        gatekeepers = []
        for _ in range(3):
            database = Database(path, "counters", InlineThreads(), is_synced=False)
            self.now(database.open())
            self.addCleanup(lambda database=database: self.now(database.close()))
            gatekeepers.append(self.gatekeeper(database))
        for number in range(MAX_FAILURES):
            self.assertFalse(self.now(gatekeepers[number % 2].admits(wrong(number), "192.0.2.1")))
        for each in gatekeepers:
            refused = Deferred.fromCoroutine(each.admits(RIGHT, "192.0.2.1"))
            self.failureResultOf(refused, RateLimited)
            self.assertTrue(self.now(each.admits(RIGHT, "192.0.2.2")))

    def test_the_same_again(self) -> None:
        """A browser that goes on sending what is no longer right locks nobody out."""
        database = Database(self.mktemp(), "counters", InlineThreads(), is_synced=False)
        self.now(database.open())
        self.addCleanup(lambda: self.now(database.close()))
        gatekeeper = self.gatekeeper(database)
        for _ in range(MAX_FAILURES + 1):
            self.assertFalse(self.now(gatekeeper.admits(wrong(0), "192.0.2.1")))
        self.assertTrue(self.now(gatekeeper.admits(RIGHT, "192.0.2.1")))
