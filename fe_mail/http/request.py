"""
A request whose body has a limit, and what an edge asks of every request.

twisted.web takes bodies of any size and spools those over 100 kB into temporary files; here a
body stays in memory up to ``max_body_octets``, the rest is thrown away and answered with 413.
A peer that goes on sending is cut off. Path segments stay percent-encoded until routing, so
that an encoded slash is part of a name. RFC 9110 §15.5.14.
"""

# Twisted's own methods carry no types.
# mypy: disable-error-code="no-untyped-call"
import ipaddress
from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any
from urllib.parse import unquote

from twisted.web import server
from werkzeug.routing import UnicodeConverter, ValidationError

from fe_mail.model.network import parse_ip, plain_address

__all__ = [
    "MAX_BODY_OCTETS",
    "MAX_DISCARDED_OCTETS",
    "CappedRequest",
    "Proxies",
    "Segment",
    "header",
]

MAX_BODY_OCTETS = 1_048_576
MAX_DISCARDED_OCTETS = 16 * 1_048_576  # how long we are polite before we hang up
# Chunks of an octet or two (RFC 9112 §7.1) cost a thousand times more than they carry.
MAX_SMALL_PIECES = 1000
SMALL_PIECE_OCTETS = 16


class Segment(UnicodeConverter):
    """One path segment, decoded after the path was split."""

    def to_python(self, value: str) -> str:
        """Decode; what is not UTF-8 matches no route."""
        try:
            return unquote(value, errors="strict")
        except UnicodeDecodeError:
            raise ValidationError from None


class CappedRequest(server.Request):
    """A request that holds at most ``max_body_octets`` of body."""

    content: BytesIO
    prepath: list[bytes]
    postpath: list[bytes]

    max_body_octets = MAX_BODY_OCTETS
    # What the web UI's front notes before routing: language, form, path without language.
    language = ""
    form: Mapping[str, object] | None = None
    page_path = ""
    is_too_big = False
    _received_octets = 0
    _pieces = 0
    _is_cut = False

    def gotLength(self, length: int | None) -> None:
        """The headers are complete: prepare for the body, in memory."""
        self.content = BytesIO()
        self.is_too_big = length is not None and length > self.max_body_octets
        if self.is_too_big:
            self._refuse_expectation()

    def _refuse_expectation(self) -> None:
        """Do not ask for a body that is refused anyway (RFC 9110 §10.1.1)."""
        self.requestHeaders.removeHeader(b"Expect")

    def handleContentChunk(self, data: bytes) -> None:
        """Some octets of the body."""
        self._received_octets += len(data)
        self._pieces += 1
        if self._received_octets > self.max_body_octets:
            self.is_too_big = True
        small = self._pieces - self._received_octets // SMALL_PIECE_OCTETS
        if self._received_octets > MAX_DISCARDED_OCTETS or small > MAX_SMALL_PIECES:
            self._cut()
        elif not self.is_too_big:
            self.content.write(data)

    def _cut(self) -> None:
        """Hang up, once: what was received before that is still on its way to us."""
        if not self._is_cut:
            self._is_cut = True
            self.channel.forceAbortClient()

    def render(self, resrc: Any) -> None:
        """Dispatch with the path split but still encoded."""
        # server.Request.process decoded the segments; an encoded slash would be lost by now.
        self.postpath = self.path[1:].split(b"/")[len(self.prepath) :]
        self.setHeader(b"Server", b"fe-mail")
        super().render(resrc)

    def setHeader(self, name: bytes, value: bytes) -> None:
        """Set a header of the response."""
        super().setHeader(name, value)

    def cookie(self, name: str) -> str:
        """A cookie of the client; empty if there is none."""
        value = self.getCookie(name.encode("ascii"))
        return value.decode("ascii", "replace") if value else ""

    def keep(self, name: str, value: str, max_age_seconds: int, is_secure: bool) -> None:
        """A cookie that scripts cannot read and other sites cannot make the browser post."""
        self.addCookie(
            name,
            value,
            path="/",
            max_age=str(max_age_seconds),
            secure=is_secure,
            httpOnly=True,
            sameSite="lax",
        )

    def end(self, body: bytes) -> None:
        """Send the answer, unless the client left."""
        if not self._disconnected and not self.finished:
            self.write(body)
            self.finish()

    def body(self) -> bytes:
        """All of the body."""
        self.content.seek(0)
        return bytes(self.content.read())


def header(request: server.Request, name: bytes) -> str:
    """A header field as text; empty if absent."""
    value = request.requestHeaders.getRawHeaders(name)
    return value[0].decode("utf-8", "replace").strip() if value else ""


class Proxies:
    """
    The reverse proxies whose word about the client counts.

    Without any, the peer of the connection is the client and ``X-Forwarded-*`` is ignored.
    """

    def __init__(self, networks: Sequence[str] = ()) -> None:
        self._networks = tuple(ipaddress.ip_network(network) for network in networks)

    def _trusts(self, host: str) -> bool:
        address = parse_ip(host)
        return address is not None and any(address in network for network in self._networks)

    def remote(self, request: server.Request) -> str:
        """The client's address: the last one in X-Forwarded-For that is no proxy of ours."""
        host = str(getattr(request.getClientAddress(), "host", "") or "")
        if not self._trusts(host):
            return plain_address(host)
        chain = header(request, b"X-Forwarded-For")
        for hop in reversed([part.strip() for part in chain.split(",") if part.strip()]):
            host = hop
            if not self._trusts(hop):
                break
        address = parse_ip(host)
        return "" if address is None else str(address)

    def is_secure(self, request: server.Request) -> bool:
        """True when the client speaks TLS, to us or to a trusted proxy."""
        if request.isSecure():
            return True
        host = str(getattr(request.getClientAddress(), "host", "") or "")
        return self._trusts(host) and header(request, b"X-Forwarded-Proto").lower() == "https"
