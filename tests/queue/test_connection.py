"""Several recipients of a message at one domain: one claim, one connection, each its outcome."""

from collections import Counter
from typing import Any

from twisted.internet.error import ConnectionLost
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure

from fe_mail.adapters.memory.resolver import TableResolver
from fe_mail.adapters.smtp_client import SMTPExchange
from fe_mail.delivery.remote import RemoteCourier
from fe_mail.model.queue import DeliveryState
from fe_mail.queue.schedule import MIN_RETRY_SECONDS, REPORT_WAIT_SECONDS
from tests.queue.base import MESSAGE
from tests.queue.running import RunnerTestCase

TABLE = {
    ("far.test", "A"): ("198.41.0.4",),
    ("near.test", "A"): ("199.9.14.201",),
    **{(f"h{number}.test", "A"): ("198.41.0.4",) for number in range(50)},
}


class ConnectionTests(RunnerTestCase):
    """The real client; the test is the host."""

    def setUp(self) -> None:
        """A runner with the real courier."""
        super().setUp()
        self.network = MemoryReactorClock()
        exchange = SMTPExchange(self.network, hostname="mx.example.net")
        self.remote = RemoteCourier(TableResolver(TABLE), exchange, self.queue, self.clock)
        self.start()

    def connect(self, number: int = -1) -> None:
        """The host answers."""
        self.transport = StringTransport()
        self.protocol: Any = self.network.tcpClients[number][2].buildProtocol(None)
        self.protocol.makeConnection(self.transport)

    def host(self, *lines: str) -> bytes:
        """What the client says to these lines."""
        self.transport.clear()
        for line in lines:
            self.protocol.dataReceived(f"{line}\r\n".encode())
        return self.transport.value()

    def states(self) -> dict[str, str]:
        """Of the deliveries of the only message from alice."""
        (entry,) = (one for one in self.entries() if one.message.source == "submission")
        return {one.recipient: one.state.value for one in entry.deliveries}

    def test_one_connection(self) -> None:
        """One transaction; the report names those that failed, the others are not in it."""
        names = ("ok", "gone", "later", "full")
        self.put(*(f"{name}@far.test" for name in names), "x@near.test")
        self.assertEqual(
            [client[0] for client in self.network.tcpClients], ["198.41.0.4", "199.9.14.201"]
        )
        self.connect(0)
        said = self.host("220 far.test", "250-far.test", "250 PIPELINING")
        recipients = b"".join(b"RCPT TO:<%s@far.test>\r\n" % name.encode() for name in names)
        self.assertIn(b"MAIL FROM:<alice@example.org>\r\n" + recipients + b"DATA\r\n", said)
        answers = ("250 ok", "550 5.1.1 Gone", "450 4.7.1 Later", "552 5.2.2 Full")
        content = self.host("250 ok", *answers, "354 go on")
        self.assertEqual(content, MESSAGE + b".\r\n")
        self.host("250 taken")
        self.clock.advance(REPORT_WAIT_SECONDS)  # the failures wait for near.test
        self.assertEqual(
            self.states(),
            {
                "ok@far.test": "delivered",
                "gone@far.test": "failed",
                "later@far.test": "waiting",
                "full@far.test": "failed",
                "x@near.test": "waiting",
            },
        )
        (report,) = self.inbox()
        self.assertEqual(report.count(b"Action: failed"), 2)
        for name, is_named in (("gone", True), ("full", True), ("ok", False), ("later", False)):
            told = b"Final-Recipient: rfc822; %s@far.test" % name.encode()
            self.assertEqual(told in report, is_named, name)
        told = Counter(self.kinds())
        self.assertEqual(told, {"deferred": 1, "delivered": 2, "failed": 2}, "one is the report's")

    def test_only_those_that_wait(self) -> None:
        """The next attempt is for those that are left."""
        self.put("ok@far.test", "later@far.test")
        self.connect()
        self.host(
            "220 far.test", "250 far.test", "250 ok", "250 ok", "450 4.7.1 Later", "354 go on"
        )
        self.host("250 taken")
        (entry,) = self.entries()
        statuses = [one.last_status for one in entry.deliveries]
        self.assertEqual(statuses, ["250 2.0.0 taken", "450 4.7.1 Later"])
        self.run_for(MIN_RETRY_SECONDS + 1)
        self.connect()
        said = self.host("220 far.test", "250 far.test", "250 ok", "250 ok", "354 go on")
        self.assertNotIn(b"ok@far.test", said)
        self.host("250 taken")
        self.assertEqual(self.entries(), ())
        self.assertEqual(len(self.network.tcpClients), 2)

    def test_broken_connection(self) -> None:
        """Nobody got it: all wait, and none was told of."""
        self.put("a@far.test", "b@far.test")
        self.connect()
        self.host("220 far.test", "250 far.test", "250 ok")
        self.protocol.connectionLost(Failure(ConnectionLost()))
        (entry,) = self.entries()
        for delivery in entry.deliveries:
            self.assertIs(delivery.state, DeliveryState.WAITING)
            self.assertEqual(delivery.last_status[:9], "451 4.4.1")
        self.assertEqual(self.inbox(), [])

    # What hosts were seen to do, in bug reports of other servers: what they say one after another
    # (empty: they hang up; a number: they are silent for so long), and what becomes of the message.
    SEEN: tuple[tuple[tuple[str, ...], str, str], ...] = (
        (("250 ok", "250 ok", "354 go", "250 2.0.0 in", ""), "delivered", "250 2.0.0 in"),
        (("250 ok", "251 will forward", "354 go", "250 in"), "delivered", "250 2.0.0 in"),
        (("250 ok", "250 ok", "250 2.0.0 Resetting"), "waiting", "451 4.5.0 The host answered out"),
        (("250 ok", "250 ok", "503 5.5.1 no recipient"), "failed", "503 5.5.1 no recipient"),
        (("250 ok", "550 5.1.1 who"), "failed", "550 5.1.1 who"),
        (("250 ok", "550-5.1.1 who\r\n550 5.1.1 is that"), "failed", "550 5.1.1 who is that"),
        (("250 ok", "421 4.7.0 later", ""), "waiting", "421 4.7.0 later"),
        (("421 4.7.0 later", ""), "waiting", "421 4.7.0 later"),
        (("250 ok", "250 ok", "421 busy", ""), "waiting", "421 4.0.0 busy"),
        (("250 ok", "250 ok", "354 go", "421 4.3.2 down", ""), "waiting", "421 4.3.2 down"),
        (("250 ok", "250 ok", "354 go", ""), "waiting", "451 4.4.2 The connection was lost"),
        (("250 ok", "250 ok", "354 go", "601"), "waiting", "451 4.4.2 The connection was lost"),
        (("250 ok", "250 ok", ""), "waiting", "451 4.4.1 The connection was lost."),
        (("250 ok", "250 ok", "354 go", "552 5.2.2 full"), "failed", "552 5.2.2 full"),
        (("250 ok", "552 full"), "waiting", "452 4.5.3 full"),
        (("250 ok", "452 4.2.2 full"), "waiting", "452 4.2.2 full"),
        (("250 ok", "554 5.7.1 no"), "failed", "554 5.7.1 no"),
        (("250 ok", "250 ok", "354 go", "454 4.7.0 [x] wait"), "waiting", "454 4.7.0 [x] wait"),
        (("552 5.3.4 too big",), "failed", "552 5.3.4 too big"),
        (("250 ok", "250 ok", "354 go", "250-one\r\n250 two"), "delivered", "250 2.0.0 one two"),
        (("250 ok", "250 ok", "354 go", "hello"), "waiting", "451 4.4.2 The connection was lost"),
    )

    def test_seen(self) -> None:
        """The outcome is what the host said, in its words; no defect, and one transaction."""
        for number, (script, state, status) in enumerate(self.SEEN):
            before = len(self.network.tcpClients)
            message = self.put(
                f"a@h{number}.test", "keep@near.test"
            )  # the other host keeps it in the queue
            client = next(
                index
                for index, one in enumerate(self.network.tcpClients[before:], before)
                if one[0] == "198.41.0.4"
            )
            self.connect(client)
            self.host("220 h.test", "250 h.test")
            for line in script:
                if not line:
                    self.protocol.connectionLost(Failure(ConnectionLost()))
                elif line.isdigit():
                    self.network.advance(float(line))
                else:
                    self.host(line)
            self.run_for(REPORT_WAIT_SECONDS)
            (entry,) = (one for one in self.entries() if one.message.id == message.id)
            delivery = entry.deliveries[0]
            self.assertEqual(delivery.state.value, state, script)
            self.assertTrue(delivery.last_status.startswith(status), (delivery.last_status, status))
            self.assertEqual(delivery.attempts, 1)
            self.now(self.queue.drop(entry.message.id))
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_silent_after_the_dot(self) -> None:
        """Nobody knows whether it was taken: it is sent again later, to nobody else at once."""
        self.put("a@far.test")
        self.connect()
        self.host("220 h.test", "250 h.test", "250 ok", "250 ok", "354 go")
        self.network.advance(601.0)
        self.assertEqual(len(self.network.tcpClients), 1)
        self.run_for(MIN_RETRY_SECONDS * 1.5)
        self.assertEqual(len(self.network.tcpClients), 2)
