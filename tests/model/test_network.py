"""Tests of fe_mail.model.network: one peer has one spelling."""

from twisted.trial.unittest import SynchronousTestCase

from fe_mail.model.network import is_public, network_of, parse_ip, plain_address, reached_ip


class NetworkTests(SynchronousTestCase):
    """What sockets call their peers."""

    def test_plain_addresses(self) -> None:
        """No scope, no IPv4 in IPv6; what is no address stays."""
        for host, plain in (
            ("192.0.2.1", "192.0.2.1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("fe80::1%eth0", "fe80::1"),
            ("2001:DB8:0::1", "2001:db8::1"),
            ("/run/socket", "/run/socket"),
            ("", ""),
        ):
            self.assertEqual(plain_address(host), plain)

    def test_networks(self) -> None:
        """A limit counts an IPv6 subscriber once, and an IPv4 one however it comes."""
        self.assertEqual(network_of("2001:db8::1"), "2001:db8::/64")
        self.assertEqual(network_of("2001:db8::ffff:2%eth0"), "2001:db8::/64")
        self.assertNotEqual(network_of("2001:db8::1"), network_of("2001:db8:0:1::1"))
        self.assertEqual(network_of("::ffff:192.0.2.1"), network_of("192.0.2.1"))
        for host in ("", "/run/socket"):
            self.assertEqual(network_of(host), host)

    def test_no_address(self) -> None:
        """Nonsense is none, without an error."""
        for host in ("", "host.example", "1.2.3", "%eth0", "::ffff:"):
            self.assertIsNone(parse_ip(host))

    def test_reached(self) -> None:
        """Where translators lead."""
        for host in ("192.0.2.1", "::ffff:192.0.2.1", "64:ff9b::c000:201", "2002:c000:201::9"):
            self.assertEqual(str(reached_ip(host)), "192.0.2.1")
        self.assertEqual(str(reached_ip("2001:db8::1")), "2001:db8::1")
        self.assertIsNone(reached_ip("host.example"))

    def test_public(self) -> None:
        """Only the Internet: not what is ours, reserved, or one of those inside another address."""
        for ip in (
            *("127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.0.1", "169.254.169.254", "0.0.0.0"),
            *("100.64.0.1", "192.0.0.8", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255"),
            *("::", "::1", "::7f00:1", "fe80::1", "fec0::1", "fc00::1", "ff02::1", "2001:db8::1"),
            *("::ffff:10.0.0.1", "64:ff9b::a00:1", "64:ff9b:1::1", "2002:a00:1::", "3fff::1"),
            *("168.63.129.16", "100.100.100.200", "192.0.0.192", "fd00:ec2::254"),
            *("2001::1", "5f00::1", "100::1", "fe80::1%eth0", "localhost", "", "1.2.3"),
        ):
            self.assertFalse(is_public(ip), ip)
        for ip in ("198.41.0.4", "2001:500:2::c", "::ffff:198.41.0.4", "64:ff9b::c629:4"):
            self.assertTrue(is_public(ip), ip)
