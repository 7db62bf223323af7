"""Tests of fe_mail.accounts.routing and patterns: where an address goes."""

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from fe_mail.accounts.patterns import compile_pattern, match_pattern, substitute
from fe_mail.accounts.routing import MAX_DEPTH, Router
from fe_mail.model.address import parse_address
from fe_mail.model.errors import Invalid
from fe_mail.model.route import Route
from tests.accounts.fakes import AccountsTestCase
from tests.growth import assert_linear


class RoutingTestCase(AccountsTestCase):
    """``example.org`` is hosted."""

    def setUp(self) -> None:
        """A router over an empty domain."""
        super().setUp()
        self.domain = self.add_domain("example.org")
        self.router = Router(self.accounts)

    def route(self, address: str) -> Route:
        """Resolve."""
        return self.now(self.router.route(parse_address(address)))

    def forwards(self, address: str) -> list[str]:
        """The forward targets; nothing else may be there."""
        route = self.route(address)
        self.assertIsNone(route.refusal)
        self.assertTrue(all(target.courier == "forward" for target in route.targets))
        return [target.address for target in route.targets]

    def refusal(self, address: str) -> tuple[int, str]:
        """Code and enhanced status of the refusal; there must be no targets."""
        route = self.route(address)
        self.assertEqual(route.targets, ())
        assert route.refusal is not None
        return route.refusal.code, route.refusal.enhanced


class ClaimTests(RoutingTestCase):
    """Whose domain it is."""

    def test_not_hosted(self) -> None:
        """A domain that nobody claims is not ours."""
        route = self.route("a@elsewhere.test")
        self.assertFalse(route.is_hosted)
        self.assertIsNone(route.refusal)

    def test_unverified(self) -> None:
        """A claim that is not verified does not count, so nobody takes over a foreign name."""
        domain = self.add_domain("new.test", has_txt_record=False)
        self.add_alias(domain, "a", "x@elsewhere.test")
        self.assertFalse(self.route("a@new.test").is_hosted)

    def test_admin_needs_no_record(self) -> None:
        """The claim of the server's admin works before its DNS does."""
        domain = self.add_domain("new.test", self.admin, has_txt_record=False)
        self.add_alias(domain, "a", "x@elsewhere.test")
        self.assertEqual(self.forwards("a@new.test"), ["x@elsewhere.test"])

    def test_verified_beats_admin(self) -> None:
        """The record decides between two claims."""
        theirs = self.add_domain("new.test", self.admin, has_txt_record=False)
        self.add_alias(theirs, "a", "admin@elsewhere.test")
        ours = self.add_domain("new.test", self.user)
        self.add_alias(ours, "a", "user@elsewhere.test")
        self.assertEqual(self.forwards("a@new.test"), ["user@elsewhere.test"])


class PrecedenceTests(RoutingTestCase):
    """Named, then regex, then catch-all."""

    def setUp(self) -> None:
        """One of each."""
        super().setUp()
        self.named = self.add_alias(self.domain, "sales", "named@t.test")
        self.pattern = self.add_alias(self.domain, "/^sa.+$/", "regex@t.test")
        self.catchall = self.add_alias(self.domain, "*", "all@t.test")

    def test_order(self) -> None:
        """Each acts only where nothing before it does."""
        self.assertEqual(self.forwards("Sales@example.org"), ["named@t.test"])
        self.assertEqual(self.forwards("SAMPLES@example.org"), ["regex@t.test"])
        self.assertEqual(self.forwards("other@example.org"), ["all@t.test"])

    def test_several_patterns(self) -> None:
        """Every regex that matches takes part."""
        self.add_alias(self.domain, "/les$/i", "second@t.test")
        self.assertEqual(self.forwards("samples@example.org"), ["regex@t.test", "second@t.test"])

    def test_disabled_name_is_not_caught(self) -> None:
        """A disabled alias keeps its name from regex and catch-all."""
        self.change_alias(self.named, is_enabled=False, error_code_if_disabled=550)
        self.assertEqual(self.refusal("sales@example.org"), (550, "5.1.1"))

    def test_banned_owner(self) -> None:
        """Aliases of banned users are as if they were not there."""
        other = self.add_user("other@example.com")
        self.change_alias(self.named, user_id=other.id)
        self.change_user(other, is_banned=True)
        self.assertEqual(self.forwards("sales@example.org"), ["regex@t.test"])

    def test_switched_off(self) -> None:
        """A domain can do without catch-all and regex."""
        work = self.accounts.update_domain(self.domain.id, 0.0, is_catchall_regex_disabled=True)
        self.now(work)
        self.assertEqual(self.refusal("other@example.org"), (550, "5.1.1"))


