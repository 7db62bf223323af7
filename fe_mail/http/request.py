"""
A request that is answered as soon as its header is complete, and whose body comes when asked for.

twisted.web calls a resource when it has the whole body, of any size and whoever sends it. Here
the resource is asked at the end of the header; it refuses, or awaits ``fields`` within the limit
of its route. A request that is answered without its body ends its connection (``channel.py``).
Path segments stay percent-encoded until routing, so that an encoded slash is part of a name.
RFC 9110 §10.1.1 (Expect), §15.5.14 (413).
"""

# Twisted's own methods carry no types.
# mypy: disable-error-code="no-untyped-call"
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from twisted.python.failure import Failure
from twisted.web import server
from werkzeug.routing import UnicodeConverter, ValidationError

from fe_mail.http.bodies import Fields, parse_body, parse_query
from fe_mail.http.body import Body

__all__ = ["MAX_SHOWN_SEGMENT", "Request", "Segment", "header"]

# Chunks of an octet or two (RFC 9112 §7.1) cost a thousand times more than they carry.
MAX_SMALL_PIECES = 1000
SMALL_PIECE_OCTETS = 16
MAX_SHOWN_SEGMENT = 64  # in logs; the tokens of mailed links are twice as long

_HOST = re.compile(rb"(?:\[[0-9A-Fa-f:.]+\]|[\w.~!$&'()*+;=%-]*)(?::[0-9]{0,5})?\Z")
_ABSOLUTE = re.compile(rb"https?://([^/?]*)(.*)\Z", re.IGNORECASE | re.DOTALL)


class Segment(UnicodeConverter):
    """One path segment, decoded after the path was split."""

    def to_python(self, value: str) -> str:
        """Decode; what is not UTF-8 matches no route."""
        try:
            return unquote(value, errors="strict")
        except UnicodeDecodeError:
            raise ValidationError from None


class Request(server.Request):
    """One request. ``body`` is None when none was announced."""

    channel: Any
    prepath: list[bytes]
    postpath: list[bytes]

    # What the web UI's front notes before routing: language, and path without language.
    language = ""
    page_path = ""
    body: Body | None = None
    _received_octets = 0
    _pieces = 0

    # The channel's side

    def gotLength(self, length: int | None) -> None:
        """The header is complete."""
        if length != 0:
            self.body = Body(self.channel.site.room, length, self.channel)

    def begin(self, method: bytes, uri: bytes, version: bytes) -> None:
        """Ask the resource, unless nobody can tell for sure what is asked of whom."""
        # What is no URI (RFC 3986 §2) would break the routing.
        if not uri.isascii() or not self._has_host(version):
            self.channel.refuse()
            return
        uri = self._without_authority(uri)
        self.method, self.uri, self.clientproto = method, uri, version
        self.path = uri.partition(b"?")[0]
        self.args: dict[bytes, list[bytes]] = {}
        self.process()

    def _has_host(self, version: bytes) -> bool:
        """One Host that is one; before HTTP/1.1 it may be absent (RFC 9112 §3.2)."""
        hosts = self.requestHeaders.getRawHeaders(b"Host") or ()
        if not hosts:
            return version != b"HTTP/1.1"
        return len(hosts) == 1 and _HOST.match(hosts[0].strip()) is not None

    def _without_authority(self, uri: bytes) -> bytes:
        """What stands in the target counts more than Host (RFC 9112 §3.2.2)."""
        match = _ABSOLUTE.match(uri)
        if match is None or _HOST.match(match[1]) is None:
            return uri
        self.requestHeaders.setRawHeaders(b"Host", [match[1]])
        rest = match[2]
        return rest if rest.startswith(b"/") else b"/" + rest

    def handleContentChunk(self, data: bytes) -> None:
        """Some octets of the body."""
        self._received_octets += len(data)
        self._pieces += 1
        if self._pieces - self._received_octets // SMALL_PIECE_OCTETS > MAX_SMALL_PIECES:
            self.channel.cut()
        elif self.body is not None:
            self.body.take(data)

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """All is here."""
        if self.body is None:
            self.begin(command, path, version)
        else:
            self.body.end()

    def connectionLost(self, reason: Failure) -> None:
        """The client left."""
        super().connectionLost(reason)
        if self.body is not None:
            self.body.close()

    # The resource's side

    def render(self, resrc: Any) -> None:
        """Dispatch with the path split but still encoded."""
        # server.Request.process decoded the segments; an encoded slash would be lost by now.
        self.postpath = self.path[1:].split(b"/")[len(self.prepath) :]
        self.setHeader(b"Server", b"fe-mail")
        super().render(resrc)

    def ignore_last_slash(self) -> None:
        """A slash behind a path makes it no other path."""
        if self.postpath[-1:] == [b""] and len(self.postpath) > 1:
            self.postpath.pop()

    async def fields(self, max_octets: int) -> Fields:
        """The fields of the body, which is received now. ``Invalid``, ``TooBig``."""
        if self.body is None:
            return {}
        kind, encoding = header(self, b"Content-Type"), header(self, b"Content-Encoding")
        return await self.body.receive(
            max_octets, lambda octets: parse_body(kind, octets, encoding)
        )

    @property
    def query(self) -> Mapping[str, str]:
        """The parameters of the query. ``Invalid``."""
        return parse_query(self.uri.partition(b"?")[2])

    @property
    def shown_path(self) -> str:
        """The path for logs: what is left of a mailed link there opens nothing."""
        segments = self.path.decode("ascii", "replace").split("/")
        return "/".join(
            each if len(each) <= MAX_SHOWN_SEGMENT else f"{each[:MAX_SHOWN_SEGMENT]}..."
            for each in segments
        )

    def getRequestHostname(self) -> bytes:
        """For the map of routes, which fails where a client made the name up and needs none."""
        return b"localhost"

    def setHeader(self, name: bytes, value: bytes) -> None:
        """Set a header of the response."""
        super().setHeader(name, value)

    def cookie(self, name: str) -> str:
        """A cookie of the client; empty if there is none."""
        value = self.getCookie(name.encode("ascii"))
        return value.decode("ascii", "replace") if value else ""

    def keep(
        self, name: str, value: str, max_age_seconds: int, *, is_secure: bool, is_strict: bool
    ) -> None:
        """
        A cookie that scripts cannot read and other sites cannot make the browser post; with
        ``is_strict`` it is not sent with what other sites begin at all, not even with a link.
        """
        self.addCookie(
            name,
            value,
            path="/",
            max_age=str(max_age_seconds),
            secure=is_secure,
            httpOnly=True,
            sameSite="strict" if is_strict else "lax",
        )

    def write(self, data: bytes) -> None:
        """Some of the answer; one that did not wait for the body is the connection's last."""
        is_first = not self.startedWriting and not self._disconnected
        if is_first and self.body is not None and not self.body.is_taken:
            self.channel.persistent = False
            self.responseHeaders.setRawHeaders(b"Connection", [b"close"])
        super().write(data)

    def end(self, body: bytes) -> None:
        """Send the answer, unless the client left."""
        if not self._disconnected and not self.finished:
            self.write(body)
            self.finish()


def header(request: server.Request, name: bytes) -> str:
    """A header field as text; empty if absent."""
    value = request.requestHeaders.getRawHeaders(name)
    return value[0].decode("utf-8", "replace").strip() if value else ""
