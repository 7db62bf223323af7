"""One connection: bodies that are asked for, time, memory, and the end."""

import errno
import itertools
import tempfile
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.logger import capturedLogs

from fe_mail.connection.registry import Limits
from fe_mail.http.body import KEPT_OCTETS
from fe_mail.http.channel import (
    BODY_OCTETS_PER_SECOND,
    BODY_SECONDS,
    CLOSE_SECONDS,
    HEADER_SECONDS,
    IDLE_SECONDS,
    LINGER_SECONDS,
    MAX_DISCARDED_OCTETS,
    MAX_REQUESTS,
)
from fe_mail.http.request import MAX_SMALL_PIECES
from tests.http.raw import MAX_OCTETS, SiteTestCase, room

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


def post(size: int, path: bytes = b"/", extra: bytes = b"") -> bytes:
    """A header that announces so many octets."""
    return b"POST %s HTTP/1.1\r\nHost: a\r\n%sContent-Length: %d\r\n\r\n" % (path, extra, size)


def chunked(*chunks: bytes, path: bytes = b"/") -> bytes:
    """A whole request in chunks."""
    head = b"POST %s HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" % path
    return head + b"".join(b"%x\r\n%s\r\n" % (len(c), c) for c in chunks) + b"0\r\n\r\n"


