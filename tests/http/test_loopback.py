"""The listener on real sockets, with TLS as in production."""

from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import ClientFactory, Protocol, connectionDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from fe_mail.app.listeners import Door
from fe_mail.app.tls import CertificateDirectory, make_self_signed
from fe_mail.connection.registry import Limits
from fe_mail.http.site import HTTPSite
from tests.http.raw import Echo, room

HOST = "127.0.0.1"
PLACES = 3
COMERS = 30


class Comer(Protocol):
    """Says nothing and notices when it is turned away."""

    factory: Any

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Turned away."""
        self.factory.gone += 1
        if self.factory.gone == COMERS - PLACES:
            self.factory.done.callback(None)


class RefusalTests(TestCase):
    """One too many, ten times as many as there are places."""

    timeout = 60

    async def test_no_traceback(self) -> None:
        """They are turned away, and nothing in the log is an error."""
        from twisted.internet import reactor

        certificates = self.certificates()
        limits = Limits(in_all=100, per_address=PLACES)
        site = HTTPSite(Echo(), clock=Clock(), room=room(), limits=limits)
        door = Door(Clock())
        door.open(site, certificates)
        port = reactor.listenTCP(0, door, interface=HOST)  # type: ignore[attr-defined]
        self.addCleanup(port.stopListening)
        self.addCleanup(lambda: Deferred.fromCoroutine(site.drain()))
        factory: Any = ClientFactory.forProtocol(Comer)
        factory.noisy, factory.gone, factory.done = False, 0, Deferred()
        for _ in range(COMERS):
            client = reactor.connectTCP(HOST, port.getHost().port, factory)  # type: ignore[attr-defined]
            self.addCleanup(client.disconnect)
        await factory.done
        self.assertEqual(site.connections, PLACES)
        self.assertEqual(self.flushLoggedErrors(), [])

    def certificates(self) -> CertificateDirectory:
        """For this host."""
        directory = Path(self.mktemp())
        make_self_signed(directory, ["localhost", HOST])
        certificates = CertificateDirectory(directory)
        certificates.load()
        return certificates
