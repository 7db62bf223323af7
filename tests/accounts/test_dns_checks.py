"""
Tests of the checks of the DNS: each record broken in each way that we know of, and what is said.

Several kinds come from public reports about other servers' checks: mail goes elsewhere and all is
green (modoboa#1143), two keys at one selector (forwardemail.net#394), a name with the domain twice
(postal#677), a flattened CNAME (postal#1358), an IPv6 address spelled otherwise (mailcow#2527),
priorities compared as text (mailinabox#329), servers behind NAT (mox#17, mox#59).
"""

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from fe_mail.accounts.dns_checks import CHECK_SECONDS, DNSChecks
from fe_mail.accounts.dns_findings import RecordCheck, Verdict
from fe_mail.accounts.dns_records import domain_records, full_name
from fe_mail.accounts.site import ServerHost, Site
from fe_mail.adapters.memory.resolver import TableResolver
from fe_mail.adapters.memory.vantage import TableVantage
from fe_mail.model.account import Domain
from fe_mail.model.ids import DomainId
from fe_mail.model.vantage import OwnAddresses

RIGHT, DOUBTFUL, MISSING = Verdict.RIGHT, Verdict.DOUBTFUL, Verdict.MISSING
WRONG, UNKNOWN, SILENT = Verdict.WRONG, Verdict.UNKNOWN, Verdict.SILENT
# Public ones: what is not, nobody in the Internet gets to.
FOUR, SIX = "5.9.0.25", "2a00:1450::25"
THEIR_FOUR, THEIR_SIX = "5.9.1.99", "2a00:1450::99"
MX_HOST = "mx.host.test"
KEY = "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA" * 3
DOMAIN = Domain(
    id=DomainId("d" * 24),
    name="example.org",
    verification_record="abc1234567",
    dkim_selector="fe-1",
    dkim_public_key=KEY,
)
SITE = Site(
    hostname=MX_HOST,
    exchange_domains=(MX_HOST,),
    web_host="host.test",
    hosts=(
        ServerHost("imap.host.test", ("imap",)),
        ServerHost("host.test", ("web",)),
    ),
)


class ChecksCase(SynchronousTestCase):
    """A domain whose records are all right, on a server whose records are too."""

    is_late = False

    def setUp(self) -> None:
        """Publish everything."""
        self.clock = Clock()
        self.domain = DOMAIN
        self.site = SITE
        self.vantage = TableVantage(OwnAddresses(known=(FOUR, SIX)))
        self.vantage.greetings = dict.fromkeys((FOUR, SIX), f"220 {MX_HOST} ESMTP fe-mail")
        self.resolver = TableResolver()
        self.table = self.resolver.table
        for host in (MX_HOST, "imap.host.test", "host.test"):
            self.table[host, "A"], self.table[host, "AAAA"] = (FOUR,), (SIX,)
        self.table[MX_HOST, "TXT"] = ("v=spf1 a -all",)
        self.table[FOUR, "PTR"] = self.table[SIX, "PTR"] = (f"{MX_HOST}.",)
        for record in domain_records(DOMAIN, SITE):
            key = (full_name(record, DOMAIN), record.type)
            value = f"10 {record.value}." if record.type == "MX" else record.value
            self.table[key] = (*self.table.get(key, ()), value)

    def results(self) -> list[RecordCheck]:
        """All of them, the domain's and the server's."""
        checks = DNSChecks(
            resolver=self.resolver, vantage=self.vantage, clock=self.clock, site=self.site
        )
        self.resolver.is_late = self.vantage.is_late = self.is_late
        found: list[RecordCheck] = []
        for ask in (checks.of_domain(self.domain), checks.of_server()):
            work = Deferred.fromCoroutine(ask)
            while self.resolver.waiting or self.vantage.waiting:
                (self.resolver if self.resolver.waiting else self.vantage).answer_next()
            found.extend(self.successResultOf(work))
        return found

    def found(self, purpose: str, name: str = "") -> RecordCheck:
        """The one of a purpose."""
        (result,) = [
            result
            for result in self.results()
            if result.purpose == purpose and name in result.record.name
        ]
        return result

    def verdict(self, purpose: str, name: str = "") -> Verdict:
        """Its verdict."""
        return self.found(purpose, name).verdict

    def tried(
        self, purpose: str, key: tuple[str, str], *cases: tuple[tuple[str, ...], Verdict, str]
    ) -> None:
        """Each case: the records instead, the verdict, and words that are said."""
        for records, verdict, words in cases:
            self.table[key] = records
            result = self.found(purpose)
            self.assertEqual((result.verdict, records), (verdict, records), result.message)
            self.assertIn(words, result.message)
            self.assertNotIn("%(", result.message)

    def move(self, host: str, *addresses: str) -> None:
        """Give a host other addresses."""
        self.table[host, "A"] = tuple(each for each in addresses if ":" not in each)
        self.table[host, "AAAA"] = tuple(each for each in addresses if ":" in each)


