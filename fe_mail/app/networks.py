"""
Networks that an operator trusts, and how much of the world that is.

One network has many spellings: IPv4 inside IPv6, two halves for the whole, hundreds of parts. They
are compared after they were put together, so that no spelling trusts everybody by accident.
RFC 4291 §2.5.5.2 (IPv4-mapped), RFC 6052 §2.1 (NAT64), RFC 3056 (6to4), RFC 4193 (private IPv6).
"""

import ipaddress
from collections.abc import Iterable

__all__ = ["Network", "collapsed", "is_too_wide", "trusted_network"]

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

WIDEST_IPV4_BITS = 8  # 10.0.0.0/8
WIDEST_IPV6_BITS = 16  # of the public ones; nobody is given more

_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")
# Where IPv4 addresses are found inside IPv6 ones, behind so many bits.
_EMBEDDING = (_MAPPED, ipaddress.IPv6Network("64:ff9b::/96"), ipaddress.IPv6Network("2002::/16"))
_LOCAL = (ipaddress.IPv6Network("fc00::/7"), ipaddress.IPv6Network("fe80::/10"))


def trusted_network(text: str) -> Network:
    """
    The network, as addresses of peers are compared with it; IPv4 inside IPv6 is IPv4.

    Raises ValueError.
    """
    network = ipaddress.ip_network(text, strict=False)
    if isinstance(network, ipaddress.IPv6Network) and network.subnet_of(_MAPPED):
        return _inner(network, _MAPPED)
    return network


def _inner(network: ipaddress.IPv6Network, prefix: ipaddress.IPv6Network) -> Network:
    bits = min(network.prefixlen - prefix.prefixlen, 32)
    number = int(network.network_address) >> (128 - prefix.prefixlen - 32) & 0xFFFFFFFF
    return ipaddress.IPv4Network((number, bits), strict=False)


def collapsed(networks: Iterable[Network]) -> tuple[Network, ...]:
    """The same addresses in as few networks as possible."""
    ipv4 = [each for each in networks if isinstance(each, ipaddress.IPv4Network)]
    ipv6 = [each for each in networks if isinstance(each, ipaddress.IPv6Network)]
    return (*ipaddress.collapse_addresses(ipv4), *ipaddress.collapse_addresses(ipv6))


def is_too_wide(network: Network) -> bool:
    """More than anybody's own network."""
    if isinstance(network, ipaddress.IPv4Network):
        return network.prefixlen < WIDEST_IPV4_BITS
    for prefix in _EMBEDDING:
        if network.subnet_of(prefix):
            return is_too_wide(_inner(network, prefix))
    is_local = any(network.subnet_of(local) for local in _LOCAL)
    return network.prefixlen < WIDEST_IPV6_BITS and not is_local
