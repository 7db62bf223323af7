"""Bodies whose threads are late: what comes, goes and leaves in between."""

import errno
import tempfile

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from fe_mail.budget import Budget
from fe_mail.http.body import KEPT_OCTETS, Body, ClientLeft, Room
from fe_mail.model.errors import TooBig, Unavailable
from tests.adapters.later import LaterThreads

LIMIT = 200_000


class Tap:
    """The connection: open or not."""

    def __init__(self) -> None:
        self.asked = 0
        self.told: list[str] = []
        self.is_open = True

    def ask(self) -> None:
        """The body is wanted."""
        self.asked += 1

    def hold(self) -> None:
        """No more."""
        self.is_open = False

    def go_on(self) -> None:
        """More."""
        self.is_open = True

    def cannot_keep(self, reason: str) -> None:
        """The disk is full."""
        self.told.append(reason)


class LateTests(SynchronousTestCase):
    """Threads that work when the test says so."""

    def setUp(self) -> None:
        """A body that nobody asked for yet."""
        self.begin()

    def begin(self, disk: int = LIMIT) -> None:
        """A body of any length."""
        self.threads = LaterThreads()
        self.room = Room(self.threads.run, Budget(LIMIT), Budget(disk))
        self.tap = Tap()
        self.body = Body(self.room, None, self.tap)

    def receive(self) -> "Deferred[bytes]":
        """Ask for it."""
        return Deferred.fromCoroutine(self.body.receive(LIMIT, bytes))

    def assert_nothing_left(self) -> None:
        """All room is free again."""
        self.assertEqual((self.room.memory.used, self.room.disk.used), (0, 0))

    def test_big(self) -> None:
        """It is written, and read and parsed, in threads; meanwhile nothing more is taken."""
        result = self.receive()
        self.body.take(b"a" * 50_000)
        self.assertFalse(self.tap.is_open)
        self.threads.next()
        self.assertTrue(self.tap.is_open)
        self.body.take(b"b" * 10)
        self.body.end()
        self.assertNoResult(result)
        self.assertEqual(self.room.disk.used, 50_000)
        self.threads.next()
        self.assertEqual(self.successResultOf(result), b"a" * 50_000 + b"b" * 10)
        self.body.close()
        self.assert_nothing_left()

    def test_more_while_writing(self) -> None:
        """What was on its way all the same comes behind."""
        result = self.receive()
        self.body.take(b"a" * 50_000)
        self.body.take(b"b" * 50_000)
        self.body.end()
        for _ in range(3):
            self.threads.next()
        self.assertEqual(self.successResultOf(result), b"a" * 50_000 + b"b" * 50_000)

    def test_disk_that_takes_nothing(self) -> None:
        """The client hears that we are busy, who runs the server hears why."""

        def full() -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        self.patch(tempfile, "TemporaryFile", full)
        result = self.receive()
        self.body.take(b"a" * 50_000)
        self.threads.next()
        self.failureResultOf(result, Unavailable)
        self.assertEqual(self.tap.told, ["No space left on device"])
        self.body.close()
        self.assert_nothing_left()

    def test_left_while_writing(self) -> None:
        """The file is closed when its thread is done, not under it."""
        result = self.receive()
        self.body.take(b"a" * 50_000)
        self.body.close()
        self.threads.next()
        self.failureResultOf(result, ClientLeft)
        self.assert_nothing_left()

    def test_left_while_waiting(self) -> None:
        """Who waits for octets hears that there are none."""
        result = self.receive()
        self.body.close()
        self.failureResultOf(result, ClientLeft)
        self.failureResultOf(self.receive(), ClientLeft)

    def test_left_while_reading(self) -> None:
        """All was here: the work goes on."""
        result = self.receive()
        self.body.take(b"a" * 50_000)
        self.threads.next()
        self.body.end()
        self.body.close()
        self.threads.next()
        self.assertEqual(len(self.successResultOf(result)), 50_000)
        self.assert_nothing_left()

    def test_no_threads(self) -> None:
        """Too much waits for a thread: not now."""
        self.threads.is_full = True
        result = self.receive()
        self.body.take(b"a" * 50_000)
        self.failureResultOf(result, Unavailable)
        self.body.close()
        self.assert_nothing_left()

    def test_no_disk(self) -> None:
        """Nor when the disk's share is used up."""
        self.begin(disk=40_000)
        result = self.receive()
        self.body.take(b"a" * 50_000)
        self.failureResultOf(result, Unavailable)
        self.body.close()
        self.assert_nothing_left()

    def test_too_big_later(self) -> None:
        """A body without a length is stopped where it gets too big."""
        result = self.receive()
        for _ in range(LIMIT // 50_000):
            self.body.take(b"a" * 50_000)
            self.threads.next()
        self.assertNoResult(result)
        self.body.take(b"a")
        self.failureResultOf(result, TooBig)

    def test_on_disk(self) -> None:
        """What lies on the disk is not what was sent."""
        result = self.receive()
        self.body.take(b"secret" * 10_000)
        self.threads.next()
        hidden = self.body._file
        assert hidden is not None
        assert hidden._file is not None
        hidden._file.seek(0)
        raw = hidden._file.read()
        self.assertEqual(len(raw), 60_000)
        self.assertNotIn(b"secret", raw)
        self.assertIsInstance(hidden._file.name, int, "it has no name")
        self.body.close()
        self.failureResultOf(result, ClientLeft)

    @given(st.lists(st.tuples(st.integers(1, 2 * KEPT_OCTETS), st.booleans()), max_size=9))
    @settings(max_examples=60, deadline=None)
    def test_any_pace(self, pieces: list[tuple[int, bool]]) -> None:
        """However pieces and threads take turns: the octets are those that were sent."""
        self.begin(disk=10 * LIMIT)
        result = Deferred.fromCoroutine(self.body.receive(10 * LIMIT, bytes))
        sent = b""
        for number, (size, is_quick) in enumerate(pieces):
            octets = bytes([number]) * size
            self.body.take(octets)
            sent += octets
            if is_quick and self.threads.calls:
                self.threads.next()
        self.body.end()
        while self.threads.calls:
            self.threads.next()
        self.assertEqual(self.successResultOf(result), sent)
        self.body.close()
        self.assert_nothing_left()