class AllRightTests(ChecksCase):
    """Nothing is to be done."""

    def test_all_right(self) -> None:
        """Everything as shown is right, and nothing is only probably so."""
        for result in self.results():
            self.assertIs(result.verdict, RIGHT, result.message)

    def test_nothing_known(self) -> None:
        """With exactly the same records and no known address, what depends on it cannot be told."""
        self.vantage.own = OwnAddresses()
        told = {result.purpose: result.verdict for result in self.results()}
        for purpose in ("mx", "host", "reach", "spf", "helo", "ptr"):
            self.assertIs(told[purpose], UNKNOWN, purpose)
        self.assertIn("SERVER_ADDRESSES", self.found("mx").message)

    def test_hidden_family(self) -> None:
        """IPv4 behind NAT and a public IPv6 address: IPv4 is not foreign for that."""
        self.vantage.own = OwnAddresses(known=(SIX,), hidden=(4,))
        for purpose, name in (("mx", ""), ("host", MX_HOST), ("spf", ""), ("helo", "")):
            self.assertIs(self.verdict(purpose, name), UNKNOWN, purpose)
        self.table["example.org", "TXT"] = ("v=spf1 ip4:5.9.0.0/24 -all",)
        self.assertIs(self.verdict("spf"), WRONG)

    def test_own_list_of_names(self) -> None:
        """A stub resolver answers for its own host (systemd#22809): that is not the DNS."""
        self.resolver.ttl = 0
        for addresses, purposes in (
            ((FOUR, SIX), ("mx", "host", "spf", "helo", "ptr")),
            (("127.0.1.1",), ("mx", "host", "ptr")),
        ):
            self.move(MX_HOST, *addresses)
            told = {result.purpose: result for result in self.results()}
            for purpose in purposes:
                self.assertIs(told[purpose].verdict, UNKNOWN, purpose)
            for purpose in ("mx", "ptr"):
                self.assertIn("DNS_SERVERS", told[purpose].message)

    def test_silence(self) -> None:
        """A server that does not answer says nothing about any record."""
        names = {name for name, _ in self.table} | {"_dmarc.example.org"}
        self.resolver.failing = names  # type: ignore[assignment]  # strings are enough
        for result in self.results():
            self.assertIs(result.verdict, SILENT, result.message)
            self.assertTrue(result.is_undecided and not result.passed)


class LateTests(AllRightTests):
    """The same with answers that take their time."""

    is_late = True


class DeadlineTests(ChecksCase):
    """Answers that never come."""

    def test_deadline(self) -> None:
        """All checks run at once, and end at the deadline of one."""
        self.resolver.is_late = True
        checks = DNSChecks(
            resolver=self.resolver, vantage=self.vantage, clock=self.clock, site=self.site
        )
        work = Deferred.fromCoroutine(checks.of_domain(DOMAIN))
        self.clock.advance(CHECK_SECONDS)
        self.assertEqual({result.verdict for result in self.successResultOf(work)}, {SILENT})
        self.assertEqual((self.resolver.waiting, self.clock.getDelayedCalls()), ([], []))


