"""The reverse proxies in front of us, and what they say about the client. RFC 7239 §7.4, §8.1."""

# Twisted's own methods carry no types.
# mypy: disable-error-code="no-untyped-call"
import ipaddress
from collections.abc import Sequence

from twisted.internet.address import UNIXAddress
from twisted.web import server

from fe_mail.model.network import parse_ip, plain_address

__all__ = ["Proxies"]


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

    def _is_proxied(self, request: server.Request) -> bool:
        """Whoever may open a socket in the file system is as trusted as whoever may read it."""
        peer = request.getClientAddress()
        return isinstance(peer, UNIXAddress) or self._trusts(_host(request))

    def remote(self, request: server.Request) -> str:
        """The client's address: the last one in X-Forwarded-For that is no proxy of ours."""
        host = _host(request)
        if not self._is_proxied(request):
            return plain_address(host)
        for hop in reversed(_words(request, b"X-Forwarded-For")):
            host = _without_port(hop)
            if not self._trusts(host):
                break
        address = parse_ip(host)
        return "" if address is None else str(address)

    def scheme(self, request: server.Request) -> str:
        """
        What the client speaks: ``https`` or ``http``; empty if a trusted proxy does not say.

        A proxy that speaks TLS to us need not be one that is spoken TLS to.
        """
        is_proxied = self._is_proxied(request)
        said = _words(request, b"X-Forwarded-Proto") if is_proxied else []
        if said:
            return "https" if said[-1].lower() == "https" else "http"
        if request.isSecure():
            return "https"
        return "" if is_proxied else "http"

    def is_proxied(self, request: server.Request) -> bool:
        """Did a trusted proxy pass this on? Programs on its host may ask by themselves."""
        return self._is_proxied(request) and bool(_words(request, b"X-Forwarded-For"))

    def is_secure(self, request: server.Request) -> bool:
        """True when the client speaks TLS, to us or to a trusted proxy."""
        return self.scheme(request) == "https"


def _host(request: server.Request) -> str:
    return str(getattr(request.getClientAddress(), "host", "") or "")


def _words(request: server.Request, name: bytes) -> list[str]:
    """
    The members of a list, first what is farthest away. It may come in several fields (RFC 9110
    §5.3): HAProxy adds one of its own behind that of a client, which may say anything.
    """
    fields = request.requestHeaders.getRawHeaders(name) or ()
    text = b",".join(fields).decode("utf-8", "replace")
    return [word for part in text.split(",") if (word := part.strip())]


def _without_port(hop: str) -> str:
    """``[2001:db8::1]:4711`` and ``192.0.2.1:4711`` are what some proxies write."""
    if hop.startswith("["):
        return hop[1:].partition("]")[0]
    return hop.partition(":")[0] if hop.count(":") == 1 else hop
