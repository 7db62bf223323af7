"""
Addresses of peers, as sockets give them: with scopes, and IPv4 inside IPv6.

Two spellings of one address must be one peer, wherever it is compared, counted or logged: an
IPv4 client of an IPv6 socket is known by its IPv4 address (RFC 4291 §2.5.5.2), and a scope
(RFC 4007 §11) is no part of an address. ``is_public`` says which addresses mail and web requests
may be sent to on a stranger's word: none of this host's, of its network's or of a cloud's metadata
service (RFC 6890, RFC 6598).
"""

import ipaddress

__all__ = ["IPAddress", "is_public", "network_of", "parse_ip", "plain_address", "reached_ip"]

IPV6_CUSTOMER_BITS = 64  # what one subscriber has (RFC 6177 §2)

# Where the IPv6 Internet is; everything else is local, special or not given out (RFC 4291 §2.4).
_IPV6_INTERNET = ipaddress.IPv6Network("2000::/3")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052
# Special ones that Python's tables of some releases take for global.
_SPECIAL = (
    ipaddress.IPv4Network("192.0.0.0/24"),  # RFC 6890
    ipaddress.IPv4Network("192.88.99.0/24"),  # RFC 7526
    ipaddress.IPv4Network("168.63.129.16"),  # metadata of a cloud, on an address of the Internet
    ipaddress.IPv4Network("240.0.0.0/4"),  # RFC 1112 §4
    ipaddress.IPv6Network("2001::/23"),  # RFC 2928, Teredo among them
    ipaddress.IPv6Network("3fff::/20"),  # RFC 9637
)

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


def is_public(ip: str) -> bool:
    """True for an address of the public Internet; also looks into IPv4-mapped and NAT64 ones."""
    try:
        address = ipaddress.ip_address(ip)
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or _nat64(address)
        if inner is not None and not is_public(str(inner)):
            return False
        if address.ipv4_mapped is not None or address in _NAT64:
            return True
        if address not in _IPV6_INTERNET:
            return False
    is_special = any(address in network for network in _SPECIAL)
    return address.is_global and not address.is_multicast and not is_special


def reached_ip(host: str) -> IPAddress | None:
    """Where a connection to this address ends: IPv4 also behind NAT64 and 6to4."""
    ip = parse_ip(host)
    if isinstance(ip, ipaddress.IPv6Address):
        return ip.sixtofour or _nat64(ip) or ip
    return ip


def _nat64(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF) if address in _NAT64 else None
