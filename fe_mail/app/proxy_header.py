"""
The header of the PROXY protocol: who connected to the balancer in front of us.

Pure: octets in, a value out, or ``BadHeader``. What cannot be a peer of TCP (an address of no
single host, a number that is no port, one family inside the other's words) is refused: the balancer
is trusted to speak for others, so it had better be understood. ``UNKNOWN``, ``LOCAL``, UNIX sockets
and families that are not known speak for nobody; the balancer itself is the peer then.

PROXY protocol specification, versions 1 and 2 (haproxy, doc/proxy-protocol.txt §2.1, §2.2).
"""

import ipaddress
import re
import struct

import attrs
from twisted.internet.address import IPv4Address, IPv6Address

__all__ = ["BadHeader", "Ends", "header_end", "parse_header"]

MAX_V1_OCTETS = 107
MAX_V2_OCTETS = 16 + 4096

_V2_SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
_V2_LOCAL, _V2_PROXY = 0x20, 0x21
_V2_ADDRESSES = {0x11: struct.Struct("!4s4sHH"), 0x21: struct.Struct("!16s16sHH")}  # over TCP
_V1_LINE = re.compile(
    rb"PROXY (?:(UNKNOWN)(?: [^\r\n]*)?"
    rb"|TCP([46]) ([0-9A-Fa-f.:]+) ([0-9A-Fa-f.:]+) ([0-9]{1,5}) ([0-9]{1,5}))\r\n\Z"
)
_VERSIONS = {4: IPv4Address, 6: IPv6Address}

Address = IPv4Address | IPv6Address


class BadHeader(Exception):
    """This is no header, or says what cannot be."""


@attrs.frozen
class Ends:
    """The ends of the client's connection; None: that of the balancer is meant."""

    source: Address | None = None
    destination: Address | None = None


def header_end(received: bytes) -> int:
    """Where the header ends, 0 if more is needed. ``BadHeader``."""
    if _V2_SIGNATURE.startswith(received[:12]):
        if len(received) < 16:
            return 0
        end = 16 + int.from_bytes(received[14:16], "big")
        if end > MAX_V2_OCTETS:
            raise BadHeader
        return end if len(received) >= end else 0
    if not received.startswith(b"PROXY "[: len(received)]):
        raise BadHeader
    end = received.find(b"\r\n", 0, MAX_V1_OCTETS) + 2
    if end == 1 and len(received) >= MAX_V1_OCTETS:
        raise BadHeader
    return end if end > 1 else 0


def parse_header(header: bytes) -> Ends:
    """What a whole header says. ``BadHeader``."""
    return _parse_v2(header) if header.startswith(_V2_SIGNATURE) else _parse_v1(header)


def _parse_v1(line: bytes) -> Ends:
    match = _V1_LINE.match(line)
    if match is None:
        raise BadHeader
    if match[1]:
        return Ends()
    version = int(match[2])
    source, destination = match[3].decode("ascii"), match[4].decode("ascii")
    return _ends(version, source, destination, _port(match[5]), _port(match[6]))


def _port(digits: bytes) -> int:
    """§2.1: no needless zeros in front."""
    if digits != b"0" and digits.startswith(b"0"):
        raise BadHeader
    return int(digits)


def _parse_v2(header: bytes) -> Ends:
    command, family = header[12], header[13]
    if command == _V2_LOCAL:
        return Ends()
    if command != _V2_PROXY:
        raise BadHeader
    addresses = _V2_ADDRESSES.get(family)
    if addresses is None:
        return Ends()  # §2.2: UNSPEC, UNIX, datagrams: "use the real connection endpoints"
    if len(header) < 16 + addresses.size:
        raise BadHeader
    source, destination, source_port, destination_port = addresses.unpack_from(header, 16)
    version = 4 if len(source) == 4 else 6
    return _ends(version, source, destination, source_port, destination_port)


def _ends(
    version: int, source: str | bytes, destination: str | bytes, source_port: int, port: int
) -> Ends:
    make = _VERSIONS[version]
    if max(source_port, port) > 65535:
        raise BadHeader
    return Ends(
        make("TCP", _host(source, version, is_source=True), source_port),
        make("TCP", _host(destination, version), port),
    )


def _host(given: str | bytes, version: int, *, is_source: bool = False) -> str:
    """Nobody connects from the address of many, of none or of a whole network."""
    try:
        ip = ipaddress.ip_address(given)
    except ValueError:
        raise BadHeader from None
    bare = getattr(ip, "ipv4_mapped", None) or ip
    is_nobody = bare.is_multicast or bare.is_unspecified or str(bare) == "255.255.255.255"
    if ip.version != version or (is_source and is_nobody):
        raise BadHeader
    return str(ip)
