"""Tests of fe_mail.model.network: one peer has one spelling."""

from twisted.trial.unittest import SynchronousTestCase

from fe_mail.model.network import network_of, parse_ip, plain_address


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
