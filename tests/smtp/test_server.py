"""Tests of the protocol class: order, back-pressure, failures, limits, the end of everything."""

import itertools
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from fe_mail.adapters.memory.bus import MemoryBus
from fe_mail.connection.pacing import CLOSE_SECONDS
from fe_mail.connection.registry import DRAIN_SECONDS, Limits
from fe_mail.model import errors
from fe_mail.model.status import Status
from fe_mail.smtp.conversation import IDLE_TIMEOUT_SECONDS
from fe_mail.smtp.errors import answer_to_error, answer_to_login
from fe_mail.smtp.framing import MAX_WAITING_CONTENT_OCTETS
from fe_mail.smtp.server import SMTPServer
from fe_mail.smtp.transaction import MESSAGE_SECONDS
from tests.smtp.fakes import (
    FakeLogin,
    RecordingReception,
    Transport,
    connector,
    make_mx,
    make_submission,
)

ENVELOPE = b"HELO c.test\r\nMAIL FROM:<bob@b.test>\r\nRCPT TO:<alice@a.test>\r\n"


class ServerCase(SynchronousTestCase):
    """An MX in memory."""

    def setUp(self) -> None:
        """A reception that accepts."""
        self.clock = Clock()
        self.reception = RecordingReception()

    def connect(self, **options: Any) -> tuple[SMTPServer, Transport]:
        """One connection."""
        self.factory = make_mx(self.reception, self.clock, **options)
        return connector(self.factory)()

    def said(self, transport: Transport) -> list[str]:
        """What was said since the last call."""
        lines = transport.value().decode("ascii").split("\r\n")
        transport.clear()
        return lines[:-1]

    def lose(self, server: SMTPServer) -> None:
        """The client is gone."""
        server.connectionLost(Failure(ConnectionDone()))


class OrderTests(ServerCase):
    """S4: pipelined commands against a slow reception."""

    def test_slow_sender(self) -> None:
        """RCPT and DATA wait for MAIL; replies come in order."""
        slow = self.reception.answers["sender"] = Deferred()
        server, transport = self.connect()
        self.said(transport)
        server.dataReceived(ENVELOPE + b"DATA\r\n")
        self.assertEqual(self.reception.steps[-1], "from bob@b.test")
        self.assertEqual(self.said(transport), ["250 mx.test"])
        slow.callback(None)
        self.assertEqual([line[:3] for line in self.said(transport)], ["250"] * 2 + ["354"])

    def test_slow_recipient(self) -> None:
        """The reply to the slow one comes before the reply to the quick one."""
        slow = self.reception.answers["alice@a.test"] = Deferred()
        server, transport = self.connect()
        self.said(transport)
        server.dataReceived(ENVELOPE + b"RCPT TO:<bob@a.test>\r\nQUIT\r\n")
        self.assertEqual([line[:3] for line in self.said(transport)], ["250", "250"])
        slow.callback(Status(450, "4.2.0", "Greylisted"))
        said = [line[:3] for line in self.said(transport)]
        self.assertEqual(said, ["450", "250", "221"])

    def test_one_write_for_many_replies(self) -> None:
        """Replies to pipelined commands travel together (RFC 2920 §3.2)."""
        server, transport = self.connect()
        writes: list[bytes] = []
        self.patch(transport, "write", writes.append)
        server.dataReceived(ENVELOPE + b"DATA\r\n")
        self.assertEqual([octets.count(b"\r\n") for octets in writes], [4])

    def test_slow_replies_do_not_wait_for_each_other(self) -> None:
        """Each reply that took its time is sent at once, so that no client gives up."""
        slow = {}
        for name in ("a", "b"):
            slow[name] = self.reception.answers[f"{name}@a.test"] = Deferred()
        server, transport = self.connect()
        server.dataReceived(ENVELOPE + b"RCPT TO:<a@a.test>\r\nRCPT TO:<b@a.test>\r\n")
        self.said(transport)
        for name in ("a", "b"):
            self.clock.advance(5)
            slow[name].callback(None)
            self.assertEqual(self.said(transport), ["250 2.1.5 Recipient accepted"])

    def test_greeting_waits(self) -> None:
        """Nothing is said before the reception knows the peer."""
        slow = self.reception.answers["connected"] = Deferred()
        _, transport = self.connect()
        self.assertEqual(self.said(transport), [])
        slow.callback(None)
        self.assertEqual(self.said(transport), ["220 mx.test ESMTP fe-mail"])

    def test_early_talker(self) -> None:
        """Who speaks before the greeting is refused on the MX."""
        slow = self.reception.answers["connected"] = Deferred()
        server, transport = self.connect()
        server.dataReceived(b"EHLO c.test\r\n")
        slow.callback(None)
        self.assertEqual(self.said(transport), ["554 5.5.1 You spoke before it was your turn"])
        self.assertTrue(transport.disconnecting)

    def test_refused_at_the_door(self) -> None:
        """The reception may turn a peer away."""
        refusal = Status(554, "5.7.1", "Not you")
        self.reception.answers["connected"] = refusal
        _, transport = self.connect()
        self.assertEqual(self.said(transport), ["554 5.7.1 Not you"])
        self.assertTrue(transport.disconnecting)

    def test_421_from_the_reception_closes(self) -> None:
        """421 always ends the connection."""
        self.reception.answers["recipient"] = Status(421, "4.7.0", "Go away")
        server, transport = self.connect()
        server.dataReceived(ENVELOPE + b"NOOP\r\n")
        self.assertEqual(self.said(transport)[-1], "421 4.7.0 Go away")
        self.assertTrue(transport.disconnecting)