class MXTests(ChecksCase):
    """Where mail goes."""

    def test_hosts_without_address(self) -> None:
        """The record is as shown, and leads nowhere."""
        self.move(MX_HOST)
        self.assertIs(self.verdict("mx"), MISSING)
        self.assertIs(self.verdict("host", MX_HOST), MISSING)
        self.assertIn("no address", self.found("mx").message)

    def test_foreign_address(self) -> None:
        """The right name at somebody else's address; also one of two, or a private one."""
        for addresses in (
            (THEIR_FOUR,), (FOUR, THEIR_FOUR), (FOUR, THEIR_SIX), ("10.0.0.1",),
            ("198.18.0.7",), ("127.0.0.1",), ("fd00::1",),
        ):  # fmt: skip
            self.move(MX_HOST, *addresses)
            for purpose in ("mx", "host"):
                result = self.found(purpose, MX_HOST if purpose == "host" else "")
                self.assertIs(result.verdict, WRONG, addresses)
                self.assertIn(addresses[-1], result.message)
                is_inner = addresses[-1] not in (THEIR_FOUR, THEIR_SIX)
                self.assertEqual("DNS_SERVERS" in result.message, is_inner)

    def test_private_address_of_unknown(self) -> None:
        """Nobody in the Internet gets to a private address, whatever ours is."""
        self.vantage.own = OwnAddresses(hidden=(4, 6))
        self.move(MX_HOST, "192.168.1.2")
        self.assertIs(self.verdict("mx"), WRONG)
        self.vantage.own = OwnAddresses(known=("192.168.1.2",))  # unless somebody says so
        self.assertIs(self.verdict("mx"), RIGHT)

    def test_one_family_is_enough(self) -> None:
        """A server need not publish all that it has, nor spell it as we do."""
        for address in (FOUR, SIX, "2A00:1450:0:0:0:0:0:25"):
            self.move(MX_HOST, address)
            self.assertIs(self.verdict("mx"), RIGHT)

    def test_alias(self) -> None:
        """An MX must not lead to a CNAME (RFC 2181 §10.3)."""
        for key in ((MX_HOST, "A"), (MX_HOST, "AAAA"), (MX_HOST, "TXT")):
            del self.table[key]
        self.table[MX_HOST, "CNAME"] = ("host.test.",)
        self.assertIs(self.verdict("mx"), WRONG)
        self.assertIn("alias (CNAME) of host.test", self.found("mx").message)
        self.assertIs(self.verdict("host", MX_HOST), WRONG)

    def test_records(self) -> None:
        """Priorities, other hosts, other names of ours, null MX."""
        self.move("vanity.example.org", FOUR)
        self.move("mx.other.test", THEIR_FOUR)
        self.tried(
            "mx", ("example.org", "MX"),
            (("99 MX.host.test.",), RIGHT, "comes to mx.host.test"),
            (("10 vanity.example.org.",), RIGHT, "comes to vanity.example.org"),
            (("10 mx.host.test.", "10 vanity.example.org."), RIGHT, "vanity"),
            (("10 mx.other.test.",), WRONG, "lead to mx.other.test"),
            (("5 mx.other.test.", "10 mx.host.test."), WRONG, "first"),
            (("10 mx.other.test.", "10 mx.host.test."), WRONG, "first"),
            (("10 mx.host.test.", "20 mx.other.test."), WRONG, "Besides"),
            (("10 nowhere.test.",), WRONG, "lead to nowhere.test"),
            (("10 mx.host.test.", "20 nowhere.test."), WRONG, "Besides"),
            (("0 .",), WRONG, "takes no mail"),
            (("0 .", "10 mx.host.test."), WRONG, "goes to . first"),
            (("10 mx.host.test.example.org.",), WRONG, "mx.host.test.example.org"),
        )  # fmt: skip

    def test_other_names_of_unknown(self) -> None:
        """Where our address is unknown, what leads away from our own MX host is foreign."""
        self.vantage.own = OwnAddresses(hidden=(4,))
        for host in (MX_HOST, "vanity.test"):
            self.move(host, THEIR_FOUR)
        self.move("mx.other.test", "5.9.2.99")
        self.tried(
            "mx", ("example.org", "MX"),
            (("10 mx.host.test.",), UNKNOWN, "SERVER_ADDRESSES"),
            (("10 vanity.test.",), UNKNOWN, "SERVER_ADDRESSES"),
            (("10 mx.other.test.",), WRONG, "lead to mx.other.test"),
        )  # fmt: skip

    def test_implicit(self) -> None:
        """Without MX records mail goes to the domain's own address."""
        del self.table["example.org", "MX"]
        self.assertIs(self.verdict("mx"), MISSING)
        self.move("example.org", THEIR_FOUR)
        self.assertIs(self.verdict("mx"), MISSING)
        self.move("example.org", FOUR)
        self.assertIs(self.verdict("mx"), DOUBTFUL)

    def test_switched_off(self) -> None:
        """By the owner's will; that is not green either."""
        self.domain = attrs.evolve(DOMAIN, ignore_mx_check=True)
        self.table["example.org", "MX"] = ("10 gateway.test.",)
        self.assertIs(self.verdict("mx"), DOUBTFUL)


