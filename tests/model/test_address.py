"""Addresses: what may stand in brackets instead of a domain name (RFC 5321 §4.1.3)."""

from twisted.trial.unittest import SynchronousTestCase

from fe_mail.model.address import normalize_domain, parse_address
from fe_mail.model.errors import Invalid


class LiteralTests(SynchronousTestCase):
    """A literal is an address and nothing else."""

    def test_canonical(self) -> None:
        """One spelling of each address."""
        self.assertEqual(normalize_domain("[ipv6:2001:DB8:0::1]"), "[IPv6:2001:db8::1]")
        self.assertEqual(normalize_domain("[192.0.2.1]"), "[192.0.2.1]")

    def test_no_scope(self) -> None:
        """A scope (RFC 4007 §11) may hold any characters, such as the end of a path."""
        for literal in ("[IPv6:fe80::1%eth0]", "[IPv6:2001:db8::1%x> NOTIFY=NEVER]"):
            with self.assertRaises(Invalid):
                normalize_domain(literal)
            with self.assertRaises(Invalid):
                parse_address(f"anna@{literal}")


class QuotedTests(SynchronousTestCase):
    """Quotes that change nothing change nothing (RFC 5321 §4.1.2)."""

    def test_needless(self) -> None:
        """One mailbox, however it is spelled."""
        for spelling in ('"John.Doe"', '"John\\.Doe"', '"\\J\\o\\h\\n.Doe"', "John.Doe"):
            address = parse_address(f"{spelling}@example.org")
            self.assertEqual(str(address), "John.Doe@example.org")
            self.assertEqual(address.key, "john.doe@example.org")

    def test_needed(self) -> None:
        """What cannot stand without them keeps them, in one spelling."""
        for spelling in ('"a b"', '"a\\ b"', '"\\a\\ \\b"'):
            self.assertEqual(str(parse_address(f"{spelling}@example.org")), '"a b"@example.org')
        for spelling in ('"a@b"', '"a..b"', '".a"', '"a\\"b"', '"a\\\\b"'):
            address = parse_address(f"{spelling}@example.org")
            self.assertEqual(str(address), f"{spelling}@example.org")
            self.assertEqual(parse_address(str(address)), address)

    def test_tag(self) -> None:
        """A tag within quotes is one; of a name that needs them none is cut."""
        address = parse_address('"alice+news"@example.org')
        self.assertEqual((address.base, address.tag), ("alice", "news"))
        address = parse_address('"alice+the news"@example.org')
        self.assertEqual((address.base, address.tag), ('"alice+the news"', ""))
