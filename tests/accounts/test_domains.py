"""Tests of fe_mail.accounts.domains, verifying and the checks of the DNS."""

from collections.abc import Mapping

import attrs
from twisted.internet.defer import Deferred

from fe_mail.accounts.dns_records import full_name
from fe_mail.accounts.domains import DKIM_PURPOSE, Domains, Verification
from fe_mail.accounts.site import Site
from fe_mail.accounts.verifying import SERVER_CHECK_SECONDS
from fe_mail.adapters.memory.resolver import TableResolver
from fe_mail.adapters.memory.vantage import TableVantage
from fe_mail.mailauth.signing import SigningKey, generate_key
from fe_mail.model.account import Domain, Member, User
from fe_mail.model.errors import (
    AlreadyExists,
    Invalid,
    NotFound,
    PermissionDenied,
)
from fe_mail.model.ids import AliasId, DomainId
from fe_mail.model.page import Query
from fe_mail.model.vantage import OwnAddresses
from tests.accounts.fakes import AccountsTestCase

KEY = generate_key(1024)
SITE = Site(
    hostname="mx.host.test",
    exchange_domains=("mx.host.test",),
    web_host="host.test",
    dkim_bits=1024,
    max_domains=3,
)
OWN = OwnAddresses(known=("192.0.2.25", "2001:db8::25"))
GREETINGS = dict.fromkeys(OWN.known, "220 mx.host.test ESMTP fe-mail")
HOST = {
    ("mx.host.test", "A"): ("192.0.2.25",),
    ("mx.host.test", "AAAA"): ("2001:db8::25",),
    ("mx.host.test", "TXT"): ("v=spf1 a -all",),
    ("192.0.2.25", "PTR"): ("mx.host.test.",),
    ("2001:db8::25", "PTR"): ("mx.host.test.",),
}


async def keygen(bits: int) -> bytes:
    """One key for all tests: making them is slow."""
    assert bits == SITE.dkim_bits
    return KEY


class DomainsTestCase(AccountsTestCase):
    """The service over a table of DNS records."""

    def setUp(self) -> None:
        """No records but the server's own."""
        super().setUp()
        self.resolver = TableResolver(HOST)
        self.vantage = TableVantage(OWN, GREETINGS)
        self.with_site()

    def with_site(self, **changes: object) -> None:
        """Another configuration of the server."""
        site = attrs.evolve(SITE, **changes)  # type: ignore[arg-type]  # any setting
        self.domains = Domains(
            self.accounts, self.keyring, self.resolver, self.mailboxes, self.clock, site, keygen,
            self.bus, self.vantage,
        )  # fmt: skip

    def create(self, name: str = "example.org", user: User | None = None, **more: object) -> Domain:
        """A new domain."""
        self.clock.advance(1)
        return self.now(self.domains.create(user or self.user, name, **more))  # type: ignore[arg-type]  # any setting

    def publish(self, domain: Domain, **instead: tuple[str, ...]) -> None:
        """Publish every record of the domain; ``instead`` replaces those of a purpose."""
        for name, kind in [key for key in self.resolver.table if key[0].endswith(domain.name)]:
            del self.resolver.table[name, kind]
        for record in self.domains.records(domain):
            values = instead.get(record.purpose, (record.value,))
            if record.type == "MX" and record.purpose not in instead:
                values = tuple(f"{record.priority} {value}." for value in values)
            key = (full_name(record, domain), record.type)
            self.resolver.table[key] = (*self.resolver.table.get(key, ()), *values)

    def verify(self, domain: Domain, user: User | None = None) -> Verification:
        """Check now."""
        return self.now(self.domains.verify(user or self.user, domain))

    def failing(self, domain: Domain) -> Mapping[str, str]:
        """The sentences of the checks that fail, by purpose; of every purpose there is one."""
        results = self.verify(domain).all_results
        self.assertEqual(len({result.purpose for result in results}), 10)
        return {result.purpose: result.message for result in results if not result.passed}