class ReachTests(ChecksCase):
    """Who answers at port 25."""

    def test_greetings(self) -> None:
        """Ours, somebody else's, one that is busy."""
        for line, verdict in (
            ("220 MX.host.test ESMTP", RIGHT), ("220-mx.host.test ESMTP", RIGHT),
            ("220 mx.host.test", RIGHT), ("220 mail.other.test ESMTP Postfix", WRONG),
            ("220 mx.host.test.evil ESMTP", WRONG), ("", WRONG), ("SSH-2.0-OpenSSH", WRONG),
            ("421 4.7.0 Too many connections", UNKNOWN), ("554 5.7.1 No", UNKNOWN),
        ):  # fmt: skip
            self.vantage.greetings = {FOUR: line, SIX: line}
            self.assertIs(self.verdict("reach"), verdict, line)

    def test_several_servers(self) -> None:
        """Each of those that take mail for the same domains greets with its own name."""
        self.site = attrs.evolve(SITE, exchange_domains=(MX_HOST, "mx2.host.test"))
        self.move("mx2.host.test", THEIR_FOUR)
        self.vantage.own = OwnAddresses(known=(FOUR, SIX, THEIR_FOUR))
        self.vantage.greetings[THEIR_FOUR] = "220 mx2.host.test ESMTP"
        self.assertIs(self.verdict("reach", "mx2"), RIGHT)
        self.table["example.org", "MX"] = ("10 mx.host.test.", "10 mx2.host.test.")
        self.assertIs(self.verdict("mx"), RIGHT)

    def test_nobody(self) -> None:
        """Behind a router one's own address often does not answer: that proves nothing."""
        for greetings in ({}, {FOUR: f"220 {MX_HOST} ESMTP"}):
            self.vantage.greetings = greetings
            self.assertIs(self.verdict("reach"), UNKNOWN)

    def test_unknown(self) -> None:
        """Our name at an address that nobody knows for ours may be an old server's."""
        self.vantage.own = OwnAddresses(hidden=(4,))
        self.move(MX_HOST, THEIR_FOUR)
        self.vantage.greetings = {THEIR_FOUR: f"220 {MX_HOST} ESMTP"}
        self.assertIs(self.verdict("reach"), UNKNOWN)
        self.vantage.greetings = {THEIR_FOUR: "220 other.test ESMTP"}
        self.assertIs(self.verdict("reach"), WRONG)

    def test_strangers_are_left_alone(self) -> None:
        """Nobody connects to an address that is not ours."""
        self.move(MX_HOST, THEIR_FOUR, "10.0.0.1")
        self.assertIs(self.verdict("reach"), UNKNOWN)
        self.assertEqual(self.vantage.asked, [])