class DisabledTests(RoutingTestCase):
    """What a disabled alias answers."""

    def disabled(self, code: int) -> None:
        """``off@example.org``."""
        self.add_alias(
            self.domain, "off", "x@t.test", is_enabled=False, error_code_if_disabled=code
        )

    def test_dropped(self) -> None:
        """250: taken and thrown away."""
        self.disabled(250)
        route = self.route("off@example.org")
        self.assertEqual((route.is_hosted, route.targets, route.refusal), (True, (), None))

    def test_temporary(self) -> None:
        """421: later, with a code that does not end the connection for other recipients."""
        self.disabled(421)
        self.assertEqual(self.refusal("off@example.org"), (450, "4.2.1"))

    def test_permanent(self) -> None:
        """550: never."""
        self.disabled(550)
        self.assertEqual(self.refusal("off@example.org"), (550, "5.1.1"))

    def test_pattern(self) -> None:
        """A disabled regex refuses what it matches, unless an enabled one matches too."""
        self.add_alias(self.domain, "/spam/", is_enabled=False, error_code_if_disabled=550)
        self.add_alias(self.domain, "*", "all@t.test")
        self.assertEqual(self.refusal("spam1@example.org"), (550, "5.1.1"))
        self.add_alias(self.domain, "/^spam1$/", "one@t.test")
        self.assertEqual(self.forwards("spam1@example.org"), ["one@t.test"])


class TargetTests(RoutingTestCase):
    """What recipients of an alias become."""

    def test_mailbox(self) -> None:
        """An alias with IMAP delivers here, and forwards besides."""
        alias = self.add_alias(self.domain, "a", "x@t.test", has_imap=True, sealing_key=b"public")
        local, forward = self.route("a+tag@example.org").targets
        self.assertEqual((local.courier, local.address), ("local", "a@example.org"))
        self.assertEqual(local.alias_id, alias.id)
        self.assertEqual(forward.address, "x+tag@t.test")

    def test_mailbox_without_password(self) -> None:
        """Nothing can be sealed before the first password: the sender tries again."""
        self.add_alias(self.domain, "a", has_imap=True)
        self.assertEqual(self.refusal("a@example.org"), (450, "4.2.1"))

    def test_unknown(self) -> None:
        """An address that nothing takes."""
        self.assertEqual(self.refusal("nobody@example.org"), (550, "5.1.1"))

    def test_webhook(self) -> None:
        """A URL keeps its case and takes no tag."""
        self.add_alias(self.domain, "hook", "https://Example.net/In?raw=False")
        (target,) = self.route("hook+tag@example.org").targets
        self.assertEqual(target.courier, "webhook")
        self.assertEqual(target.address, "https://Example.net/In?raw=False")

    def test_hosts(self) -> None:
        """A host or an IP address means the same local part there."""
        self.add_alias(self.domain, "*", "mail.t.test", "192.0.2.9", "2001:db8::9")
        expected = ["Any+t@mail.t.test", "Any+t@[192.0.2.9]", "Any+t@[IPv6:2001:db8::9]"]
        self.assertEqual(self.forwards("Any+t@example.org"), expected)

    def test_unverified_recipients(self) -> None:
        """With recipient verification only verified ones get mail."""
        self.add_alias(
            self.domain, "a", "yes@t.test", "no@t.test", self.user.email,
            has_recipient_verification=True, verified_recipients=("yes@t.test",),
        )  # fmt: skip
        self.assertEqual(self.forwards("a@example.org"), ["yes@t.test", self.user.email])

    def test_nonsense(self) -> None:
        """A recipient that is no address can be mended: later. It does not crash."""
        self.add_alias(self.domain, "a", "not an address")
        self.assertEqual(self.refusal("a@example.org"), (451, "4.3.5"))

    def test_no_recipients(self) -> None:
        """An alias with nothing to do asks to come back."""
        self.add_alias(self.domain, "a")
        self.assertEqual(self.refusal("a@example.org"), (451, "4.3.5"))

    def test_too_many(self) -> None:
        """More targets than the domain allows: later, so that the owner can repair it."""
        self.add_alias(self.domain, "a", *(f"u{n}@t.test" for n in range(11)))
        self.assertEqual(self.refusal("a@example.org")[0], 452)
        work = self.accounts.update_domain(self.domain.id, 0.0, max_recipients_per_alias=11)
        self.now(work)
        self.assertEqual(len(self.forwards("a@example.org")), 11)

    def test_postmaster(self) -> None:
        """postmaster always reaches a person (RFC 5321 §4.5.1), unless there is an alias."""
        self.assertEqual(self.forwards("PostMaster@example.org"), [self.user.email])
        self.add_alias(self.domain, "postmaster", "pm@t.test")
        self.assertEqual(self.forwards("postmaster@example.org"), ["pm@t.test"])

    def test_postmaster_of_the_server(self) -> None:
        """``<Postmaster>`` of the MX itself is the server's admin; nobody else lives there."""
        self.router = Router(self.accounts, own_hosts=["mx.example.net"])
        self.assertEqual(self.forwards("Postmaster@mx.example.net"), [self.admin.email])
        for address in ("alice@mx.example.net", "postmaster@elsewhere.test"):
            self.assertFalse(self.now(self.router.route(parse_address(address))).is_hosted)


