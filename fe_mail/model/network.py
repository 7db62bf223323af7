"""
Addresses of peers, as sockets give them: with scopes, and IPv4 inside IPv6.

Two spellings of one address must be one peer, wherever it is compared, counted or logged: an
IPv4 client of an IPv6 socket is known by its IPv4 address (RFC 4291 §2.5.5.2), and a scope
(RFC 4007 §11) is no part of an address.
"""

import ipaddress

__all__ = ["IPAddress", "network_of", "parse_ip", "plain_address"]

IPV6_CUSTOMER_BITS = 64  # what one subscriber has (RFC 6177 §2)

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


def parse_ip(host: str) -> IPAddress | None:
    """The address without its scope, IPv4 as such; None if it is none."""
    try:
        ip = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    return getattr(ip, "ipv4_mapped", None) or ip


def plain_address(host: str) -> str:
    """The usual spelling of an address; what is none (the path of a socket) stays as it is."""
    ip = parse_ip(host)
    return host if ip is None else str(ip)


def network_of(host: str) -> str:
    """What a limit counts by: an IPv4 address, or the network that one IPv6 subscriber has."""
    ip = parse_ip(host)
    if isinstance(ip, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((ip, IPV6_CUSTOMER_BITS), strict=False))
    return host if ip is None else str(ip)
