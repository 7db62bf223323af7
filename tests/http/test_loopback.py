"""The listener on real sockets, with TLS as in production."""

import ssl
from http.client import HTTPSConnection
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import ClientFactory, Protocol, connectionDone
from twisted.internet.task import Clock
from twisted.internet.threads import deferToThread
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from fe_mail.app.listeners import Door
from fe_mail.app.tls import CertificateDirectory, make_self_signed
from fe_mail.connection.registry import Limits
from fe_mail.http.site import HTTPSite
from tests.http.raw import MAX_OCTETS, Echo, room

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


class LoopbackTestCase(TestCase):
    """A port with TLS; time stands still."""

    timeout = 60

    def setUp(self) -> None:
        """A certificate."""
        directory = Path(self.mktemp())
        make_self_signed(directory, ["localhost", HOST])
        self.certificates = CertificateDirectory(directory)
        self.certificates.load()
        self.trust = ssl.create_default_context(cafile=str(self.certificates.chain_path))

    def listen(self, limits: Limits) -> tuple[HTTPSite, int]:
        """A site and its port."""
        from twisted.internet import reactor

        clock = Clock()
        site = HTTPSite(Echo(), clock=clock, room=room(), limits=limits)
        door = Door(clock)
        door.open(site, self.certificates)
        port = reactor.listenTCP(0, door, interface=HOST)  # type: ignore[attr-defined]
        self.addCleanup(port.stopListening)
        self.addCleanup(lambda: Deferred.fromCoroutine(site.drain()))
        return site, int(port.getHost().port)


class RefusalTests(LoopbackTestCase):
    """One too many, ten times as many as there are places."""

    async def test_no_traceback(self) -> None:
        """They are turned away, and nothing in the log is an error."""
        from twisted.internet import reactor

        site, port = self.listen(Limits(in_all=100, per_address=PLACES))
        factory: Any = ClientFactory.forProtocol(Comer)
        factory.noisy, factory.gone, factory.done = False, 0, Deferred()
        for _ in range(COMERS):
            client = reactor.connectTCP(HOST, port, factory)  # type: ignore[attr-defined]
            self.addCleanup(client.disconnect)
        await factory.done
        self.assertEqual(site.connections, PLACES)
        self.assertEqual(self.flushLoggedErrors(), [])


class UploadTests(LoopbackTestCase):
    """Bodies through TLS, from a client that sends all before it reads."""

    async def test_bodies(self) -> None:
        """On one connection, some of them too large to be kept in memory."""
        _, port = self.listen(Limits(in_all=9, per_address=9))

        def talk() -> list[bytes]:
            client = HTTPSConnection(HOST, port, context=self.trust, timeout=30)
            answers = []
            for size in (3, MAX_OCTETS, 0, 50_000):
                client.request("POST", "/", b"x" * size)
                answers.append(client.getresponse().read().split()[1])
            client.close()
            return answers

        answers = await deferToThread(talk)
        self.assertEqual(answers, [b"3", b"%d" % MAX_OCTETS, b"0", b"50000"])

    async def test_refused(self) -> None:
        """A client that was refused hears so, though it went on sending."""
        _, port = self.listen(Limits(in_all=9, per_address=9))

        def talk() -> tuple[int, str | None]:
            client = HTTPSConnection(HOST, port, context=self.trust, timeout=30)
            client.request("POST", "/refuse", b"x" * 5_000_000)
            answer = client.getresponse()
            client.close()
            return answer.status, answer.getheader("Connection")

        self.assertEqual(await deferToThread(talk), (401, "close"))