class HostTests(ChecksCase):
    """Names that people and their programs connect to."""

    def test_broken(self) -> None:
        """Mail hosts must be here; a web site may be behind a proxy."""
        for host, elsewhere in (("imap.host.test", WRONG), ("host.test", DOUBTFUL)):
            self.move(host)
            self.assertIs(self.verdict("host", f"{host}."[:8]), MISSING)
            self.move(host, THEIR_FOUR)
            self.assertIs(self.verdict("host", f"{host}."[:8]), elsewhere)

    def verdict(self, purpose: str, name: str = "") -> Verdict:
        """By the beginning of the name."""
        (result,) = [
            result
            for result in self.results()
            if result.purpose == purpose and result.record.name.startswith(name)
        ]
        return result.verdict

    def test_alias(self) -> None:
        """Clients follow aliases."""
        del self.table["imap.host.test", "A"], self.table["imap.host.test", "AAAA"]
        self.table["imap.host.test", "CNAME"] = ("host.test.",)
        self.assertIs(self.verdict("host", "imap"), RIGHT)


class PointerTests(ChecksCase):
    """The names of our addresses."""

    def test_pointers(self) -> None:
        """With forward confirmation, and for each address."""
        self.move("other.test", FOUR)
        self.move("liar.test", THEIR_FOUR)
        for rows, verdict in (
            ((), MISSING), (("mx.host.test.",), RIGHT), (("MX.HOST.TEST",), RIGHT),
            (("other.test.",), DOUBTFUL), (("liar.test.",), WRONG), (("none.test.",), WRONG),
            (("liar.test.", "mx.host.test."), RIGHT),
        ):  # fmt: skip
            self.table[FOUR, "PTR"] = rows
            self.assertIs(self.verdict("ptr", FOUR), verdict, rows)
            self.assertIs(self.verdict("ptr", SIX), RIGHT)


class SPFTests(ChecksCase):
    """Against true addresses, for the domain and for the name in EHLO."""

    def test_the_mx_name_says_nothing(self) -> None:
        """``mx`` admits what the MX name happens to lead to; we send from elsewhere."""
        self.move(MX_HOST, THEIR_FOUR)
        self.assertIs(self.verdict("spf"), WRONG)
        self.assertIs(self.verdict("helo"), WRONG)

    def test_records(self) -> None:
        """Every address must pass, by a record that receivers can read."""
        self.tried(
            "spf", ("example.org", "TXT"),
            (("v=spf1 mx ~all",), RIGHT, "may send"),
            (("v=spf1 a:mx.host.test -all",), RIGHT, "may send"),
            (("hello", "V=SPF1 MX -ALL"), RIGHT, "may send"),
            ((f"v=spf1 ip4:{FOUR} -all",), WRONG, f"ip6:{SIX}"),
            (("v=spf1 -all",), WRONG, f"ip4:{FOUR}"),
            (("v=spf1 ?all",), WRONG, f"ip4:{FOUR}"),
            (("v=spf1 mx include:none.test -all",), RIGHT, "may send"),
            (("v=spf1 include:none.test mx -all",), WRONG, "cannot read"),
            (("v=spf1 exists:%{l}.x.test -all",), UNKNOWN, "each message"),
            (("v=spf1 mx -all", "v=spf1 mx -all"), WRONG, "2 SPF records"),
            (("v=spf10 mx",), MISSING, "no SPF record"),
            ((), MISSING, "v=spf1 mx ~all"),
        )  # fmt: skip

    def test_helo(self) -> None:
        """The name that reports are sent under."""
        self.tried(
            "helo", (MX_HOST, "TXT"),
            ((), MISSING, "v=spf1 a -all"),
            (("v=spf1 -all",), WRONG, MX_HOST),
            ((f"v=spf1 ip4:{FOUR} ip6:{SIX} -all",), RIGHT, "may send"),
        )  # fmt: skip


