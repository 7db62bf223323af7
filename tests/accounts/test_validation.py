"""Tests of fe_mail.accounts.validation: the rules of what people type."""

from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from fe_mail.accounts import validation
from fe_mail.model.errors import Invalid
from fe_mail.model.web import Reach
from tests.growth import assert_linear


class ValidationTests(SynchronousTestCase):
    """Good values come back as they are stored, others are Invalid."""

    def check(
        self, rule: Callable[[object], object], good: dict[object, object], bad: list[object]
    ) -> None:
        """A table of both."""
        for value, stored in good.items():
            self.assertEqual(rule(value), stored, repr(value))
        for value in bad:
            self.assertRaises(Invalid, rule, value)

    def test_domain_name(self) -> None:
        """Two labels at least, A-labels, a top-level domain of letters, or an address."""
        self.check(
            validation.domain_name,
            {
                " Example.ORG. ": "example.org",
                "blåbær.no": "xn--blbr-roah.no",
                "a.b.xn--p1ai": "a.b.xn--p1ai",
                "192.0.2.1": "[192.0.2.1]",
                "[192.0.2.1]": "[192.0.2.1]",
                "2001:DB8::1": "[IPv6:2001:db8::1]",
            },
            ["", "localhost", "a_b.org", "-a.org", "a..org", "a.1", "a.b2", "x" * 64 + ".org",
             "a." * 127 + "org", "a b.org", "a.org/x", None, 7, "[1.2.3]", "a\0.org",
             "fe80::1%eth0", "2001:db8::1%x> y\r\nz", "[IPv6:fe80::1%eth0]"],
        )  # fmt: skip

    def test_alias_name(self) -> None:
        """Lower case, no tag, no quoting; stars fold; expressions must compile."""
        self.check(
            lambda value: validation.alias_name(value, "example.org"),
            {
                " Sales ": "sales",
                "a.b-c_d": "a.b-c_d",
                "blåbær": "blåbær",
                "*": "*",
                "**": "*",
                "****": "*",
                "/^(a|b)$/gi": "/^(a|b)$/gi",
            },
            ["", " ", "a+b", "!a", "a b", 'a"b', "a\\b", "a@b", ".a", "a..b", "x" * 65, None, 7,
             "/(/", "/a", "/a/x", "/\ud800/", "\ud800", "a\nb", "a\x00b", "x" * 100_000],
        )  # fmt: skip

    def test_reserved(self) -> None:
        """Who is no admin gets no name that looks like one."""
        for name in ("admin", "postmaster", "Root", "web-master", "root-login", "my.security",
                     "a.d.m.i.n", "no-reply", "boss"):  # fmt: skip
            self.assertRaises(Invalid, validation.refuse_reserved, name, ["Boss"])
        for name in ("anna", "informatics", "sales2"):
            validation.refuse_reserved(name, ["boss"])

    def test_recipients(self) -> None:
        """Addresses in lower case, URLs as they are, each once, not too many."""
        self.check(
            lambda value: validation.recipients(value, 3),
            {
                "A@Example.org, b@example.org\na@example.org": ("a@example.org", "b@example.org"),
                "https://Example.org/Hook?raw=false": ("https://Example.org/Hook?raw=false",),
                "mail.example.org 192.0.2.1 2001:db8::1": (
                    "mail.example.org", "192.0.2.1", "2001:db8::1",
                ),
                "$1@example.org": ("$1@example.org",),
                "": (),
                None: (),
            },
            ["a@b@c", "nonsense", "http://", "https://a b/", "javascript:alert(1)", 7, [7], {},
             "http://[::1", "http://a:99999/", "ftp://example.org/", ["fe80::1%eth0"],
             ["2001:db8::1%x> NOTIFY=NEVER"]],
        )  # fmt: skip
        with self.assertRaises(Invalid) as caught:
            validation.recipients("a@x.test b@x.test c@x.test d@x.test", 3)
        self.assertEqual(caught.exception.code, "EXCEEDED_UNIQUE_COUNT")
        self.assertRaises(Invalid, validation.recipients, "https://x.test/", 3, emails_only=True)

    def test_webhooks_within_reach(self) -> None:
        """A URL that mail could never be posted to is refused at once; names are seen later."""
        reach = Reach(own_addresses=("198.41.0.4",))
        for url in (
            "http://127.0.0.1/x",
            "http://[::1]/",
            "http://10.0.0.7:8080/",
            "http://169.254.169.254/latest",
            "http://[::ffff:10.0.0.1]/",
            "https://198.41.0.4/",
            "http://[64:ff9b::c629:4]/",
            "https://hook.example:25/",
            "http://hook.example:6379/",
        ):
            with self.subTest(url=url), self.assertRaises(Invalid) as caught:
                validation.recipients([url], 3, webhooks=reach)
            self.assertEqual(caught.exception.field, "recipients")
        for url in ("https://hook.example/", "http://hook.example:8080/", "https://198.41.0.5/x"):
            self.assertEqual((url,), validation.recipients([url], 3, webhooks=reach))
        mine = Reach(networks=("10.0.0.0/8",))
        for url in ("http://10.0.0.7:5678/", "http://n8n.lan.example:5678/"):
            self.assertEqual((url,), validation.recipients([url], 3, webhooks=mine))
        self.assertRaises(Invalid, validation.recipients, ["http://127.0.0.1/"], 3, webhooks=mine)

    def test_catchall(self) -> None:
        """What is no address is left out, but one must be there."""
        found = validation.catchall_recipients("nonsense A@x.test,b@x.test", 2)
        self.assertEqual(found, ("a@x.test", "b@x.test"))
        self.assertRaises(Invalid, validation.catchall_recipients, "nonsense", 2)
        error = self.assertRaises(Invalid, validation.catchall_recipients, "a@x.test b@x.test", 1)
        self.assertEqual((error.field, error.code), ("catchall", "EXCEEDED_UNIQUE_COUNT"))

    def test_octets(self) -> None:
        """Sizes with units, up to the limit."""
        self.check(
            lambda value: validation.octets(value, "max_quota", 100 << 30),
            {"5 GB": 5 << 30, "1.5mb": 3 << 19, "700": 700, 700: 700, "": 0, "100gb": 100 << 30},
            ["101 GB", "1 TB", "-1", "x", "5 parsecs", None, 1.5, "9" * 50, "1e9", "٣ GB"],
        )

    def test_texts(self) -> None:
        """Markup and control characters go, length is limited."""
        self.assertEqual(validation.description("a <b>bold</b>\tmove\x07 "), "a bold move")
        self.assertRaises(Invalid, validation.description, "x" * 151)
        self.assertRaises(Invalid, validation.description, 7)
        self.assertEqual(validation.long_text("a\r\n<i>b</i>\n", "f", 9), "a\nb")
        self.assertRaises(Invalid, validation.long_text, "a\n" * 9, "f", 9)

    def test_labels(self) -> None:
        """Slugs; the catch-all's label is its own."""
        self.assertEqual(validation.labels("My Label,my,Été", "a"), ("my", "label", "été"))
        self.assertEqual(validation.labels(["My Label", "catch-all"], "a"), ("my-label",))
        self.assertEqual(validation.labels(["x"], "*"), ("catch-all", "x"))
        self.assertRaises(Invalid, validation.labels, ["x" * 151], "a")
        self.assertRaises(Invalid, validation.labels, [str(n) for n in range(51)], "a")

    def test_small_ones(self) -> None:
        """Numbers, codes, plans, dates."""
        self.check(validation.error_code, {250: 250, "421": 421, "550": 550}, [0, "", "251", None])
        self.check(validation.plan, {"team": "team"}, ["gold", None, ""])
        self.check(
            lambda value: validation.whole_number(value, "smtp_port", 1, 65535),
            {"25": 25, 65535: 65535},
            ["0", 65536, "x", None, "", 1.5, "-1", "9" * 99],
        )
        self.check(
            lambda value: validation.date(value, "f"),
            {"2026-12-24": "2026-12-24", "": "", None: ""},
            ["tomorrow", "2026-13-01", 5, False, {}, []],
        )
        self.check(
            lambda value: validation.entry_list(value, "allowlist"),
            {
                "A@x.test *.Dk example.org 192.0.2.1": (
                    "a@x.test", "*.dk", "example.org", "192.0.2.1",
                ),
            },
            ["nonsense", "*.*", 7],
        )  # fmt: skip

    def test_booleans(self) -> None:
        """What people and their programs mean by yes and by no; the rest means neither."""
        for value in (True, "true", "TRUE", "on", "1", 1, "Yes", " t ", "y"):
            self.assertIs(True, validation.boolean(value, "f"), value)
        for value in (False, "false", "False", "off", "0", 0, "No", "f", "n"):
            self.assertIs(False, validation.boolean(value, "f"), value)
        for value in (None, "", "null", "maybe", "2", 2, -1, 1.0, [], [True], {}, "tru", "\ud800"):
            with self.assertRaises(Invalid) as caught:
                validation.boolean(value, "f")
            self.assertEqual(caught.exception.field, "f")

    @settings(max_examples=100, deadline=None)
    @given(st.text(st.characters(), max_size=60))
    def test_any_text(self, text: str) -> None:
        """No text makes a rule raise anything but Invalid."""
        for rule in (
            validation.domain_name, validation.user_email, validation.description,
            validation.error_code, validation.plan,
            lambda value: validation.boolean(value, "f"),
            lambda value: validation.alias_name(value, "example.org"),
            lambda value: validation.recipients(value, 10),
            lambda value: validation.octets(value, "f", 1 << 40),
            lambda value: validation.labels(value, "a"),
            lambda value: validation.entry_list(value, "f"),
            lambda value: validation.date(value, "f"),
            lambda value: validation.web_url(value, "f"),
            lambda value: validation.person_name(value, "f"),
        ):  # fmt: skip
            try:
                value = rule(text)
            except Invalid:
                continue
            self.assertEqual(rule(text), value)

    def test_long_input(self) -> None:
        """Hostile length costs no more than the length."""
        check = self.test_any_text.hypothesis.inner_test  # type: ignore[attr-defined]
        for piece, count in (
            ("*a", 50_000),
            ("<", 100_000),
            ("a.", 50_000),
            ("@", 100_000),
            ("a,", 2000),
        ):
            assert_linear(self, lambda n, p=piece: check(self, p * n), count, piece)  # type: ignore[misc]
