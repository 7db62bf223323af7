"""Tests of fe_mail.accounts.zone_file: another program reads what we write."""

from collections.abc import Sequence

import dns.rdatatype
import dns.zone
from twisted.trial.unittest import SynchronousTestCase

from fe_mail.accounts.dns_records import domain_records, in_zone, server_records
from fe_mail.accounts.site import ServerHost, Site
from fe_mail.accounts.zone_file import zone_file
from fe_mail.model.account import Domain
from fe_mail.model.ids import DomainId
from fe_mail.model.vantage import OwnAddresses

KEY = "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA" * 9
SITE = Site(
    hostname="mx.example.org",
    exchange_domains=("mx.example.org", "mx2.example.org"),
    web_host="example.org",
    hosts=(ServerHost("example.org", ("web",)), ServerHost("imap.example.org", ("imap",))),
)


class ZoneFileTests(SynchronousTestCase):
    """Of the server's own domain and of another one."""

    def zone(self, name: str, own: OwnAddresses) -> str:
        """The file of a domain."""
        domain = Domain(
            id=DomainId("d" * 24), name=name, dkim_selector="fe-1", dkim_public_key=KEY,
            verification_record='a"b\\c',
        )  # fmt: skip
        server = [in_zone(record, domain) for record in server_records(SITE, own)]
        return zone_file(domain, domain_records(domain, SITE), server)

    def read(self, text: str, name: str, kind: str) -> Sequence[str]:
        """The records of a name, as the library understands them."""
        zone = dns.zone.from_text(text, check_origin=False, relativize=False)
        found = zone.find_rdataset(f"{name}.", dns.rdatatype.from_text(kind))
        return sorted(str(each) for each in found)

    def test_own_domain(self) -> None:
        """Mail, addresses of every host, one TXT in many strings."""
        text = self.zone("example.org", OwnAddresses(known=("192.0.2.25", "2001:db8::25")))
        mx = ["10 mx.example.org.", "10 mx2.example.org."]
        self.assertEqual(self.read(text, "example.org", "MX"), mx)
        for host in ("example.org", "mx.example.org", "mx2.example.org", "imap.example.org"):
            self.assertEqual(self.read(text, host, "A"), ["192.0.2.25"])
            self.assertEqual(self.read(text, host, "AAAA"), ["2001:db8::25"])
        (key,) = self.read(text, "fe-1._domainkey.example.org", "TXT")
        self.assertEqual(key.replace('" "', ""), f'"v=DKIM1; k=rsa; p={KEY};"')
        self.assertEqual(self.read(text, "mx.example.org", "TXT"), ['"v=spf1 a -all"'])
        self.assertEqual(self.read(text, "fe-bounces.example.org", "CNAME"), ["example.org."])
        mark = '"forward-email-site-verification=a\\"b\\\\c"'
        self.assertIn(mark, self.read(text, "example.org", "TXT"))
        self.assertIn("; 25.2.0.192.in-addr.arpa. IN PTR mx.example.org", text)

    def test_other_domain(self) -> None:
        """The server's records are comments there."""
        text = self.zone("example.net", OwnAddresses(known=("192.0.2.25",)))
        lines = [line for line in text.splitlines() if line and not line.startswith((";", "$"))]
        self.assertEqual(len(lines), 7)
        self.assertIn("; mx.example.org. IN A 192.0.2.25", text)
        self.assertEqual(self.read(text, "_dmarc.example.net", "TXT"),
                         ['"v=DMARC1; p=none; rua=mailto:postmaster@example.net"'])  # fmt: skip

    def test_unknown_addresses(self) -> None:
        """No address is invented."""
        text = self.zone("example.org", OwnAddresses())
        self.assertIn("; mx IN A (the address of this server)", text)
        self.assertEqual(self.read(text, "mx.example.org", "TXT"), ['"v=spf1 a -all"'])