class DKIMTests(ChecksCase):
    """The key, by what it means."""

    def test_records(self) -> None:
        """Spaces, order and more tags do not matter; the key and what it may be used for do."""
        place = ("fe-1._domainkey.example.org", "TXT")
        self.tried(
            "dkim", place,
            ((f"p={KEY}",), RIGHT, "published"),
            ((f"v=DKIM1;k=rsa;p={KEY[:40]} {KEY[40:]}",), RIGHT, "published"),
            ((f" v = DKIM1 ; h=sha1 : sha256; s=*; t=s; n=note; p={KEY} ; ",), RIGHT, "published"),
            ((f"v=DKIM1; s=email; k=RSA; x=y; p={KEY};",), RIGHT, "published"),
            ((f"v=DKIM1; t=y; p={KEY}",), DOUBTFUL, "t=y"),
            ((f"v=DKIM1; t=s:y; p={KEY}",), DOUBTFUL, "t=y"),
            ((f"v=DKIM1; p={KEY[:-8]}",), WRONG, "another one"),
            ((f"v=DKIM1; p={KEY.lower()}",), WRONG, "another one"),
            (("v=DKIM1; p=",), WRONG, "revoked"),
            (("v=DKIM1; k=rsa",), WRONG, "another one"),
            ((f"v=DKIM1; k=ed25519; p={KEY}",), WRONG, "other tags"),
            ((f"v=DKIM1; h=sha1; p={KEY}",), WRONG, "other tags"),
            ((f"v=DKIM1; s=tlsrpt; p={KEY}",), WRONG, "other tags"),
            ((f"k=rsa; v=DKIM1; p={KEY}",), WRONG, "another one"),
            ((f"v=DKIM2; p={KEY}",), WRONG, "another one"),
            ((f"v=DKIM1; p={KEY}; p={KEY}",), WRONG, "another one"),
            ((f"v=DKIM1; k; p={KEY}",), WRONG, "another one"),
            ((f"v=DKIM1\\; k=rsa\\; p={KEY}",), WRONG, "backslashes"),
            ((f'"v=DKIM1; k=rsa; p={KEY}"',), WRONG, "quotation"),
            ((f"v=DKIM1; p={KEY}", f"v=DKIM1; p={KEY}"), WRONG, "2 TXT records"),
            ((f"v=DKIM1; p={KEY}", "v=spf1 -all"), WRONG, "2 TXT records"),
            ((), MISSING, "no TXT record"),
        )  # fmt: skip

    def test_alias(self) -> None:
        """A key behind a CNAME is as good."""
        rows = self.table.pop(("fe-1._domainkey.example.org", "TXT"))
        self.table["fe-1._domainkey.example.org", "CNAME"] = ("keys.other.test.",)
        self.table["keys.other.test", "TXT"] = rows
        self.assertIs(self.verdict("dkim"), RIGHT)

    def test_wildcard(self) -> None:
        """Another text that stands everywhere is not ours in the wrong place."""
        for name, purpose in (("fe-1._domainkey", "dkim"), ("_dmarc", "dmarc")):
            del self.table[f"{name}.example.org", "TXT"]
            self.table[f"{name}.example.org.example.org", "TXT"] = ("v=spf1 -all",)
            self.assertIn("There is no", self.found(purpose).message)

    def test_domain_twice(self) -> None:
        """The DNS company added the domain to a whole name."""
        for name, purpose in (("fe-1._domainkey", "dkim"), ("_dmarc", "dmarc")):
            rows = self.table.pop((f"{name}.example.org", "TXT"))
            self.table[f"{name}.example.org.example.org", "TXT"] = rows
            result = self.found(purpose)
            self.assertIs(result.verdict, MISSING)
            self.assertIn(f"stands at {name}.example.org.example.org", result.message)


