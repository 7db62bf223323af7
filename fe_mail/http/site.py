"""
The HTTP listener: connections counted and limited, requests capped, a graceful end.

Also the switch that lets one port serve the web UI and the API, by path or by Host.
"""

# Twisted's own methods carry no types.
# mypy: disable-error-code="no-untyped-call"
from typing import Any

from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel
from twisted.web.http import Request as BaseRequest
from twisted.web.resource import IResource, Resource
from twisted.web.server import Request, Site

from fe_mail.connection.registry import Connections, Limits, Reason
from fe_mail.http.request import CappedRequest, header
from fe_mail.http.work import Work

__all__ = ["LIMITS", "PROXIED_LIMITS", "HTTPSite", "Switch"]

LIMITS = Limits(in_all=2000, per_address=200)
PROXIED_LIMITS = Limits(in_all=2000, per_address=0)  # a proxy holds connections for many clients
IDLE_SECONDS = 60.0
MAX_REQUESTS = 1000  # of one connection

_log = Logger()


class Channel(HTTPChannel):
    """One connection; tells the site when it is gone."""

    site: "HTTPSite"
    _served = 0
    _is_lost = False

    def checkPersistence(self, request: BaseRequest, version: bytes) -> bool:
        """A connection is good for many requests, not for any number."""
        self._served += 1
        if self._served >= MAX_REQUESTS:
            request.responseHeaders.setRawHeaders(b"Connection", [b"close"])
            return False
        return bool(super().checkPersistence(request, version))

    def requestDone(self, request: BaseRequest) -> None:
        """Who sent the next request already waits until others had their turn."""
        if self._buffer or self._dataBuffer:
            self.site.registry.turns.take().addCallback(lambda _: self._go_on(request))
        else:
            super().requestDone(request)

    def _go_on(self, request: BaseRequest) -> None:
        if not self._is_lost:
            super().requestDone(request)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The connection is gone."""
        self._is_lost = True
        super().connectionLost(reason)
        self.site.registry.leave(self)

    def finish(self, why: Reason) -> bool:
        """Close after the requests that run."""
        self.persistent = False
        is_idle = not self.requests
        if is_idle:
            self.loseConnection()
        return is_idle

    def cut(self) -> None:
        """Close, whatever the requests do."""
        self.forceAbortClient()


class HTTPSite(Site):
    """
    A ``Site`` with our request, limits on connections and a structured access log.

    ``work`` are the coroutines that outlive the request that started them.
    """

    protocol = Channel  # type: ignore[assignment]  # Twisted declares its ALPN wrapper here
    displayTracebacks = False
    noisy = False

    def __init__(
        self,
        resource: IResource,
        *,
        clock: IReactorTime,
        work: Work | None = None,
        limits: Limits = LIMITS,
    ) -> None:
        super().__init__(
            resource,
            requestFactory=CappedRequest,
            timeout=IDLE_SECONDS,
            reactor=clock,
            parsePOSTFormSubmission=False,
        )
        self._work = work or Work()
        self.registry = Connections("HTTP", limits, clock=clock)

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """Accept, unless there are too many connections or we are stopping."""
        address = str(getattr(addr, "host", ""))
        if self.registry.refusal(address) is not None:
            return None
        channel = super().buildProtocol(addr)
        assert isinstance(channel, Channel)
        self.registry.admit(channel, address)
        return channel

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self.registry)

    async def drain(self) -> None:
        """Let running requests finish, then close; cut what takes too long."""
        await self.registry.drain()
        await self._work.finished()

    def log(self, request: BaseRequest) -> None:
        """The access log: what was asked and answered, without the query."""
        _log.info(
            "{method} {path} {code}",
            method=request.method.decode("ascii", "replace"),
            path=request.path.decode("ascii", "replace"),
            code=request.code,
            remote=str(getattr(request.getClientAddress(), "host", "")),
            size_octets=request.sentLength,
        )


class Switch(Resource):
    """The API below ``/v1`` and for its own host names, the web UI for everything else."""

    isLeaf = True

    def __init__(self, web: IResource, api: IResource, api_hosts: frozenset[str]) -> None:
        super().__init__()
        self._web = web
        self._api = api
        self._api_hosts = api_hosts

    def render(self, request: Request) -> Any:
        """Hand over."""
        host = header(request, b"Host").lower().rpartition(":")
        name = host[0] if host[2].isdecimal() and host[0] else header(request, b"Host").lower()
        is_api = (request.postpath or [])[:1] == [b"v1"] or name in self._api_hosts
        return (self._api if is_api else self._web).render(request)
