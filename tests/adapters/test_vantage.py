"""Tests of the two vantages: the table, and this host with its sockets."""

from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from fe_mail.adapters import vantage as module
from fe_mail.adapters.memory.vantage import TableVantage
from fe_mail.adapters.vantage import GREETING_SECONDS, MAX_GREETING_OCTETS, HostVantage
from fe_mail.model.errors import Unavailable
from fe_mail.model.network import is_public
from fe_mail.model.vantage import OwnAddresses, Whose
from fe_mail.ports import Vantage
from tests.contracts.vantage import ADDRESSES, VantageCase, VantageContract


class TableVantageTests(VantageContract, VantageCase):
    """The specification."""

    def vantage(self) -> TableVantage:
        """With one that greets."""
        return TableVantage(OwnAddresses(known=ADDRESSES), {self.here: "220 here.test ESMTP"})

    def test_late(self) -> None:
        """An answer that takes its time."""
        vantage = self.vantage()
        vantage.is_late = True
        work = Deferred.fromCoroutine(vantage.greeting(self.here))
        self.assertNoResult(work)
        vantage.answer_next()
        self.assertEqual(self.successResultOf(work), "220 here.test ESMTP")


class _Greeter(Protocol):
    def connectionMade(self) -> None:
        """Say it in two pieces."""
        transport: Any = self.transport
        transport.write(b"220 here.")
        transport.write(b"test ESMTP\r\n")


class HostVantageTests(VantageContract, VantageCase):
    """This host."""

    def setUp(self) -> None:
        """Somebody listens."""
        listening: Any = reactor
        self.port = listening.listenTCP(0, Factory.forProtocol(_Greeter), interface=self.here)
        self.addCleanup(self.port.stopListening)

    def vantage(self) -> Vantage:
        """Told its addresses."""
        host: Any = reactor
        return HostVantage(host, ADDRESSES, port=self.port.getHost().port)

    def test_detected(self) -> None:
        """Without configuration: public addresses or none, and a family is not both."""
        own = HostVantage(MemoryReactorClock()).addresses()
        self.assertTrue(all(is_public(address) for address in own.known))
        for version in own.hidden:
            self.assertFalse([each for each in own.known if (":" in each) == (version == 6)])

    def test_hidden(self) -> None:
        """A private address of an interface is not ours in the eyes of the world."""
        vantage = HostVantage(MemoryReactorClock())
        self.patch(module, "_source", lambda version: "10.0.0.2" if version == 4 else "")
        self.assertEqual(vantage.addresses(), OwnAddresses(hidden=(4,)))
        self.assertIs(vantage.whose("198.51.100.1"), Whose.UNKNOWN)
        self.assertIs(vantage.whose("10.0.0.2"), Whose.UNKNOWN)

    def test_each_family_for_itself(self) -> None:
        """A known IPv6 address says nothing of IPv4, and what is configured is not asked for."""
        sources = {4: "10.0.0.2", 6: "2600::25"}
        self.patch(module, "_source", sources.__getitem__)
        vantage = HostVantage(MemoryReactorClock())
        own = OwnAddresses(known=("2600::25",), hidden=(4,))
        self.assertEqual(vantage.addresses(), own)
        self.assertIs(vantage.whose("8.8.8.8"), Whose.UNKNOWN)
        self.assertIs(vantage.whose("2600::26"), Whose.FOREIGN)
        vantage = HostVantage(MemoryReactorClock(), ("192.0.2.25",))
        self.assertEqual(vantage.addresses(), OwnAddresses(known=("192.0.2.25", "2600::25")))

    def test_who_names_one_names_all(self) -> None:
        """A private IPv6 address of a container hides nothing from an operator who named IPv4."""
        self.patch(module, "_source", {4: "10.0.0.2", 6: "fd00::2"}.__getitem__)
        own = HostVantage(MemoryReactorClock(), ("192.0.2.25",)).addresses()
        self.assertEqual(own, OwnAddresses(known=("192.0.2.25",)))

    def test_kernel(self) -> None:
        """Addresses of interfaces are told from others."""
        self.assertTrue(module._is_here("127.0.0.1"))
        self.assertFalse(module._is_here("198.51.100.1"))
        self.assertFalse(module._is_here("nonsense"))

    def test_promiscuous_kernel(self) -> None:
        """A host that may bind to any address learns nothing from binding."""
        self.patch(module, "_can_bind", lambda family, address: True)
        self.assertFalse(module._is_here("198.51.100.1"))


class ListenerTests(SynchronousTestCase):
    """Whoever answers at port 25 may say anything."""

    def setUp(self) -> None:
        """A connection in memory."""
        self.reactor = MemoryReactorClock()
        work = HostVantage(self.reactor).greeting("192.0.2.25")
        self.work = ensureDeferred(work)
        factory = self.reactor.tcpClients[0][2]
        self.protocol = factory.buildProtocol(None)
        self.transport = StringTransport()
        self.protocol.makeConnection(self.transport)

    def test_never_ends(self) -> None:
        """A line without an end is cut; nothing more is kept."""
        self.protocol.dataReceived(b"220 " + b"x" * MAX_GREETING_OCTETS)
        self.assertEqual(len(self.successResultOf(self.work)), MAX_GREETING_OCTETS)
        self.protocol.dataReceived(b"y\r\n")
        self.assertEqual(self.transport.value(), b"QUIT\r\n")

    def test_odd_octets(self) -> None:
        """What cannot be shown is not."""
        self.protocol.dataReceived(b"220 \x1b[31m\xff\r\n")
        self.assertTrue(self.successResultOf(self.work).isprintable())

    def test_silent(self) -> None:
        """One who says nothing is left alone, after a while."""
        clock: Clock = self.reactor
        clock.advance(GREETING_SECONDS)
        self.failureResultOf(self.work, Unavailable)
        self.assertTrue(self.transport.disconnecting or self.transport.aborting)

    def test_hangs_up(self) -> None:
        """Or one who goes without a word."""
        self.protocol.connectionLost(Failure(ConnectionDone()))
        self.failureResultOf(self.work, Unavailable)
