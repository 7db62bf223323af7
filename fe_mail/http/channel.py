"""
One HTTP connection: when it is listened to, for how long, and how it ends.

Twisted's channel reads requests. This one asks the resource at the end of the header, keeps the
time of the header and of the body as a whole (a client that drips an octet now and then gains
nothing), and charges what it keeps to the budget of the process.

A request that is answered before its body was asked for ends the connection: the answer says so,
and what is still on its way is thrown away for a moment, because a reset would destroy the answer
before the client reads it. RFC 9112 §9.3 (persistence), §9.6 (tear-down).
"""

# Twisted's own methods carry no types.
# mypy: disable-error-code="no-untyped-call"
import enum
from typing import Any, Protocol

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel
from twisted.web.http import Request as BaseRequest

from fe_mail.budget import Share
from fe_mail.connection.registry import Connections, Reason
from fe_mail.connection.repeated import RepeatedLog
from fe_mail.http.body import Room

__all__ = ["Channel"]

IDLE_SECONDS = 60.0  # between two requests
HEADER_SECONDS = 20.0  # from the first octet of a header to its last
BODY_SECONDS = 20.0  # for a body, and one more for so many octets of it:
BODY_OCTETS_PER_SECOND = 2048
LINGER_SECONDS = 10.0  # for what a refused client goes on sending
MAX_DISCARDED_OCTETS = 16 * 1_048_576
CLOSE_SECONDS = 30.0  # for the client to read our last words
MAX_REQUESTS = 1000  # of one connection
MAX_FIELDS = 100  # of one header
FIELD_OCTETS = 300  # what a field costs as objects, besides its own


class Phase(enum.Enum):
    """Who has to do something next."""

    IDLE = enum.auto()  # the client: nothing of a request is here
    HEADER = enum.auto()  # the client
    OURS = enum.auto()
    BODY = enum.auto()  # the client
    LINGER = enum.auto()  # the client: it was answered and still sends
    CLOSING = enum.auto()  # the client: it has to read the rest


_SECONDS = {
    Phase.IDLE: IDLE_SECONDS,
    Phase.HEADER: HEADER_SECONDS,
    Phase.BODY: BODY_SECONDS,
    Phase.LINGER: LINGER_SECONDS,
    Phase.CLOSING: CLOSE_SECONDS,
}


class Premises(Protocol):
    """What the channels of a site share."""

    clock: IReactorTime
    room: Room
    repeated: RepeatedLog
    registry: Connections


