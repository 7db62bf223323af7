"""
The HTTP listener: connections counted and limited, and a graceful end.

Also the switch that lets one port serve the web UI and the API, by path or by Host.
"""

# Twisted's own methods carry no types.
# mypy: disable-error-code="no-untyped-call"
from typing import Any

from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.logger import Logger
from twisted.web.http import Request as BaseRequest
from twisted.web.resource import IResource, Resource
from twisted.web.server import Site

from fe_mail.connection.refused import Refused
from fe_mail.connection.registry import Connections, Limits
from fe_mail.connection.repeated import RepeatedLog
from fe_mail.http.body import Room
from fe_mail.http.channel import Channel
from fe_mail.http.proxies import Proxies
from fe_mail.http.request import Request, header
from fe_mail.http.work import Work

__all__ = ["LIMITS", "PROXIED_LIMITS", "HTTPSite", "Switch"]

LIMITS = Limits(in_all=2000, per_address=200)
PROXIED_LIMITS = Limits(in_all=2000, per_address=0)  # a proxy holds connections for many clients

_log = Logger()


class HTTPSite(Site):
    """
    A ``Site`` with our request, limits on connections and a structured access log.

    ``work`` are the coroutines that outlive the request that started them; ``room`` is where
    requests are kept while they come; ``proxies`` say whom the access log names.
    """

    protocol = Channel  # type: ignore[assignment]  # Twisted declares its ALPN wrapper here
    displayTracebacks = False
    noisy = False

    def __init__(
        self,
        resource: IResource,
        *,
        clock: IReactorTime,
        room: Room,
        work: Work | None = None,
        limits: Limits = LIMITS,
        proxies: Proxies | None = None,
    ) -> None:
        super().__init__(
            resource,
            requestFactory=Request,
            timeout=None,  # the channel keeps its own time
            reactor=clock,
            parsePOSTFormSubmission=False,
        )
        self.clock = clock
        self.room = room
        self.repeated = RepeatedLog(_log, clock)
        self._work = work or Work()
        self._proxies = proxies or Proxies()
        self.registry = Connections("HTTP", limits, clock=clock, yields=lambda c: c.is_waiting)

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """Accept, unless there are too many connections or we are stopping."""
        channel = super().buildProtocol(addr)
        assert isinstance(channel, Channel)
        if self.registry.admit(channel, str(getattr(addr, "host", ""))) is None:
            return channel
        self.registry.leave(channel)
        return Refused()

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self.registry)

    async def drain(self) -> None:
        """Let running requests finish, then close; cut what takes too long."""
        await self.registry.drain()
        await self._work.finished()

    def log(self, request: BaseRequest) -> None:
        """The access log: what was asked and answered, without the query and without secrets."""
        assert isinstance(request, Request)
        _log.info(
            "{method} {path} {code}",
            method=request.method.decode("ascii", "replace"),
            path=getattr(request, "shown_path", ""),
            code=request.code,
            remote=self._proxies.remote(request),
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
        is_api = (request.postpath or [])[:1] == [b"v1"] or name.rstrip(".") in self._api_hosts
        return (self._api if is_api else self._web).render(request)