class ContentTests(ServerCase):
    """Messages on their way into the spool."""

    def test_back_pressure(self) -> None:
        """While a write is pending the client is paused, and goes on when it is done."""
        server, transport = self.connect()
        server.dataReceived(ENVELOPE + b"DATA\r\n")
        slow = self.reception.answers["write"] = Deferred()
        line = b"x" * 998 + b"\r\n"
        server.dataReceived(line)
        server.dataReceived(line * 200)
        self.assertEqual(transport.producerState, "producing")
        server.dataReceived(line * 100)
        self.assertEqual(transport.producerState, "paused")
        del self.reception.answers["write"]
        slow.callback(None)
        self.assertEqual(transport.producerState, "producing")
        server.dataReceived(b".\r\n")
        self.assertEqual(self.reception.messages[0].content, line * 301)
        self.assertLess(MAX_WAITING_CONTENT_OCTETS, 301_000)

    def test_size_at_rcpt(self) -> None:
        """What MAIL FROM says of the size is known when recipients are judged."""
        server, transport = self.connect()
        for parameters in ("", " SIZE=1234"):
            server.dataReceived(
                b"EHLO a.test\r\nMAIL FROM:<a@a.test>%s\r\nRCPT TO:<b@b.test>\r\nRSET\r\n"
                % parameters.encode()
            )
        self.assertEqual(self.reception.sizes, [0, 1234])
        transport.loseConnection()

    def test_disconnect_during_data(self) -> None:
        """A message that was not finished is aborted."""
        server, _ = self.connect()
        server.dataReceived(ENVELOPE + b"DATA\r\nhalf")
        self.lose(server)
        self.assertEqual(self.reception.spoolings[0].state, "aborted")

    def test_disconnect_during_a_write(self) -> None:
        """The same when the spool was busy just then."""
        server, _ = self.connect()
        slow = self.reception.answers["write"] = Deferred()
        server.dataReceived(ENVELOPE + b"DATA\r\nhalf\r\n")
        self.lose(server)
        slow.callback(None)
        self.assertEqual(self.reception.spoolings[0].state, "aborted")

    def test_disconnect_during_finish(self) -> None:
        """Once the end was seen the message is finished, whoever listens."""
        server, _ = self.connect()
        slow = self.reception.answers["finish"] = Deferred()
        server.dataReceived(ENVELOPE + b"DATA\r\nall\r\n.\r\n")
        self.lose(server)
        slow.callback(Status(250, "2.0.0", "Queued"))
        self.assertEqual(self.reception.spoolings[0].state, "finished")

    def test_disconnect_between_chunks(self) -> None:
        """BDAT without LAST is no message; neither is one that RSET or EHLO ends."""
        for end in (b"RSET\r\n", b"EHLO c\r\n", b"QUIT\r\n", b""):
            server, _ = self.connect()
            server.dataReceived(ENVELOPE + b"BDAT 4\r\nhalf" + end)
            if not end:
                self.lose(server)
            self.assertEqual(self.reception.spoolings[-1].state, "aborted", end)

    def test_spool_fails(self) -> None:
        """The rest of the message is read, and the failure told at its end."""
        self.reception.answers["write"] = errors.OverQuota("Full.")
        server, transport = self.connect()
        server.dataReceived(ENVELOPE + b"DATA\r\na\r\n")
        server.dataReceived(b"QUIT\r\n.\r\nNOOP\r\n")
        self.assertEqual(self.said(transport)[-2:], ["452 4.2.2 Full.", "250 2.0.0 OK"])
        self.assertEqual(self.reception.spoolings[0].state, "aborted")

    def test_begin_fails(self) -> None:
        """DATA is refused before 354; a chunk is skipped first."""
        self.reception.answers["begin"] = errors.Unavailable()
        server, transport = self.connect()
        server.dataReceived(ENVELOPE + b"DATA\r\nBDAT 6\r\nNOOP\r\nNOOP\r\n")
        said = [line[:9] for line in self.said(transport)[-3:]]
        self.assertEqual(said, ["451 4.3.0", "451 4.3.0", "250 2.0.0"])

    def test_flood(self) -> None:
        """Far more than is allowed is not read to its end."""
        server, transport = self.connect(max_size_octets=1000)
        server.dataReceived(ENVELOPE + b"DATA\r\n")
        for _ in range(3):
            server.dataReceived(b"x" * 998 + b"\r\n")
        self.assertEqual(self.said(transport)[-1][:9], "421 4.3.4")
        self.assertTrue(transport.disconnecting)
        self.assertEqual(self.reception.spoolings[0].state, "aborted")

    def test_chunks_count_together(self) -> None:
        """The size limit holds for all chunks; later ones are skipped and hear 503."""
        server, transport = self.connect(max_size_octets=100)
        chunk = b"BDAT 60\r\n" + b"x" * 58 + b"\r\n"
        server.dataReceived(ENVELOPE + chunk * 3 + b"NOOP\r\n")
        said = [line[:9] for line in self.said(transport)[-4:]]
        self.assertEqual(said, ["250 2.0.0", "552 5.3.4", "503 5.5.1", "250 2.0.0"])
        self.assertEqual([s.state for s in self.reception.spoolings], ["aborted"])

    def test_refused_message(self) -> None:
        """The reply of the spool is the reply to the message."""
        refused = Status(550, "5.7.1", "Spam")
        self.reception.answers["finish"] = refused
        server, transport = self.connect()
        server.dataReceived(ENVELOPE + b"DATA\r\n.\r\nDATA\r\n")
        said = self.said(transport)[-2:]
        self.assertEqual(said, ["550 5.7.1 Spam", "503 5.5.1 Say MAIL first"])


