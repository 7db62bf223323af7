"""Headers of the PROXY protocol: what they say, and what no balancer can mean."""

import contextlib
import ipaddress
import struct

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.trial.unittest import SynchronousTestCase

from fe_mail.app.proxy_header import BadHeader, Ends, header_end, parse_header

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
IPV4 = bytes([203, 0, 113, 9, 192, 0, 2, 2]) + struct.pack("!HH", 4711, 25)


def version_2(command: int, family: int, addresses: bytes, announced: int = -1) -> bytes:
    """A header of version 2; it may announce more or less than it has."""
    length = len(addresses) if announced < 0 else announced
    return SIGNATURE + bytes([command, family]) + length.to_bytes(2, "big") + addresses


def whole(header: bytes) -> Ends:
    """What a header says, if it is one to its end."""
    end = header_end(header)
    if end != len(header):
        raise BadHeader
    return parse_header(header)


class HeaderTests(SynchronousTestCase):
    """Both versions."""

    def test_peers(self) -> None:
        """IPv4 and IPv6; a port may be 0 (§2.1); what follows the addresses is not for us."""
        ipv4 = Ends(IPv4Address("TCP", "203.0.113.9", 4711), IPv4Address("TCP", "192.0.2.2", 25))
        ipv6 = Ends(IPv6Address("TCP", "2001:db8::9", 0), IPv6Address("TCP", "2001:db8::2", 25))
        packed = ipaddress.ip_address("2001:db8::9").packed
        packed += ipaddress.ip_address("2001:db8::2").packed + struct.pack("!HH", 0, 25)
        for header, ends in (
            (b"PROXY TCP4 203.0.113.9 192.0.2.2 4711 25\r\n", ipv4),
            (b"PROXY TCP6 2001:DB8:0::9 2001:db8::2 0 25\r\n", ipv6),
            (version_2(0x21, 0x11, IPV4), ipv4),
            (version_2(0x21, 0x11, IPV4 + b"\x04\x00\x01x"), ipv4),
            (version_2(0x21, 0x21, packed), ipv6),
        ):
            with self.subTest(header=header):
                self.assertEqual(whole(header), ends)

    def test_nobody(self) -> None:
        """Health checks and families that we do not know speak for the balancer itself."""
        for header in (
            b"PROXY UNKNOWN\r\n",
            b"PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n",
            b"PROXY UNKNOWN whatever it says\r\n",
            version_2(0x20, 0x00, b""),
            version_2(0x20, 0x11, IPV4),
            version_2(0x21, 0x00, b""),
            version_2(0x21, 0x31, bytes(216)),
            version_2(0x21, 0x12, IPV4),
        ):
            with self.subTest(header=header):
                self.assertEqual(whole(header), Ends())

    def test_impossible(self) -> None:
        """Addresses of nobody, ports that are none, words of one family for the other."""
        for words in (
            "TCP4 999.0.2.1 192.0.2.2 1 25",
            "TCP4 203.0.113 192.0.2.2 1 25",
            "TCP4 203.0.113.009 192.0.2.2 1 25",
            "TCP4 0.0.0.0 192.0.2.2 1 25",
            "TCP4 255.255.255.255 192.0.2.2 1 25",
            "TCP4 224.0.0.1 192.0.2.2 1 25",
            "TCP4 2001:db8::1 192.0.2.2 1 25",
            "TCP4 203.0.113.9 2001:db8::1 1 25",
            "TCP6 203.0.113.9 192.0.2.2 1 25",
            "TCP6 :: 2001:db8::2 1 25",
            "TCP6 ff02::1 2001:db8::2 1 25",
            "TCP6 ::ffff:0.0.0.0 2001:db8::2 1 25",
            "TCP6 fe80::1%eth0 2001:db8::2 1 25",
            "TCP4 203.0.113.9 192.0.2.2 65536 25",
            "TCP4 203.0.113.9 192.0.2.2 99999 25",
            "TCP4 203.0.113.9 192.0.2.2 4711 -1",
            "TCP4 203.0.113.9 192.0.2.2 04711 25",
            "TCP4 203.0.113.9 192.0.2.2 x 25",
            "TCP4 203.0.113.9 192.0.2.2 4711",
            "TCP4 203.0.113.9 192.0.2.2 4711 25 25",
            "TCP4  203.0.113.9 192.0.2.2 4711 25",
            "TCP5 203.0.113.9 192.0.2.2 4711 25",
            "UNKNOWNS",
            "",
        ):
            with self.subTest(words=words):
                self.assertRaises(BadHeader, whole, f"PROXY {words}\r\n".encode())
        for header in (
            version_2(0x11, 0x11, IPV4),  # version 1 of version 2
            version_2(0x22, 0x11, IPV4),  # no such command
            version_2(0x21, 0x11, IPV4[:-1]),
            version_2(0x21, 0x21, IPV4),
            version_2(0x21, 0x11, bytes(4) + IPV4[4:]),
            version_2(0x21, 0x11, b"", 5000),
        ):
            with self.subTest(header=header):
                self.assertRaises(BadHeader, whole, header)

    @given(
        st.binary(max_size=60)
        | st.binary(max_size=60).map(lambda rest: SIGNATURE + rest)
        | st.text(alphabet="PROXYTCPUNKW46 .:0129\r\n", max_size=60).map(
            lambda text: b"PROXY " + text.encode()
        )
    )
    @settings(max_examples=300, deadline=None)
    def test_anything(self, octets: bytes) -> None:
        """Ends, or no header."""
        with contextlib.suppress(BadHeader):
            end = header_end(octets)
            if end:
                parse_header(octets[:end])
