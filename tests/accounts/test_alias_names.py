"""Tests of names that are equal, or look as if: one alias for each, and mail finds it."""

import unicodedata

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from fe_mail.accounts import validation
from fe_mail.accounts.alias_names import normalized_name
from fe_mail.accounts.domains import Domains
from fe_mail.adapters.memory.resolver import TableResolver
from fe_mail.adapters.memory.vantage import TableVantage
from fe_mail.model.address import display_address, display_domain, folded, parse_address
from fe_mail.model.errors import AlreadyExists, Invalid
from tests.accounts.test_domains import GREETINGS, OWN, SITE, keygen
from tests.accounts.test_prospects import ProspectsTestCase

NFC = "sm\u00f8rrebr\u00f8d-\u00e9"
NFD = "sm\u00f8rrebr\u00f8d-e\u0301"


class EqualTests(ProspectsTestCase):
    """Two forms of one name."""

    def test_stored_and_found(self) -> None:
        """Whatever form it is typed in, it is one alias, and both forms of mail reach it."""
        alias = self.create(NFD, "x@t.test")
        self.assertEqual(alias.name, NFC)
        given = {"name": NFC.upper(), "recipients": ["y@t.test"]}
        self.fails(AlreadyExists, self.aliases.create(self.user, self.domain, given))
        for name in (NFC, NFD, NFC.upper(), unicodedata.normalize("NFD", NFD.upper())):
            route = self.now(self.router.route(parse_address(f"{name}@example.org")))
            self.assertEqual([each.address for each in route.targets], ["x@t.test"])
            found = self.now(self.aliases.get(self.user, self.domain, name))
            self.assertEqual(found.id, alias.id)

    def test_recipients(self) -> None:
        """A recipient in the other form is the same alias, and a circle is seen as one."""
        self.create("a", f"{NFD}@example.org", f"{NFC}@example.org")
        alias = self.now(self.accounts.alias_named(self.domain.id, "a"))
        self.assertEqual(alias.recipients, (f"{NFC}@example.org",))
        self.refused(NFC, f"{NFD}@example.org")

    def test_patterns(self) -> None:
        """An expression matches both forms, and is one alias."""
        self.create("/^e\u0301t/", "x@t.test")
        given = {"name": "/^\u00e9t/", "recipients": ["y@t.test"]}
        self.fails(AlreadyExists, self.aliases.create(self.user, self.domain, given))
        for name in ("\u00e9tude", "e\u0301tude"):
            route = self.now(self.router.route(parse_address(f"{name}@example.org")))
            self.assertEqual(len(route.targets), 1)

    def test_restricted_names(self) -> None:
        """A name that an admin keeps is kept in both forms."""
        domains = Domains(
            self.accounts,
            self.keyring,
            TableResolver({}),
            self.mailboxes,
            self.clock,
            SITE,
            keygen,
            self.bus,
            TableVantage(OWN, GREETINGS),
        )
        domain = self.now(
            domains.update(self.user, self.domain, restricted_alias_names=[NFD.upper()])
        )
        self.assertRaises(Invalid, validation.refuse_reserved, NFC, domain.restricted_alias_names)

    def test_srs_names(self) -> None:
        """At the domain of SRS a name that looks like it would never get mail."""
        own = self.add_domain(SITE.web_host)
        for name in ("srs0=x", "SRS1-news"):
            given = {"name": name, "recipients": ["x@t.test"]}
            error = self.fails(Invalid, self.aliases.create(self.user, own, given))
            self.assertEqual(error.field, "name")
            self.create(name, "x@t.test")  # elsewhere it is a name like any other


class DeceptiveTests(SynchronousTestCase):
    """Names that the eye takes for others."""

    def test_refused(self) -> None:
        """Invisible, turned round, mixed, in other clothes, marks without a letter."""
        for name in (
            "an\u200bna",
            "anna\u200d",
            "\u202eanna",
            "an\u00adna",
            "p\u0430ypal",
            "\uff41nna",
            "\U0001d41anna",
            "\u0301anna",
            "a\u2066b",
            "İstanbul",
            "a\ufe0f",
            "o\ufb03ce",
        ):
            with self.assertRaises(Invalid, msg=ascii(name)) as caught:
                validation.alias_name(name, "example.org")
            self.assertEqual(caught.exception.field, "name")

    def test_taken(self) -> None:
        """Names of one script."""
        for name in (
            "blåbær",
            "иван",
            "ελένη",
            "王小明",
            "東京team",
            "שלום",
            "ไทย",
            "नमस्ते",
            "straße",
        ):
            self.assertEqual(validation.alias_name(name, "example.org"), folded(name))

    def test_reserved_in_disguise(self) -> None:
        """Accents make no other name of those that mean somebody in charge."""
        for name in ("\u00e1dmin", "postmast\u00e8r", "ro\u00f6t", "s\u00e9curity"):
            self.assertRaises(Invalid, validation.refuse_reserved, name, [])

    @given(st.text(max_size=20))
    def test_form_is_final(self, text: str) -> None:
        """The form that is compared does not change when it is made again."""
        once = normalized_name(text)
        self.assertEqual(normalized_name(once), once)
        self.assertEqual(normalized_name(unicodedata.normalize("NFD", text)), once)


class DisplayTests(SynchronousTestCase):
    """Domain names as people write them."""

    def test_shown(self) -> None:
        """U-labels, unless they feign to be others; URLs and what is no name stay."""
        for text, shown in {
            "xn--blbr-roah.no": "blåbær.no",
            "mail.xn--p1ai": "mail.рф",
            "xn--pple-43d.com": "xn--pple-43d.com",
            "xn--80ak6aa92e.com": "xn--80ak6aa92e.com",
            "xn--sw8hj0a.ws": "xn--sw8hj0a.ws",
            "xn--": "xn--",
            "xn--a": "xn--a",
            "example.org": "example.org",
            "[192.0.2.1]": "[192.0.2.1]",
        }.items():
            self.assertEqual(display_domain(text), shown)
            self.assertEqual(display_address(f"a@{text}"), f"a@{shown}")
        self.assertEqual(display_address("https://xn--p1ai/x"), "https://xn--p1ai/x")
        self.assertEqual(display_address("*@xn--p1ai"), "*@рф")
        self.assertEqual(display_address("xn--p1ai@xn--p1ai"), "xn--p1ai@рф")