class CreateTests(DomainsTestCase):
    """New domains."""

    def test_new(self) -> None:
        """Keys, selector and verification text are made; the creator is its admin."""
        domain = self.create(" Blåbær.NO ")
        self.assertEqual(domain.name, "xn--blbr-roah.no")
        self.assertEqual([m.email for m in domain.members], [self.user.email])
        self.assertRegex(domain.verification_record, r"\A[A-Za-z0-9]{10}\Z")
        self.assertRegex(domain.dkim_selector, r"\Afe-[0-9a-f]{10}\Z")
        pem = self.keyring.reveal(domain.dkim_private_key, DKIM_PURPOSE)
        self.assertEqual(SigningKey.from_pem(pem).public_base64, domain.dkim_public_key)
        self.assertNotIn(b"PRIVATE", domain.dkim_private_key)

    def test_catchall(self) -> None:
        """To oneself, to nobody, or to a list."""
        for name, catchall, expected in (
            ("a.test", True, [(self.user.email,)]),
            ("b.test", False, []),
            ("c.test", "X@y.test, z@y.test", [("x@y.test", "z@y.test")]),
        ):
            domain = self.create(name, catchall=catchall)
            aliases = self.now(self.accounts.aliases(domain.id, Query())).items
            self.assertEqual([alias.recipients for alias in aliases], expected)
            self.assertTrue(all(a.labels == ("catch-all",) for a in aliases))

    def test_refused(self) -> None:
        """No name, a bad setting, nobody to catch all: and nothing is left behind."""
        for name, more in (
            ("localhost", {}), ("a.test", {"plan": "gold"}), ("a.test", {"smtp_port": 0}),
            ("a.test", {"catchall": "nobody"}),
            ("a.test", {"catchall": " ".join(f"u{number}@y.test" for number in range(11))}),
            ("a.test", {"members": ()}),
            ("a.test", {"bounce_webhook": "ftp://x"}), ("a.test", {"has_smtp": True}),
        ):  # fmt: skip
            self.fails(Invalid, self.domains.create(self.user, name, **more))  # type: ignore[arg-type]  # wrong on purpose
        self.assertEqual(self.now(self.domains.list(self.user, Query())).total, 0)

    def test_twice(self) -> None:
        """Once per account; another account may claim it too."""
        self.create()
        self.fails(AlreadyExists, self.domains.create(self.user, "EXAMPLE.org"))
        self.create(user=self.admin)

    def test_limit(self) -> None:
        """An account has so many domains; the server's admin any number."""
        for n in range(3):
            self.create(f"d{n}.test")
            self.create(f"e{n}.test", self.admin)
        self.fails(Invalid, self.domains.create(self.user, "more.test"))
        self.create("more.test", self.admin)


class AccessTests(DomainsTestCase):
    """Who sees and changes what."""

    def test_get(self) -> None:
        """By id, name and punycode, for members only."""
        domain = self.create("blåbær.no")
        for key in (domain.id, "blåbær.no", "XN--blbr-roah.no"):
            self.assertEqual(self.now(self.domains.get(self.user, key)).id, domain.id)
            self.fails(NotFound, self.domains.get(self.admin, key))
        for key in ("", "x", "0" * 24, "../x", "other.test"):
            self.fails(NotFound, self.domains.get(self.user, key))

    def test_own_claim(self) -> None:
        """By name one gets one's own claim."""
        mine, theirs = self.create(), self.create(user=self.admin)
        self.assertEqual(self.now(self.domains.get(self.user, "example.org")).id, mine.id)
        self.assertEqual(self.now(self.domains.get(self.admin, "example.org")).id, theirs.id)

    def test_members(self) -> None:
        """A member of group user sees the domain and changes nothing."""
        member = self.add_user("member@example.com")
        domain = self.create()
        self.now(self.accounts.set_member(domain.id, Member(user_id=member.id, group="user")))
        domain = self.now(self.domains.get(member, "example.org"))
        for work in (
            self.domains.update(member, domain, smtp_port="26"),
            self.domains.delete(member, domain),
            self.domains.verify(member, domain),
        ):
            self.fails(PermissionDenied, work)

    def test_update(self) -> None:
        """Settings come as forms send them."""
        domain = self.now(
            self.domains.update(
                self.user, self.create(), smtp_port="25", has_virus_protection="false",
                max_quota_per_alias="5 GB", allowlist="", bounce_webhook="",
                restricted_alias_names="Boss, ceo", retention_days="0", ignore_mx_check="yes",
            )
        )  # fmt: skip
        self.assertEqual((domain.ignore_mx_check, domain.has_virus_protection), (True, False))
        self.assertEqual(domain.max_quota_per_alias, 5 << 30)
        self.assertEqual(domain.restricted_alias_names, ("boss", "ceo"))

    def test_quota_reaches_mailboxes(self) -> None:
        """A new limit holds in the mailboxes that exist."""
        domain = self.create()
        alias = self.add_alias(domain, "a", has_imap=True)
        self.add_credential(alias, "x")
        self.now(self.domains.update(self.user, domain, max_quota_per_alias="1 MB"))
        mailbox = self.now(self.mailboxes.unlock(alias.id, b"k" * 32))
        self.assertEqual(self.now(mailbox.quota()).limit_octets, 1 << 20)

    def test_delete(self) -> None:
        """Aliases and mailboxes go, and open sessions hear of it."""
        domain = self.create()
        alias = self.add_alias(domain, "a", has_imap=True)
        self.add_credential(alias, "x")
        heard: list[object] = []
        self.bus.subscribe(f"credentials:{alias.id}", heard.append)
        self.now(self.domains.delete(self.user, domain))
        self.clock.advance(0)
        self.assertEqual(len(heard), 1)
        self.fails(NotFound, self.accounts.alias(AliasId(alias.id)))
        self.fails(NotFound, self.mailboxes.unlock(alias.id, b"k" * 32))