class TagTests(RoutingTestCase):
    """Sub-addressing."""

    def test_tag_is_kept(self) -> None:
        """Looked up without, forwarded with, case kept."""
        self.add_alias(self.domain, "a", "x@t.test")
        self.assertEqual(self.forwards("A+News@example.org"), ["x+News@t.test"])

    def test_own_tag_of_recipient(self) -> None:
        """A recipient with a tag of its own is left as its owner wrote it."""
        self.add_alias(self.domain, "a", "x+own@t.test")
        self.assertEqual(self.forwards("a+news@example.org"), ["x+own@t.test"])

    def test_tag_that_does_not_fit(self) -> None:
        """One that would make no address, or one that needs SMTPUTF8, is left out."""
        long = "x" * 60
        self.add_alias(self.domain, "long", f"{long}@t.test")
        self.assertEqual(self.forwards("long+news@example.org"), [f"{long}@t.test"])
        self.assertEqual(self.forwards("long+new@example.org"), [f"{long}+new@t.test"])
        self.add_alias(self.domain, "far", f"x@{'d' * 60}.{'e' * 60}.{'f' * 60}.{'g' * 50}.test")
        (target,) = self.forwards(f"far+{'n' * 20}@example.org")
        self.assertTrue(target.startswith("x@"), target)
        self.add_alias(self.domain, "quoted", '"a b"@t.test')
        self.assertEqual(self.forwards("quoted+news@example.org"), ['"a b"@t.test'])
        self.add_alias(self.domain, "a", "x@t.test")
        self.assertEqual(self.forwards("a+\u00fc@example.org"), ["x@t.test"])

    def test_quoted(self) -> None:
        """The same address in quotes goes the same way, tag and all."""
        self.add_alias(self.domain, "john", "x@t.test")
        for address in ('"john"', '"j\\ohn"', "John"):
            self.assertEqual(self.forwards(f"{address}@example.org"), ["x@t.test"], address)
        self.assertEqual(self.forwards('"john+news"@example.org'), ["x+news@t.test"])

    def test_only_the_plain_one_stays(self) -> None:
        """``user@x`` and ``user+tag@x`` are one person: one copy."""
        self.add_alias(self.domain, "a", "x+one@t.test", "x@t.test", "y+two@t.test")
        self.assertEqual(self.forwards("a@example.org"), ["x@t.test", "y+two@t.test"])

    def test_through_aliases(self) -> None:
        """The tag travels along."""
        self.add_alias(self.domain, "a", "b@example.org")
        self.add_alias(self.domain, "b", "x@t.test")
        self.assertEqual(self.forwards("a+t@example.org"), ["x+t@t.test"])