class ReturnPathTests(ChecksCase):
    """By where it leads."""

    PLACE = "fe-bounces.example.org"

    def test_aliases(self) -> None:
        """Directly, by way of others, elsewhere, in a circle."""
        for chain, verdict in (
            (["HOST.test."], RIGHT), (["a.test.", "b.test.", "host.test."], RIGHT),
            (["other.test."], WRONG), (["a.test.", "other.test."], WRONG),
        ):  # fmt: skip
            self.table = self.resolver.table
            name = self.PLACE
            for target in chain:
                self.table[name, "CNAME"] = (target,)
                name = target.rstrip(".").lower()
            self.assertIs(self.verdict("return_path"), verdict, chain)
            for key in [key for key in self.table if key[1] == "CNAME"]:
                del self.table[key]

    def test_flattened(self) -> None:
        """Addresses instead of the name that they belong to."""
        del self.table[self.PLACE, "CNAME"]
        self.assertIs(self.verdict("return_path"), MISSING)
        self.move(self.PLACE, FOUR)
        self.assertIs(self.verdict("return_path"), RIGHT)
        self.move(self.PLACE, THEIR_FOUR)
        self.assertIs(self.verdict("return_path"), WRONG)
        self.move("host.test", THEIR_FOUR)  # a proxy
        self.assertIs(self.verdict("return_path"), RIGHT)


class DMARCTests(ChecksCase):
    """What the policy says, not how."""

    def test_records(self) -> None:
        """Tags in any order behind the version; one record."""
        self.tried(
            "dmarc", ("_dmarc.example.org", "TXT"),
            (("v=DMARC1; p=none; rua=mailto:a@example.org",), RIGHT, "p=quarantine"),
            (("v=DMARC1;p=reject",), RIGHT, "published"),
            (("v = DMARC1 ; P=none; p = Quarantine ; pct=100;",), RIGHT, "published"),
            (("other", "v=DMARC1; p=reject"), RIGHT, "published"),
            (("v=DMARC1; p=none",), DOUBTFUL, "rua"),
            (("v=DMARC1; p=reject; pct=50",), WRONG, "50 percent"),
            (("v=DMARC1; p=reject; pct=all",), RIGHT, "published"),
            (("v=DMARC1; rua=mailto:a@example.org",), WRONG, "no policy"),
            (("v=DMARC1; p=delete",), WRONG, "no policy"),
            (("v=DMARC1; p=reject; p=none",), WRONG, "no policy"),
            (("v=DMARC1; p=none", "v=DMARC1; p=reject"), WRONG, "none of them"),
            (("p=reject; v=DMARC1",), WRONG, "must begin"),
            (("v=dmarc1; p=reject",), WRONG, "must begin"),
            (("v=DMARC1\\; p=reject",), WRONG, "must begin"),
            (('"v=DMARC1; p=reject"',), WRONG, "must begin"),
            (("v=spf1 -all",), MISSING, "no DMARC record"),
            ((), MISSING, "rua=mailto:postmaster@example.org"),
        )  # fmt: skip

    def test_inherited(self) -> None:
        """From a domain above, its ``sp`` first; not from one that is nobody's."""
        self.domain = attrs.evolve(DOMAIN, name="mail.example.org")
        for row, verdict in (
            ("v=DMARC1; p=reject", RIGHT), ("v=DMARC1; p=reject; sp=bad", WRONG),
            ("v=DMARC1; p=reject; sp=none; rua=mailto:a@b.test", RIGHT),
            ("v=DMARC1; psd=y; p=reject", MISSING),
        ):  # fmt: skip
            self.table["_dmarc.example.org", "TXT"] = (row,)
            self.assertIs(self.verdict("dmarc"), verdict, row)


class OwnershipTests(ChecksCase):
    """Whose the domain is."""

    def test_among_others(self) -> None:
        """Other texts do not matter, nor quotation marks around ours, nor the same text twice."""
        mark = "forward-email-site-verification="
        right = f"{mark}abc1234567"
        self.tried(
            "verification", ("example.org", "TXT"),
            (("google-site-verification=x", "v=spf1 mx -all", right), RIGHT, "belongs"),
            ((f'"{right}"',), RIGHT, "belongs"),
            ((right, f" {right} "), RIGHT, "belongs"),
            ((right.upper(),), MISSING, right),
            ((f"{mark}other",), WRONG, "another account"),
            ((right, f"{mark}other"), WRONG, "2 TXT records"),
            ((), MISSING, right),
        )  # fmt: skip