class VerifyTests(DomainsTestCase):
    """What the DNS says."""

    def test_all_right(self) -> None:
        """Everything as shown: everything passes and is stored."""
        domain = self.create()
        self.publish(domain)
        self.assertEqual(self.failing(domain), {})
        domain = self.now(self.accounts.domain(domain.id))
        self.assertTrue(domain.has_mx_record and domain.has_txt_record and domain.has_spf_record)
        self.assertTrue(domain.has_dkim_record and domain.has_return_path_record)
        self.assertTrue(domain.has_dmarc_record)
        self.assertEqual(domain.smtp_verified_at, self.clock.seconds())
        self.assertEqual(domain.last_checked_at, self.clock.seconds())

    def test_approval(self) -> None:
        """The admin's own domain may send at once, another's waits for approval."""
        for user, may_send in ((self.user, False), (self.admin, True)):
            domain = self.create(user=user)
            self.publish(domain)
            self.assertEqual(self.verify(domain, user).domain.has_smtp, may_send)

    def test_losing_records(self) -> None:
        """A lost sending record ends the verification, not the approval."""
        domain = self.create(user=self.admin)
        self.publish(domain)
        self.verify(domain, self.admin)
        self.publish(domain, dkim=())
        domain = self.verify(domain, self.admin).domain
        self.assertEqual((domain.smtp_verified_at, domain.has_smtp), (0.0, True))

    def test_nothing(self) -> None:
        """A name without any record: six sentences, each with what to publish."""
        domain = self.create()
        wrong = self.failing(domain)
        self.assertIn("does not exist in the DNS", wrong["mx"])
        self.assertIn("mx.host.test", wrong["mx"])
        self.assertIn(domain.verification_record, wrong["verification"])
        self.assertIn("host.test", wrong["return_path"])
        self.assertIn(f"{domain.dkim_selector}._domainkey.example.org", wrong["dkim"])
        self.assertIn("v=DMARC1", wrong["dmarc"])
        self.assertIn("v=spf1", wrong["spf"])

    def test_mx(self) -> None:
        """Missing, foreign and mixed MX records are three different troubles."""
        domain = self.create()
        for records, words in (
            ((), "no MX record"),
            (("10 mx.other.test.",), "lead to mx.other.test"),
            (("10 mx.host.test.", "20 mx.other.test."), "Besides mx.host.test"),
            (("0 .",), "takes no mail"),
        ):
            self.publish(domain, mx=records)
            self.assertIn(words, self.failing(domain)["mx"])
        self.publish(domain, mx=("99 MX.host.test.",))
        self.assertNotIn("mx", self.failing(domain))

    def test_mx_check_switched_off(self) -> None:
        """A domain behind another gateway may say so."""
        domain = self.create(ignore_mx_check=True)
        self.publish(domain, mx=("10 gateway.test.",))
        self.assertEqual(self.failing(domain), {})

    def test_ownership(self) -> None:
        """Exactly one verification record, and it must be this account's."""
        domain = self.create()
        right = f"forward-email-site-verification={domain.verification_record}"
        other = "forward-email-site-verification=another123"
        self.publish(domain, verification=(other,))
        self.assertIn("another account", self.failing(domain)["verification"])
        self.publish(domain, verification=(right, other))
        self.assertIn("2 TXT records", self.failing(domain)["verification"])
        self.publish(domain, verification=(f" {right} ",))
        self.assertNotIn("verification", self.failing(domain))

    def test_record_moves(self) -> None:
        """When the record names another account, the former one loses the name at once."""
        mine, theirs = self.create(), self.create(user=self.admin)
        self.publish(mine)
        self.verify(mine)
        self.publish(theirs)
        self.verify(theirs, self.admin)
        self.assertFalse(self.now(self.accounts.domain(mine.id)).has_txt_record)
        self.assertTrue(self.now(self.accounts.domain(theirs.id)).has_txt_record)

    def test_dkim(self) -> None:
        """Spaces and tag order do not matter, the key does."""
        domain = self.create()
        key = domain.dkim_public_key
        self.publish(domain, dkim=(f"p={key[:40]} {key[40:]}",))
        self.assertNotIn("dkim", self.failing(domain))
        self.publish(domain, dkim=(f"v=DKIM1; k=rsa; p={key[:-8]}",))
        self.assertIn("another one", self.failing(domain)["dkim"])
        self.publish(domain, dkim=("v=DKIM1; p=", "v=DKIM1; p=x"))
        self.assertIn("2 TXT records", self.failing(domain)["dkim"])

    def test_return_path(self) -> None:
        """The CNAME must lead here."""
        domain = self.create()
        self.publish(domain, return_path=("elsewhere.test.",))
        self.assertIn("elsewhere.test", self.failing(domain)["return_path"])

    def test_dmarc(self) -> None:
        """One policy for all mail, here or in a domain above."""
        domain = self.create("mail.example.org")
        for records, words in (
            (("v=DMARC1; pct=50; p=none",), "50 percent"),
            (("v=DMARC1;",), "no policy"),
            (("v=DMARC1; p=none", "v=DMARC1; p=reject"), "Keep one"),
        ):
            self.publish(domain, dmarc=records)
            self.assertIn(words, self.failing(domain)["dmarc"])
        self.publish(domain, dmarc=())
        self.resolver.table["_dmarc.example.org", "TXT"] = ("v=DMARC1; p=reject",)
        self.assertNotIn("dmarc", self.failing(domain))

    def test_spf(self) -> None:
        """The server's own addresses must pass."""
        domain = self.create()
        for records, words in (
            (("v=spf1 ip4:192.0.2.25 -all",), "2001:db8::25"),
            (("v=spf1 include:_spf.other.test -all",), "cannot read"),
            (("v=spf1 a:mx.other.test -all",), "192.0.2.25"),
            (("v=spf1 mx -all", "v=spf1 a -all"), "2 SPF records"),
        ):
            self.publish(domain, spf=records)
            self.assertIn(words, self.failing(domain)["spf"])
        self.publish(domain, spf=("v=spf1 ip4:192.0.2.0/24 ip6:2001:db8::/32 -all",))
        self.assertNotIn("spf", self.failing(domain))

    def test_spf_without_answer(self) -> None:
        """A silent name in the record leaves only this one question open."""
        domain = self.create()
        self.publish(domain)
        self.verify(domain)
        self.resolver.failing.add("slow.test")
        self.publish(domain, spf=("v=spf1 include:slow.test -all",))
        verification = self.verify(domain)
        self.assertFalse(verification.is_silent)
        self.assertEqual(["spf"], [r.purpose for r in verification.results if r.is_undecided])
        self.assertTrue(verification.domain.has_spf_record)

    def test_trouble(self) -> None:
        """When the DNS does not answer, nothing that is stored changes."""
        domain = self.create()
        self.publish(domain)
        before = self.verify(domain).domain
        self.clock.advance(1000)
        self.publish(domain, mx=())
        self.resolver.failing.add("_dmarc.example.org")
        verification = self.verify(domain)
        self.assertTrue(verification.is_silent)
        self.assertEqual(self.now(self.accounts.domain(domain.id)), before)
        (undecided,) = [r for r in verification.results if r.is_undecided]
        self.assertEqual(undecided.purpose, "dmarc")
        self.assertIn("did not answer", undecided.message)

    def test_what_cannot_be_told_stays(self) -> None:
        """Behind a router the MX neither verifies nor unverifies; what can be told is stored."""
        for before in (False, True):
            domain = self.create(f"d{before:d}.test")
            self.publish(domain)
            if before:
                self.verify(domain)
            self.vantage.own = OwnAddresses(hidden=(4, 6))
            self.resolver.table["mx.host.test", "A"] = ("5.9.0.25",)
            self.resolver.table["mx.host.test", "AAAA"] = ()
            self.publish(domain, dkim=())
            verification = self.verify(domain)
            self.assertFalse(verification.is_silent)
            stored = self.now(self.accounts.domain(domain.id))
            self.assertEqual((stored.has_mx_record, stored.has_spf_record), (before, before))
            self.assertEqual((stored.has_txt_record, stored.has_dkim_record), (True, False))
            self.assertEqual(stored.last_checked_at, self.clock.seconds())
            self.vantage.own, self.resolver.table = OWN, dict(HOST)

    def test_another_server_answers(self) -> None:
        """Then mail does not come here, whatever the records say."""
        domain = self.create()
        self.publish(domain)
        self.assertTrue(self.verify(domain).domain.has_mx_record)
        self.vantage.greetings = dict.fromkeys(OWN.known, "220 old.host.test ESMTP")
        verification = self.verify(domain)
        self.assertFalse(verification.domain.has_mx_record)
        self.assertIn("reach", [result.purpose for result in verification.wanting])
        self.vantage.greetings = {}  # nobody: that proves nothing
        verification = self.verify(domain)
        self.assertTrue(verification.domain.has_mx_record)
        self.assertEqual(verification.wanting, ())

    def test_server_once_for_all_domains(self) -> None:
        """The job looks at the server's own records once, a person who asks gets fresh answers."""
        domains = [self.create(f"d{n}.test") for n in range(3)]
        for domain in domains:
            self.publish(domain)
            self.assertTrue(self.now(self.domains.recheck(domain.id)).server)
        self.assertEqual(sorted(self.vantage.asked), sorted(OWN.known))
        self.verify(domains[0])
        self.assertEqual(len(self.vantage.asked), 2 * len(OWN.known))
        self.clock.advance(SERVER_CHECK_SECONDS)
        self.now(self.domains.recheck(domains[0].id))
        self.assertEqual(len(self.vantage.asked), 3 * len(OWN.known))

    def test_nobody_needs_a_return_path(self) -> None:
        """Nothing uses it, so a domain sends without."""
        domain = self.create(user=self.admin)
        self.publish(domain)
        del self.resolver.table["fe-bounces.example.org", "CNAME"]
        self.assertTrue(self.verify(domain, self.admin).domain.has_smtp)

    def test_late(self) -> None:
        """Answers that come one by one."""
        domain = self.create()
        self.publish(domain)
        self.resolver.is_late = self.vantage.is_late = True
        work = Deferred.fromCoroutine(self.domains.verify(self.user, domain))
        while self.resolver.waiting or self.vantage.waiting:
            (self.resolver if self.resolver.waiting else self.vantage).answer_next()
        verification = self.successResultOf(work)
        self.assertTrue(verification.domain.has_mx_record)
        self.assertEqual([each for each in verification.all_results if not each.passed], [])

    def test_foreign_text(self) -> None:
        """What strangers publish is shown short and printable."""
        domain = self.create()
        self.publish(domain, verification=(
            "forward-email-site-verification=\x1b[31m" + "x" * 1000,))  # fmt: skip
        message = self.failing(domain)["verification"]
        self.assertTrue(len(message) < 400 and message.isprintable())

    def test_address_literal(self) -> None:
        """A domain that is an IP address, as one could add before, still has its check."""
        domain = self.create(catchall=False)
        row = attrs.evolve(domain, id=DomainId("literal"), name="[192.0.2.1]")
        literal = self.now(self.accounts.add_domain(row))
        self.assertEqual(len(self.failing(literal)), 6)

    def test_nobodys_domains(self) -> None:
        """What can never be proven to be somebody's is refused at once, and nothing is stored."""
        for name in ("192.0.2.1", "[IPv6:2001:db8::1]", "gmail.com", "Outlook.com"):
            self.fails(Invalid, self.domains.create(self.user, name))
        self.assertEqual(self.now(self.domains.list(self.user, Query())).total, 0)

    def test_recheck(self) -> None:
        """The job checks by id, for nobody in particular."""
        domain = self.create()
        self.publish(domain)
        self.assertTrue(self.now(self.domains.recheck(domain.id)).domain.has_txt_record)
