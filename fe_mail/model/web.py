"""
A web request of ours, where it may go, and what came back. RFC 9110.

The body is a sequence of pieces, because it can be big: no call ever has to copy all of it.
"""

import ipaddress
from collections.abc import Collection, Mapping, Sequence

import attrs

from fe_mail.model.network import is_public, parse_ip, reached_ip

__all__ = ["Posting", "Reach", "WebAnswer"]

WEB_PORTS = (80, 443, 8080, 8443)


@attrs.frozen(kw_only=True)
class Posting:
    """A POST to ``url`` (http or https). ``headers`` are those beyond Host and Content-Length."""

    url: str = attrs.field(repr=False)
    headers: Mapping[str, str] = attrs.field(factory=dict)
    body: Sequence[bytes] = attrs.field(default=(), repr=False)

    @property
    def size_octets(self) -> int:
        """Of the body."""
        return sum(map(len, self.body))


@attrs.frozen(kw_only=True)
class WebAnswer:
    """The status code, and the start of the body, as it came."""

    status: int
    body: bytes = attrs.field(default=b"", repr=False)
    ip: str = ""  # who said so

    @property
    def is_success(self) -> bool:
        """2xx (RFC 9110 §15.3)."""
        return 200 <= self.status < 300


@attrs.frozen(kw_only=True)
class Reach:
    """
    Where URLs that users choose may lead: to public addresses that are not this server's, on
    ``ports``; and to ``networks`` whatever they are, on any port. ``own_hosts`` are names that lead
    to this server.
    """

    ports: Collection[int] = WEB_PORTS
    own_addresses: Collection[str] = ()
    own_hosts: Collection[str] = ()
    networks: Collection[str] = ()

    def is_excepted(self, ip: str) -> bool:
        """Nothing else is asked about this address."""
        address = parse_ip(ip)
        return any(address in network for network in map(ipaddress.ip_network, self.networks))

    def is_own(self, ip: str, *more: str) -> bool:
        """Is this one of ``own_addresses``, or of ``more``?"""
        return reached_ip(ip) in {reached_ip(own) for own in (*self.own_addresses, *more)}

    def allows(self, ip: str) -> bool:
        """As far as can be told without asking the DNS for ``own_hosts``."""
        return self.is_excepted(ip) or (is_public(ip) and not self.is_own(ip))