class RecursionTests(RoutingTestCase):
    """Aliases behind aliases."""

    def test_to_another_domain(self) -> None:
        """An alias leads to the mailbox of another hosted domain; the trail says how."""
        other = self.add_domain("other.test")
        box = self.add_alias(other, "box", has_imap=True, sealing_key=b"public")
        self.add_alias(self.domain, "a", "b@example.org")
        self.add_alias(self.domain, "b", "box@other.test")
        route = self.route("a@example.org")
        self.assertEqual([target.alias_id for target in route.targets], [box.id])
        self.assertEqual(route.trail, ("a@example.org", "b@example.org", "box@other.test"))

    def test_loop(self) -> None:
        """A circle ends; what leaves it is delivered."""
        self.add_alias(self.domain, "a", "b@example.org")
        b = self.add_alias(self.domain, "b", "a@example.org")
        self.assertEqual(self.refusal("a@example.org"), (451, "4.4.6"))
        self.change_alias(b, recipients=("a@example.org", "x@t.test"))
        self.assertEqual(self.forwards("a@example.org"), ["x@t.test"])

    def test_itself(self) -> None:
        """An alias that lists itself besides its mailbox is an ordinary mailbox."""
        self.add_alias(self.domain, "a", "a@example.org", has_imap=True, sealing_key=b"public")
        self.assertEqual([t.courier for t in self.route("a@example.org").targets], ["local"])

    def test_diamond(self) -> None:
        """Two ways to one target give one copy."""
        self.add_alias(self.domain, "a", "b@example.org", "c@example.org")
        self.add_alias(self.domain, "b", "d@example.org")
        self.add_alias(self.domain, "c", "d@example.org", "x@t.test")
        self.add_alias(self.domain, "d", "x@t.test")
        self.assertEqual(self.forwards("a@example.org"), ["x@t.test"])

    def test_as_the_catch_all(self) -> None:
        """One recipient of an alias is where the catch-all leads too: both get a copy."""
        self.add_alias(self.domain, "*", "x@t.test")
        self.add_alias(self.domain, "a", "y@t.test", "x@t.test")
        self.assertEqual(self.forwards("a@example.org"), ["y@t.test", "x@t.test"])

    def test_claimed_elsewhere(self) -> None:
        """A recipient in a domain that nobody has proven goes to where its DNS leads."""
        self.add_domain("moving.test", has_txt_record=False)
        self.add_alias(self.domain, "a", "x@moving.test")
        self.assertEqual(self.forwards("a@example.org"), ["x@moving.test"])

    def test_depth(self) -> None:
        """A chain has an end."""
        for n in range(MAX_DEPTH + 2):
            self.add_alias(self.domain, f"n{n}", f"n{n + 1}@example.org")
        self.add_alias(self.domain, f"n{MAX_DEPTH + 2}", "x@t.test")
        self.assertEqual(self.refusal("n0@example.org"), (451, "4.4.6"))
        self.assertEqual(self.forwards("n2@example.org"), ["x@t.test"])

    def test_mildest_refusal(self) -> None:
        """Temporary before silent before permanent."""
        self.add_alias(self.domain, "a", "off@example.org", "drop@example.org")
        self.add_alias(self.domain, "drop", is_enabled=False, error_code_if_disabled=250)
        off = self.add_alias(self.domain, "off", is_enabled=False, error_code_if_disabled=550)
        self.assertIsNone(self.route("a@example.org").refusal)
        self.change_alias(off, error_code_if_disabled=421)
        self.assertEqual(self.refusal("a@example.org")[0], 450)
        self.now(self.accounts.delete_alias(off.id))
        self.assertEqual(self.refusal("a@example.org"), (451, "4.3.5"))

    def test_catchall_to_own_alias(self) -> None:
        """A catch-all may lead to a mailbox of its domain."""
        self.add_alias(self.domain, "box", has_imap=True, sealing_key=b"public")
        self.add_alias(self.domain, "*", "box@example.org")
        self.assertEqual([t.address for t in self.route("z@example.org").targets],
                         ["box@example.org"])  # fmt: skip

    def test_wide(self) -> None:
        """Aliases that all lead to all end in bounded time."""
        names = [f"n{n}" for n in range(12)]
        for name in names:
            self.add_alias(self.domain, name, *(f"{other}@example.org" for other in names))
        self.assertEqual(self.refusal("n0@example.org"), (451, "4.4.6"))


class PatternTests(SynchronousTestCase):
    """Regular expressions of aliases."""

    def test_groups(self) -> None:
        """$1 takes the first group, missing ones are empty, $0 and $x stay."""
        groups = match_pattern("/^(.+)-(sales|info)$/i", "Denmark-SALES")
        assert groups is not None
        self.assertEqual(substitute("$2+$1@t.test$3$0$x", groups), "SALES+Denmark@t.test$0$x")

    def test_shapes(self) -> None:
        """Flags are g and i; anything else is no pattern."""
        for name in ("/a/", "/a/g", "/a/i", "/a/gi", "/a/ig", "/a/b/"):
            compile_pattern(name)
        for name in ("/a", "a/", "//", "/a/x", "/(/", "/(?=a)/", r"/(a)\1/", "/" + "a" * 500 + "/"):
            self.assertRaises(Invalid, compile_pattern, name)
            self.assertIsNone(match_pattern(name, "a"))

    def test_linear_time(self) -> None:
        """The classic bombs cost no more than their length; others need 2**64 steps for 64."""
        for pattern in (r"/^(a+)+$/", r"/^(a|aa)+$/", r"/^(a|a?)+$/", r"/(.*)*x/"):
            match_pattern(pattern, "a" * 64 + "!")
            assert_linear(
                self,
                lambda n, p=pattern: match_pattern(p, "a" * n + "!"),
                100_000,
                pattern,  # type: ignore[misc]
            )

    @settings(max_examples=100, deadline=None)
    @given(st.text(max_size=30), st.text(max_size=20))
    def test_any_text(self, body: str, local: str) -> None:
        """Any expression either compiles or is Invalid; matching never raises."""
        groups = match_pattern(f"/{body}/", local)
        if groups is not None:
            self.assertEqual({type(group) for group in groups} - {str}, set())