class Channel(HTTPChannel):
    """One connection; tells the site when it is gone."""

    site: Premises
    transport: Any
    maxHeaders = MAX_FIELDS

    def __init__(self) -> None:
        super().__init__()
        self._served = 0
        self._phase = (Phase.IDLE, 0)
        self._timer: IDelayedCall | None = None
        self._body_octets = self._discarded_octets = 0
        self._is_body_asked = self._is_held = False
        self._is_lingering = self._is_closing = self._is_lost = False

    # Receiving

    def connectionMade(self) -> None:
        """Wait for the first request."""
        self._share = Share(self.site.room.memory)
        super().connectionMade()
        self._enter((Phase.IDLE, 0), HEADER_SECONDS)

    def dataReceived(self, data: bytes) -> None:
        """Octets of the client."""
        if self._is_closing:
            return
        super().dataReceived(data)
        self._charge()
        self._look()

    def _charge(self) -> None:
        if self._is_lost:
            return
        kept = len(self._buffer) + sum(map(len, self._dataBuffer))
        if not self._is_lingering:
            kept += self._receivedHeaderSize + FIELD_OCTETS * self._receivedHeaderCount
        if not self._share.resize(kept):
            self.site.repeated.info("No memory for more HTTP requests")
            self._share.release()
            self.cut()

    def lineLengthExceeded(self, line: bytes) -> None:
        """A line that is longer than a whole header may be."""
        self._respondToBadRequestAndDisconnect()

    def allHeadersReceived(self) -> None:
        """A request with a body is begun now, any other when Twisted says that it is complete."""
        request = self.requests[-1]
        request.parseCookies()
        self.persistent = self.checkPersistence(request, self._version)
        self._is_body_asked = self._is_held = False
        self._body_octets = 0
        request.gotLength(self.length)
        if self.length != 0:
            request.begin(self._command, self._path, self._version)

    def checkPersistence(self, request: BaseRequest, version: bytes) -> bool:
        """A connection is good for many requests, not for any number."""
        self._served += 1
        if self._served >= MAX_REQUESTS:
            request.responseHeaders.setRawHeaders(b"Connection", [b"close"])
            return False
        return bool(super().checkPersistence(request, version))

    def rawDataReceived(self, data: bytes) -> None:
        """Octets of a body, or of requests that come before their time."""
        self._body_octets += len(data)
        if self._is_lingering:
            self._discarded_octets += len(data)
            if self._discarded_octets > MAX_DISCARDED_OCTETS:
                self.cut()
                return
        super().rawDataReceived(data)

    def _finishRequestBody(self, data: bytes) -> None:
        if self._is_lingering:
            self.loseConnection()
        else:
            super()._finishRequestBody(data)

    def refuse(self) -> None:
        """This is no HTTP: 400 and the end."""
        self._respondToBadRequestAndDisconnect()

    def _respondToBadRequestAndDisconnect(self) -> None:
        if self._is_lingering:
            self.loseConnection()
            return
        super()._respondToBadRequestAndDisconnect()
        self._forget_requests(Failure(ConnectionDone()))

    def _forget_requests(self, reason: Failure) -> None:
        """Nobody will hear what they answer."""
        requests, self.requests = self.requests, []
        for request in requests:
            request.connectionLost(reason)

    # The flow of a body

    def ask(self) -> None:
        """Let the client send its body; from now on it is waited for."""
        self._is_body_asked = True
        expected = self.requests[-1].requestHeaders.getRawHeaders(b"Expect")
        if expected and expected[0].lower() == b"100-continue" and self._version == b"HTTP/1.1":
            self._send100Continue()
        self.go_on()

    def hold(self) -> None:
        """Take nothing more, for the moment."""
        self._is_held = True
        self._networkProducer.pauseProducing()

    def go_on(self) -> None:
        """Take more."""
        self._is_held = False
        self._networkProducer.resumeProducing()
        self._look()

    def cannot_keep(self, reason: str) -> None:
        """Tell who runs the server that the disk does not take a body."""
        self.site.repeated.error(
            "A large HTTP request was refused: no temporary file can be written ({reason})",
            reason=reason,
        )

    def resumeProducing(self) -> None:
        """The client read what it was sent."""
        super().resumeProducing()
        if self._is_held:
            self._networkProducer.pauseProducing()

    # Time

    def _look(self) -> None:
        """Begin to wait for what comes next, if that is something new."""
        phase = (self._now(), self._served)
        if phase != self._phase:
            self._enter(phase, _SECONDS.get(phase[0]))

    def _now(self) -> Phase:
        if self._is_closing:
            return Phase.CLOSING
        if self._is_lingering:
            return Phase.LINGER
        if not self.requests:
            return Phase.HEADER if self._buffer else Phase.IDLE
        if self._handlingRequest:
            return Phase.OURS
        if self.line_mode:
            return Phase.HEADER
        return Phase.BODY if self._is_body_asked else Phase.OURS

    def _enter(self, phase: tuple[Phase, int], seconds: float | None) -> None:
        self._phase = phase
        self._stop_timer()
        if seconds is not None and not self._is_lost:
            self._began = self.site.clock.seconds()
            self._timer = self.callLater(seconds, self._too_late)

    def _stop_timer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()

    def _too_late(self) -> None:
        phase = self._phase[0]
        if phase is Phase.BODY:
            due = BODY_SECONDS + self._body_octets / BODY_OCTETS_PER_SECOND
            left = self._began + due - self.site.clock.seconds()
            if left > 0:
                self._timer = self.callLater(left, self._too_late)
                return
        if phase in (Phase.IDLE, Phase.LINGER):
            self.loseConnection()
            return
        if phase is not Phase.CLOSING:
            self.site.repeated.info("An HTTP client took too long ({phase})", phase=phase.name)
        self.cut()

    # The end

    def requestDone(self, request: Any) -> None:
        """Who sent the next request already waits until others had their turn."""
        body = request.body
        if body is not None:
            body.close()
        if body is not None and not body.is_complete:
            self.requests.remove(request)
            self._is_lingering = True
            self.go_on()
        elif self._buffer or any(self._dataBuffer):
            self.site.registry.turns.take().addCallback(lambda _: self._go_on(request))
        else:
            self._go_on(request)

    def _go_on(self, request: Any) -> None:
        if not self._is_lost:
            super().requestDone(request)
            self._charge()
            self._look()

    def loseConnection(self) -> None:
        """Close when everything is written; cut if the client does not read it."""
        if not self._is_closing:
            self._is_closing = True
            self._look()
            super().loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The connection is gone."""
        self._is_lost = True
        self._stop_timer()
        self._share.release()
        super().connectionLost(reason)
        self.site.registry.leave(self)

    # The registry's side

    @property
    def is_waiting(self) -> bool:
        """It is the client's turn, so that cutting it spoils no work of ours."""
        return self._phase[0] is not Phase.OURS

    def finish(self, why: Reason) -> bool:
        """Close after the requests that run."""
        self.persistent = False
        is_idle = not self.requests
        if is_idle:
            self.loseConnection()
        return is_idle

    def cut(self) -> None:
        """Close, whatever the requests do."""
        self.transport.abortConnection()
