"""Raw HTTP over a transport of strings, to a resource that says what it saw."""

from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from fe_mail.adapters.threads import InlineThreads
from fe_mail.budget import Budget
from fe_mail.http.body import ClientLeft, Room
from fe_mail.http.channel import Channel
from fe_mail.http.proxies import Proxies
from fe_mail.http.request import Request
from fe_mail.http.site import HTTPSite
from fe_mail.http.work import Work
from fe_mail.model.errors import MailError

__all__ = ["MAX_OCTETS", "Echo", "SiteTestCase", "Wire", "exchange", "room"]

MAX_OCTETS = 100_000


def room(memory: int = 1_000_000, disk: int = 1_000_000) -> Room:
    """Room without threads."""
    return Room(InlineThreads().run, Budget(memory), Budget(disk))


class Echo(Resource):
    """
    Counts the body.

    ``/refuse`` answers without it; ``/wait`` answers, and ``/later`` asks for it, when told.
    """

    isLeaf = True

    def __init__(self, name: bytes = b"echo", proxies: Proxies | None = None) -> None:
        super().__init__()
        self.name = name
        self.proxies = proxies or Proxies()
        self.waiting: list[Request] = []
        self.later: list[Deferred[None]] = []
        self.left = 0

    def render(self, request: Request) -> Any:
        """Answer."""
        if request.postpath == [b"wait"]:
            self.waiting.append(request)
            return NOT_DONE_YET
        if request.postpath == [b"refuse"]:
            request.setResponseCode(401)
            return b"who are you?"
        Deferred.fromCoroutine(self._count(request))
        return NOT_DONE_YET

    async def _count(self, request: Request) -> None:
        if request.postpath == [b"later"]:
            gate: Deferred[None] = Deferred()
            self.later.append(gate)
            await gate
        try:
            size = await request.body.receive(MAX_OCTETS, len) if request.body else 0
        except MailError as error:
            request.setResponseCode({"TooBig": 413}.get(type(error).__name__, 503))
            request.end(b"no")
            return
        except ClientLeft:
            self.left += 1
            return
        remote, secure = self.proxies.remote(request), self.proxies.is_secure(request)
        request.end(b"%s %d %s %d" % (self.name, size, remote.encode(), secure))


class Wire(StringTransport):
    """Knows whether it was reset."""

    is_aborted = False

    def setTcpNoDelay(self, enabled: bool) -> None:
        """As sockets have it."""

    def abortConnection(self) -> None:
        """Reset."""
        self.is_aborted = True
        self.disconnecting = True

    @property
    def is_paused(self) -> bool:
        """Nothing is read from the network."""
        return self.producerState == "paused"


def exchange(site: HTTPSite, octets: bytes) -> bytes:
    """What comes back at once from a new connection."""
    channel: Any = site.buildProtocol(IPv4Address("TCP", "127.0.0.1", 4000))
    wire = Wire(peerAddress=IPv4Address("TCP", "127.0.0.1", 4000))
    channel.makeConnection(wire)
    channel.dataReceived(octets)
    answer = bytes(wire.value())
    channel.connectionLost(Failure(ConnectionDone()))
    return answer


class SiteTestCase(SynchronousTestCase):
    """A site that echoes."""

    def setUp(self) -> None:
        """Nobody is connected."""
        self.clock = Clock()
        self.echo = Echo()
        self.work = Work()
        self.room = room()
        self.site = self.site_of(self.echo)

    def site_of(self, resource: Resource, **limits: Any) -> HTTPSite:
        """A site."""
        return HTTPSite(resource, clock=self.clock, work=self.work, room=self.room, **limits)

    def connect(self, site: HTTPSite | None = None, host: str = "192.0.2.1") -> Any:
        """A connection; None if it was refused."""
        family = IPv6Address if ":" in host else IPv4Address
        address = family("TCP", host, 4000)
        channel = (site or self.site).buildProtocol(address)
        transport = Wire(peerAddress=address)
        channel.makeConnection(transport)
        if isinstance(channel, Channel):
            return channel
        self.assertTrue(transport.is_aborted)
        return None

    def leave(self, channel: Any) -> None:
        """The client hangs up."""
        channel.connectionLost(Failure(ConnectionDone()))

    def ask(self, channel: Any, request: bytes) -> bytes:
        """Send octets; what came back."""
        channel.transport.clear()
        channel.dataReceived(request)
        return bytes(channel.transport.value())