class SmugglingTests(ServerCase):
    """Security row 1, through the whole server."""

    def test_every_permutation(self) -> None:
        """Nothing but CRLF "." CRLF ends data, wherever the stream is cut."""
        ends = (b"", b"\r", b"\n", b"\0", b"\r\n", b"\n\r", b"\r\r\n", b"\r\n\n")
        for before, after in itertools.product(ends, ends):
            if before.endswith(b"\r\n") and after.startswith(b"\r\n"):
                continue
            content = b"x" + before + b"." + after + b"MAIL FROM:<evil@b.test>\r\n"
            for cut in range(len(content)):
                self.reception = RecordingReception()
                server, transport = self.connect()
                server.dataReceived(ENVELOPE + b"DATA\r\n" + content[:cut])
                server.dataReceived(content[cut:])
                server.dataReceived(b"\r\n.\r\n")
                self.assertNotIn("from evil@b.test", self.reception.steps)
                odd = (before + b"." + after).replace(b"\r\n", b"") != b"."
                said = self.said(transport)
                self.assertEqual((len(said), said[-1][:3]), (6, "554" if odd else "250"))


class FailureTests(ServerCase):
    """Errors of the inside."""

    def test_table(self) -> None:
        """Every error has a reply, and only those of ours have one."""
        for name in errors.__all__:
            answer = answer_to_error(getattr(errors, name)("Text."))
            assert answer is not None
            self.assertIn(answer.code // 100, (4, 5))
            self.assertEqual(answer.enhanced[0], str(answer.code)[0])
        self.assertIsNone(answer_to_error(ValueError()))

    def test_private_errors_say_nothing(self) -> None:
        """What is wrong with our disk is nobody's business."""
        answer = answer_to_error(errors.Corrupt("/var/lib/x is damaged"))
        assert answer is not None
        self.assertNotIn("/var", str(answer.text))

    def test_login_table(self) -> None:
        """Temporary trouble is no wrong password."""
        self.assertEqual(answer_to_login(errors.Unavailable()).code, 454)
        self.assertEqual(answer_to_login(errors.AuthenticationFailed()).code, 535)
        self.assertTrue(answer_to_login(errors.RateLimited()).closes)

    def test_defect(self) -> None:
        """An unexpected exception is logged and answered 451, without its text."""
        self.reception.answers["sender"] = ValueError("secret")
        server, transport = self.connect()
        server.dataReceived(b"HELO c\r\nMAIL FROM:<>\r\n")
        expected = "451 4.3.0 Temporary failure, try again later"
        self.assertEqual(self.said(transport)[-1], expected)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_defect_at_the_door(self) -> None:
        """The same before the greeting: try again later."""
        self.reception.answers["connected"] = ValueError("secret")
        _, transport = self.connect()
        self.assertEqual(self.said(transport), ["421 Temporary failure, try again later"])
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_rate_limited_login(self) -> None:
        """A login that is refused unseen ends the session."""
        login = FakeLogin()
        login.error = errors.RateLimited()
        factory = make_submission(self.reception, self.clock, login)
        server, transport = connector(factory, is_secure=True)()
        server.dataReceived(b"EHLO c\r\nAUTH PLAIN\r\n")
        self.assertEqual(self.said(transport)[-1][:9], "421 4.7.0")
        self.assertTrue(transport.disconnecting)

    def test_long_line_in_an_exchange(self) -> None:
        """Nobody sends a password of 16 KiB."""
        factory = make_submission(self.reception, self.clock)
        server, transport = connector(factory, is_secure=True)()
        server.dataReceived(b"EHLO c\r\nAUTH PLAIN\r\n" + b"A" * 16_384 + b"\r\nNOOP\r\n")
        self.assertEqual(self.said(transport)[-1], "500 5.5.2 The line is too long")
        self.assertTrue(transport.disconnecting)


class TimeTests(ServerCase):
    """Timers."""

    def test_slow_reception_is_not_a_slow_client(self) -> None:
        """Time does not count while the client waits for us."""
        slow = self.reception.answers["sender"] = Deferred()
        server, transport = self.connect()
        server.dataReceived(b"HELO c\r\nMAIL FROM:<>\r\n")
        self.clock.pump([IDLE_TIMEOUT_SECONDS] * 3)
        slow.callback(None)
        self.assertEqual(self.said(transport)[-1], "250 2.1.0 Sender accepted")

    def test_client_that_does_not_read(self) -> None:
        """A session whose replies are not read stands still, and is cut in the end."""
        server, transport = self.connect()
        server.pauseProducing()
        server.dataReceived(b"NOOP\r\n")
        server.dataReceived(b"NOOP\r\n")
        said = self.said(transport)
        self.assertLess(len(said), 3)
        server.resumeProducing()
        self.assertEqual(len(said + self.said(transport)), 3)
        server.pauseProducing()
        server.dataReceived(b"NOOP\r\nNOOP\r\n")
        self.clock.advance(IDLE_TIMEOUT_SECONDS)
        self.assertTrue(transport.disconnected or transport.disconnecting)

    def test_trickle(self) -> None:
        """A message that never ends is not waited for, however busy its client is."""
        server, transport = self.connect()
        server.dataReceived(ENVELOPE + b"DATA\r\n")
        for _ in range(MESSAGE_SECONDS // 200 + 1):
            self.clock.advance(200)
            server.dataReceived(b"x")
        self.assertEqual(self.said(transport)[-1], "421 4.4.2 The message takes too long")
        self.assertEqual(self.reception.spoolings[0].state, "aborted")

    def test_trickle_of_chunks(self) -> None:
        """Chunks that never end are a message that never ends."""
        server, transport = self.connect()
        server.dataReceived(ENVELOPE)
        for _ in range(MESSAGE_SECONDS // 200 + 2):
            server.dataReceived(b"BDAT 1\r\nx")
            self.clock.advance(200)
        self.assertEqual(self.said(transport)[-1], "421 4.4.2 The message takes too long")
        self.assertEqual(self.reception.spoolings[0].state, "aborted")

    def test_close_is_bounded(self) -> None:
        """A client that never closes is cut."""
        server, transport = self.connect()
        server.dataReceived(b"QUIT\r\n")
        self.clock.advance(CLOSE_SECONDS)
        self.assertTrue(transport.disconnected)
        self.lose(server)
        self.assertEqual(self.clock.getDelayedCalls(), [])


class CountTests(ServerCase):
    """Connections."""

    def test_per_address(self) -> None:
        """The limit holds per address, and a place becomes free again."""
        factory = make_mx(self.reception, self.clock, limits=Limits(in_all=9, per_address=2))
        connect = connector(factory)
        (first, _), _ = connect(), connect()
        third, transport = connect()
        said = self.said(transport)
        self.assertEqual(said, ["421 4.7.0 Too many connections from your address"])
        self.assertTrue(transport.disconnecting)
        self.lose(third)
        self.lose(first)
        self.assertEqual(self.said(connect()[1])[0][:3], "220")

    def test_in_all(self) -> None:
        """So does the one for everybody."""
        factory = make_mx(self.reception, self.clock, limits=Limits(in_all=1, per_address=9))
        connector(factory)()
        _, transport = connector(factory)()
        self.assertEqual(self.said(transport), ["421 4.7.0 Too many connections, try again later"])
        self.assertEqual(self.reception.steps, ["connected"])


class SignedInTests(ServerCase):
    """What a login means for the connection."""

    LOGIN = b"EHLO c\r\nAUTH PLAIN AGFsaWNlQGEudGVzdABzZWNyZXQ=\r\n"

    def open(self, **options: Any) -> Callable[[], tuple[SMTPServer, Transport]]:
        """A submission listener under TLS."""
        self.bus = MemoryBus(self.clock)
        self.factory = make_submission(self.reception, self.clock, bus=self.bus, **options)
        return connector(self.factory, is_secure=True)

    def test_per_alias(self) -> None:
        """One alias too many is told after its login; a place becomes free again."""
        connect = self.open(limits=Limits(in_all=9, per_address=9, per_alias=1))
        first, _ = connect()
        first.dataReceived(self.LOGIN)
        second, transport = connect()
        second.dataReceived(self.LOGIN)
        self.assertEqual(self.said(transport)[-1], "421 4.7.0 Too many connections of this address")
        self.assertTrue(transport.disconnecting)
        self.lose(first)
        self.lose(second)
        third, transport = connect()
        third.dataReceived(self.LOGIN)
        self.assertEqual(self.said(transport)[-1][:3], "235")

    def test_password_changed(self) -> None:
        """A session ends when the credentials of its alias change; one of another does not."""
        connect = self.open()
        (server, transport), (_, other) = connect(), connect()
        server.dataReceived(self.LOGIN)
        self.bus.publish("credentials:a1")
        self.clock.advance(0)
        self.assertEqual(
            self.said(transport)[-1], "421 4.7.0 The password was changed, log in again"
        )
        self.assertTrue(transport.disconnecting)
        self.assertFalse(other.disconnecting)

    def test_password_changed_meanwhile(self) -> None:
        """A transaction that runs is judged by the reception, and nothing follows it."""
        server, transport = self.open()()
        server.dataReceived(self.LOGIN + ENVELOPE[len(b"HELO c.test\r\n") :] + b"DATA\r\n")
        self.bus.publish("credentials:a1")
        self.clock.advance(0)
        self.said(transport)
        server.dataReceived(b"hello\r\n.\r\n")
        self.assertEqual([line[:9] for line in self.said(transport)], ["250 2.0.0", "421 4.7.0"])


class DrainTests(ServerCase):
    """Graceful stop."""

    def test_idle_connections_close_at_once(self) -> None:
        """Those who wait are told, and nobody new comes in."""
        server, transport = self.connect()
        self.said(transport)
        drained = Deferred.fromCoroutine(self.factory.drain())
        self.assertEqual(
            self.said(transport), ["421 4.3.2 The server is shutting down, try again later"]
        )
        self.assertNoResult(drained)
        self.lose(server)
        self.successResultOf(drained)
        _, late = connector(self.factory)()
        self.assertEqual(self.said(late)[0][:9], "421 4.3.2")

    def test_a_transaction_finishes(self) -> None:
        """A message that has begun is taken, then the connection closes."""
        server, transport = self.connect()
        server.dataReceived(ENVELOPE + b"DATA\r\n")
        drained = Deferred.fromCoroutine(self.factory.drain())
        self.said(transport)
        server.dataReceived(b"hello\r\n.\r\n")
        self.assertEqual([line[:9] for line in self.said(transport)], ["250 2.0.0", "421 4.3.2"])
        self.assertEqual(len(self.reception.messages), 1)
        self.lose(server)
        self.successResultOf(drained)

    def test_the_slow_are_cut(self) -> None:
        """Nobody holds up the stop for longer than the limit."""
        server, transport = self.connect()
        server.dataReceived(ENVELOPE + b"DATA\r\n")
        drained = Deferred.fromCoroutine(self.factory.drain())
        self.clock.advance(DRAIN_SECONDS)
        self.assertTrue(transport.disconnected)
        self.lose(server)
        self.successResultOf(drained)
        self.assertEqual(self.reception.spoolings[0].state, "aborted")

    def test_nobody_there(self) -> None:
        """Draining an empty factory is done at once."""
        factory = make_mx(self.reception, self.clock)
        self.successResultOf(Deferred.fromCoroutine(factory.drain()))
