"""The reverse proxies in front of us, and what they say about the client. RFC 7239 §7.4."""

# Twisted's own methods carry no types.
# mypy: disable-error-code="no-untyped-call"
import ipaddress
from collections.abc import Sequence

from twisted.web import server

from fe_mail.http.request import header
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