class BodyTests(SiteTestCase):
    """How much is taken, and when."""

    def test_small(self) -> None:
        """A body is there, and the connection stays."""
        channel = self.connect()
        self.assertIn(b"echo 5 ", self.ask(channel, post(5) + b"hello"))
        self.assertIn(b"echo 3 ", self.ask(channel, chunked(b"abc")))

    def test_before_the_body(self) -> None:
        """The resource refuses as soon as the header is there."""
        channel = self.connect()
        answer = self.ask(channel, post(51_000_000, b"/refuse"))
        self.assertIn(b" 401 ", answer)
        self.assertIn(b"Connection: close", answer)
        self.assertFalse(channel.transport.disconnecting, "a reset would destroy the answer")

    def test_too_big(self) -> None:
        """Announced or chunked, more than the limit is answered with 413 before it comes."""
        self.assertIn(b" 413 ", self.ask(self.connect(), post(MAX_OCTETS + 1)))
        head = chunked().partition(b"0\r\n\r\n")[0]
        channel = self.connect()
        self.assertEqual(self.ask(channel, head), b"")
        piece = b"%x\r\n%s" % (2 * MAX_OCTETS, b"x" * (MAX_OCTETS + 1))
        self.assertIn(b" 413 ", self.ask(channel, piece))

    def test_expectation(self) -> None:
        """Who asks first hears 100 when the body is wanted, the refusal when it is not."""
        expects = b"Expect: 100-continue\r\n"
        channel = self.connect()
        self.assertEqual(self.ask(channel, post(5, b"/later", expects)), b"")
        self.echo.later[0].callback(None)
        self.assertEqual(channel.transport.value(), b"HTTP/1.1 100 Continue\r\n\r\n")
        self.assertIn(b"echo 5 ", self.ask(channel, b"hello"))
        for refused in (post(5, b"/refuse", expects), post(MAX_OCTETS + 1, b"/", expects)):
            answer = self.ask(self.connect(), refused)
            self.assertNotIn(b"100 Continue", answer)
            self.assertIn(b"Connection: close", answer)

    def test_nobody_asked(self) -> None:
        """Until the body is wanted a little is kept and the rest waits in the network."""
        channel = self.connect()
        channel.dataReceived(post(MAX_OCTETS, b"/later") + b"x" * (KEPT_OCTETS + 1))
        self.assertTrue(channel.transport.is_paused)
        self.clock.advance(1000)
        self.assertFalse(channel.transport.disconnecting, "that time was ours")
        self.echo.later[0].callback(None)
        self.assertFalse(channel.transport.is_paused)
        self.assertIn(b"echo 100000 ", self.ask(channel, b"x" * (MAX_OCTETS - KEPT_OCTETS - 1)))

    def test_discarded(self) -> None:
        """What a refused client still sends is thrown away, up to its end."""
        channel = self.connect()
        channel.dataReceived(post(50_000, b"/refuse") + b"x" * 49_999)
        self.assertFalse(channel.transport.disconnecting)
        self.assertEqual(self.room.memory.used, 0)
        channel.dataReceived(b"x" + GET)
        self.assertTrue(channel.transport.disconnecting)
        self.assertEqual(channel.transport.value().count(b"HTTP/1.1"), 1)

    def test_refused_later(self) -> None:
        """The end is the same when the whole body came before the refusal."""
        channel = self.connect()
        channel.dataReceived(post(5, b"/wait") + b"hello" + GET)
        self.echo.waiting[0].end(b"no")
        self.clock.advance(0)
        self.assertIn(b"Connection: close", channel.transport.value())
        self.assertTrue(channel.transport.disconnecting)
        self.assertEqual(channel.transport.value().count(b"HTTP/1.1"), 1)

    def test_discarded_for_ever(self) -> None:
        """Or up to a limit, in octets and in seconds."""
        for path in (b"/refuse", b"/"):
            channel = self.connect()
            channel.dataReceived(chunked(path=path).removesuffix(b"0\r\n\r\n"))
            chunk = b"100000\r\n" + b"x" * 0x100000 + b"\r\n"
            for _ in range(MAX_DISCARDED_OCTETS // 0x100000 - 1):
                channel.dataReceived(chunk)
            self.assertFalse(channel.transport.is_aborted)
            channel.dataReceived(chunk * 2)
            self.assertTrue(channel.transport.is_aborted)
        channel = self.connect()
        channel.dataReceived(post(50_000, b"/refuse"))
        self.clock.advance(LINGER_SECONDS)
        self.assertTrue(channel.transport.disconnecting)

    def test_malformed_chunks(self) -> None:
        """400, once, and whoever waited for the body hears that there is none."""
        head = chunked().partition(b"0\r\n\r\n")[0]
        channel = self.connect()
        answer = self.ask(channel, head + b"zz\r\n")
        self.assertEqual(answer, b"HTTP/1.1 400 Bad Request\r\n\r\n")
        self.assertEqual(self.echo.left, 1)
        self.assertTrue(channel.transport.disconnecting)

    def test_tiny_chunks(self) -> None:
        """Chunks of one octet are taken as long as they are not an attack."""
        head = chunked().partition(b"0\r\n\r\n")[0]
        chunk = b"1\r\nx\r\n"
        some = self.ask(self.connect(), head + chunk * 500 + b"0\r\n\r\n")
        self.assertIn(b"echo 500 ", some)
        channel = self.connect()
        channel.dataReceived(head + chunk * (MAX_SMALL_PIECES + 200))
        self.assertTrue(channel.transport.is_aborted)

    def test_left(self) -> None:
        """A client that hangs up in the middle leaves nothing behind."""
        channel = self.connect()
        channel.dataReceived(post(MAX_OCTETS) + b"x" * 60_000)
        self.assertEqual(self.room.disk.used, 60_000)
        self.leave(channel)
        self.assertEqual(channel.transport.value(), b"")
        self.assertEqual((self.echo.left, self.room.memory.used, self.room.disk.used), (1, 0, 0))


class SequenceTests(SiteTestCase):
    """One request after the other."""

    def test_pipelining(self) -> None:
        """Requests that wait are answered in order, one in each turn of the reactor."""
        channel = self.connect()
        count = 20
        channel.dataReceived(GET * count)
        self.assertEqual(channel.transport.value().count(b" 200 "), 1)
        self.clock.advance(0)
        self.assertEqual(channel.transport.value().count(b" 200 "), count)

    def test_left_while_waiting(self) -> None:
        """Who leaves before it is his turn is forgotten."""
        channel = self.connect()
        channel.dataReceived(GET * 2)
        self.leave(channel)
        self.clock.advance(0)
        self.assertEqual(channel.transport.value().count(b" 200 "), 1)
        self.assertEqual(self.room.memory.used, 0)

    def test_many_requests(self) -> None:
        """A connection is not good for ever."""
        channel = self.connect()
        for _ in range(MAX_REQUESTS):
            channel.dataReceived(GET)
        self.assertTrue(channel.transport.disconnecting)
        self.assertEqual(channel.transport.value().lower().count(b"connection: close"), 1)

    REQUESTS = (
        GET,
        post(5) + b"hello",
        chunked(b"abc", b"x" * 30_000),
        chunked(),
        post(0),
        b"HEAD /x HTTP/1.1\r\nHost: a\r\n\r\n",
        post(20_000) + b"y" * 20_000,
        post(3, extra=b"Expect: 100-continue\r\n") + b"abc",
        post(4, b"/refuse") + b"abcd",
        chunked(b"abc", path=b"/refuse"),
        post(MAX_OCTETS + 1) + b"z" * (MAX_OCTETS + 1),
        b"GET / HTTP/1.0\r\n\r\n",
        b"nonsense\r\n\r\n",
    )

    @given(
        st.lists(st.sampled_from(REQUESTS), max_size=6),
        st.lists(st.floats(0, 1), max_size=12),
    )
    @settings(max_examples=150, deadline=None)
    def test_any_split(self, requests: list[bytes], cuts: list[float]) -> None:
        """However the octets are split: the same answers, and the same end."""
        octets = b"".join(requests)
        places = sorted({round(cut * len(octets)) for cut in cuts} | {0, len(octets)})
        pieces = [octets[a:b] for a, b in itertools.pairwise(places)]
        self.assertEqual(self.talk(pieces), self.talk([octets]))
        self.assertEqual(self.talk(pieces), self.talk(requests))

    def talk(self, pieces: list[bytes]) -> tuple[bytes, bool]:
        """What comes back, without the time; and whether the connection is at its end."""
        channel = self.connect()
        for piece in pieces:
            channel.dataReceived(piece)
            self.clock.advance(0)
        answer = bytes(channel.transport.value())
        is_over = channel.transport.disconnecting
        self.leave(channel)
        self.assertEqual((self.room.memory.used, self.room.disk.used), (0, 0))
        lines = [line for line in answer.split(b"\r\n") if not line.startswith(b"Date: ")]
        return b"\r\n".join(lines), is_over


class TimeTests(SiteTestCase):
    """Who drips is cut."""

    def drip(self, channel: Any, octets: bytes, seconds: float) -> float:
        """One octet at a time; after how many seconds the connection was cut."""
        for number, octet in enumerate(octets):
            if channel.transport.disconnecting:
                return number * seconds
            channel.dataReceived(bytes([octet]))
            self.clock.advance(seconds)
        return float("inf")

    def test_silence(self) -> None:
        """Who says nothing at all."""
        channel = self.connect()
        self.clock.advance(HEADER_SECONDS)
        self.assertTrue(channel.transport.disconnecting)

    def test_header(self) -> None:
        """An octet of a header every few seconds."""
        took = self.drip(self.connect(), b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 100, 3.0)
        self.assertLessEqual(took, HEADER_SECONDS + 3)

    def test_second_header(self) -> None:
        """Each request has its own time, also when one answer comes in the middle of the next."""
        channel = self.connect()
        for _ in range(20):
            channel.dataReceived(GET[:10])
            self.clock.advance(HEADER_SECONDS - 1)
            channel.dataReceived(GET[10:] + GET[:3])
            self.clock.advance(0)
            channel.dataReceived(GET[3:])
        self.assertFalse(channel.transport.disconnecting)
        self.assertLessEqual(self.drip(channel, GET * 20, 3.0), HEADER_SECONDS + 3)

    def test_body(self) -> None:
        """An octet of a body every few seconds; chunks of one octet are no better."""
        channel = self.connect()
        channel.dataReceived(post(5000))
        self.assertLessEqual(self.drip(channel, b"x" * 5000, 3.0), BODY_SECONDS + 4)
        channel = self.connect()
        channel.dataReceived(chunked().partition(b"0\r\n\r\n")[0])
        self.assertLessEqual(self.drip(channel, b"1\r\nx\r\n" * 500, 3.0), BODY_SECONDS + 4)

    def test_slow_body(self) -> None:
        """A slow line is no attack: a body may take longer the more of it has come."""
        channel = self.connect()
        channel.dataReceived(post(MAX_OCTETS))
        rate = 2 * BODY_OCTETS_PER_SECOND
        for _ in range(MAX_OCTETS // rate):
            channel.dataReceived(b"x" * rate)
            self.clock.advance(1)
        self.assertIn(b"echo", self.ask(channel, b"x" * (MAX_OCTETS % rate)))

    def test_between(self) -> None:
        """A connection that is not used is closed, and cut if the client does not care."""
        channel = self.connect()
        channel.dataReceived(GET)
        self.clock.advance(IDLE_SECONDS - 1)
        channel.dataReceived(GET)
        self.clock.advance(IDLE_SECONDS - 1)
        self.assertFalse(channel.transport.disconnecting)
        self.clock.advance(1)
        self.assertTrue(channel.transport.disconnecting)
        self.assertFalse(channel.transport.is_aborted)
        self.clock.advance(CLOSE_SECONDS)
        self.assertTrue(channel.transport.is_aborted)

    def test_answer_that_nobody_reads(self) -> None:
        """The last answer of a connection is not kept for ever."""
        channel = self.connect()
        channel.dataReceived(b"GET / HTTP/1.0\r\n\r\n")
        self.assertTrue(channel.transport.disconnecting)
        self.clock.advance(CLOSE_SECONDS)
        self.assertTrue(channel.transport.is_aborted)

    def test_no_timers_left(self) -> None:
        """A connection that is gone is forgotten."""
        for octets in (b"", b"GET", GET, post(5), post(5, b"/refuse"), b"nonsense\r\n"):
            channel = self.connect()
            channel.dataReceived(octets)
            self.leave(channel)
        self.clock.advance(0)
        self.assertEqual(self.clock.getDelayedCalls(), [])


class MemoryTests(SiteTestCase):
    """All connections together."""

    def setUp(self) -> None:
        """Little memory, less disk."""
        super().setUp()
        self.room = room(memory=100_000, disk=150_000)
        self.site = self.site_of(self.echo)

    def test_headers(self) -> None:
        """Headers that do not end use the memory up; then nobody gets more."""
        attack = b"GET / HTTP/1.1\r\nX: " + b"x" * 15_000
        channels = [self.connect() for _ in range(50)]
        for channel in channels:
            channel.dataReceived(attack)
        self.assertLessEqual(self.room.memory.used, 100_000)
        cut = [channel for channel in channels if channel.transport.is_aborted]
        self.assertEqual(len(cut), 44)
        for channel in channels:
            self.leave(channel)
        self.assertEqual(self.room.memory.used, 0)

    def test_small_fields(self) -> None:
        """A hundred tiny fields cost more than their octets."""
        channel = self.connect()
        channel.dataReceived(b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 90)
        self.assertGreater(self.room.memory.used, 90 * 200)

    def test_bodies(self) -> None:
        """Bodies that do not end are on the disk, and there is an end to that too."""
        channels = [self.connect() for _ in range(50)]
        for channel in channels:
            channel.dataReceived(post(MAX_OCTETS) + b"x" * 10_000)
        self.assertLessEqual(self.room.memory.used, 100_000)
        self.assertLessEqual(self.room.disk.used, 150_000)
        self.assertGreater(self.room.disk.used, 100_000)
        refused = [c for c in channels if b" 503 " in c.transport.value()]
        self.assertGreater(len(refused), 20)
        for channel in channels:
            self.leave(channel)
        self.assertEqual((self.room.memory.used, self.room.disk.used), (0, 0))

    def test_unasked(self) -> None:
        """What nobody asked for is dropped when there is no room."""
        self.assertTrue(self.room.memory.acquire(100_000 - 1000))
        channel = self.connect()
        channel.dataReceived(post(5000, b"/later") + b"x" * 5000)
        self.echo.later[0].callback(None)
        self.assertIn(b" 503 ", channel.transport.value())


class DiskTests(SiteTestCase):
    """When the disk is full."""

    def test_said_in_the_log(self) -> None:
        """503 for the clients; one line, not one for each of them, for who runs the server."""

        def full() -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        self.patch(tempfile, "TemporaryFile", full)
        with capturedLogs() as logged:
            for _ in range(2):
                channel = self.connect()
                channel.dataReceived(post(50_000) + b"x" * 50_000)
                self.assertIn(b" 503 ", channel.transport.value().partition(b"\r\n")[0])
        told = [event for event in logged if "temporary file" in str(event["log_format"])]
        self.assertEqual([event["reason"] for event in told], ["No space left on device"])


class CrowdTests(SiteTestCase):
    """Many connections that want nothing but to be there."""

    def test_newcomer(self) -> None:
        """Two thousand slow ones from ten addresses do not shut a newcomer out."""
        for number in range(2000):
            channel = self.connect(host=f"192.0.2.{number % 10}")
            if channel is not None:
                channel.dataReceived(b"GET / HT")
        for number in range(300):
            newcomer = self.connect(host=f"198.51.100.{number % 250}")
            self.assertIn(b" 200 ", self.ask(newcomer, GET), number)

    def test_running_requests_stay(self) -> None:
        """Who is being served is not cut for a newcomer."""
        site = self.site_of(self.echo, limits=Limits(in_all=20, per_address=20))
        busy = [self.connect(site) for _ in range(7)]
        for channel in busy:
            channel.dataReceived(b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n")
        slow = [self.connect(site, f"192.0.2.{number}") for number in range(2, 15)]
        self.assertIsNotNone(self.connect(site, "198.51.100.1"))
        self.assertFalse(any(channel.transport.is_aborted for channel in busy))
        self.assertEqual([c.transport.is_aborted for c in slow], [True] + [False] * 12)
