"""Tests of what is refused and told when an account, a domain or an alias is saved or removed."""

from typing import Any

from twisted.python.failure import Failure

from fe_mail.accounts.aliases import Aliases
from fe_mail.accounts.domains import Domains
from fe_mail.accounts.explaining import may_see_all, sees
from fe_mail.accounts.prospects import Prospects
from fe_mail.accounts.routing import Router
from fe_mail.adapters.memory.resolver import TableResolver
from fe_mail.adapters.memory.vantage import TableVantage
from fe_mail.model.account import Alias, Domain, Member, User
from fe_mail.model.address import parse_address
from fe_mail.model.errors import Invalid
from fe_mail.model.route import Cause
from fe_mail.model.sentence import Sentence
from tests.accounts.fakes import AccountsTestCase
from tests.accounts.processes import ProcessesTestCase
from tests.accounts.test_domains import GREETINGS, OWN, SITE, keygen


class ProspectsTestCase(AccountsTestCase):
    """``example.org`` of ``user@example.com``, without aliases."""

    def setUp(self) -> None:
        """The services on one router."""
        super().setUp()
        self.router = Router(self.accounts)
        self.prospects = Prospects(self.accounts, self.router)
        self.aliases = Aliases(
            self.accounts,
            self.keyring,
            self.mailboxes,
            self.bus,
            self.clock,
            SITE,
            router=self.router,
        )
        self.domain = self.add_domain("example.org")

    def create(self, name: str, *recipients: str, **fields: Any) -> Alias:
        """Through the service."""
        given = {"name": name, "recipients": list(recipients), **fields}
        return self.now(self.aliases.create(self.user, self.domain, given))

    def refused(self, name: str, *recipients: str, **fields: Any) -> str:
        """Why it is refused."""
        given = {"name": name, "recipients": list(recipients), **fields}
        error = self.fails(Invalid, self.aliases.create(self.user, self.domain, given))
        self.assertEqual((error.field, error.code), ("recipients", "ALIAS_LEADS_NOWHERE"))
        return error.message

    def change(self, alias: Alias, **fields: Any) -> Alias:
        """Through the service."""
        return self.now(self.aliases.update(self.user, self.domain, alias, fields))

    def warned(self, alias: Alias, reader: User | None = None) -> list[str]:
        """What is told about an alias."""
        domain = self.now(self.accounts.domain(alias.domain_id))
        alias = self.now(self.accounts.alias(alias.id))
        return texts(self.now(self.prospects.of_alias(reader or self.user, domain, alias)))


def texts(sentences: list[Sentence]) -> list[str]:
    """In English."""
    return [str(sentence) for sentence in sentences]


class CircleTests(ProspectsTestCase):
    """What can never arrive is not stored."""

    def test_itself(self) -> None:
        """An alias that leads to itself alone, in any spelling."""
        for recipient in ("a@example.org", "A@Example.org", "a+tag@example.org", '"a"@example.org'):
            self.assertEqual(self.refused("a", recipient), "a@example.org leads to itself.")

    def test_itself_besides(self) -> None:
        """With a mailbox or another recipient something arrives. Without a mailbox there is no
        copy here, and that is told."""
        self.assertEqual(self.warned(self.create("a", "a@example.org", has_imap=True)), [NOT_YET])
        both = self.create("b", "b@example.org", "x@t.test")
        self.assertEqual(self.warned(both), ["b@example.org leads to itself."])

    def test_two(self) -> None:
        """A to B is told as long as there is no B; B to A is refused, by creation and change."""
        first = self.create("a", "b@example.org")
        missing = "a@example.org leads to b@example.org, which does not exist."
        self.assertEqual(self.warned(first), [missing])
        circle = "a@example.org leads back to b@example.org, in a circle."
        self.assertEqual(self.refused("b", "a@example.org"), circle)
        second = self.create("b", "x@t.test")
        self.assertEqual(self.warned(first), [])
        fields = {"recipients": ["a@example.org"]}
        error = self.fails(Invalid, self.aliases.update(self.user, self.domain, second, fields))
        self.assertEqual(error.field, "recipients")
        self.assertEqual(self.now(self.accounts.alias(second.id)).recipients, ("x@t.test",))

    def test_renamed(self) -> None:
        """Another name may close a circle too."""
        alias = self.create("a", "b@example.org")
        self.fails(Invalid, self.aliases.update(self.user, self.domain, alias, {"name": "b"}))

    def test_circle_of_before(self) -> None:
        """What two made at once, or an older version stored, hinders no other change."""
        alias = self.add_alias(self.domain, "a", "b@example.org")
        self.add_alias(self.domain, "b", "a@example.org")
        self.assertEqual(self.change(alias, description="d").description, "d")
        fields = {"recipients": ["a@example.org"]}
        self.fails(Invalid, self.aliases.update(self.user, self.domain, alias, fields))

    def test_into_a_circle(self) -> None:
        """Who leads into a circle of others is told; they may mend it."""
        self.add_alias(self.domain, "b", "c@example.org")
        self.add_alias(self.domain, "c", "b@example.org")
        self.add_alias(self.domain, "e")
        alias = self.create("a", "b@example.org")
        circle = "c@example.org leads back to b@example.org, in a circle."
        self.assertEqual(self.warned(alias), [circle])
        empty = "e@example.org has neither a mailbox nor recipients."
        self.assertEqual(self.warned(self.create("d", "e@example.org")), [empty])

    def test_through_another_domain(self) -> None:
        """Also by way of other domains."""
        other = self.add_domain("other.test")
        self.add_alias(other, "b", "a@example.org")
        self.refused("a", "b@other.test")

    def test_catch_all(self) -> None:
        """A catch-all to what only it takes; to an alias that is there it is fine."""
        text = self.refused("*", "me@example.org")
        self.assertEqual(text, ONLY_CAUGHT.format("me"))
        self.create("me", "x@t.test")
        self.assertEqual(self.warned(self.create("*", "me@example.org")), [])

    def test_behind_a_catch_all(self) -> None:
        """An alias whose recipient falls back to the catch-all that leads to it."""
        self.create("me", "x@t.test")
        self.create("*", "me@example.org")
        self.refused("me2", "me2@example.org")
        me = self.now(self.accounts.alias_named(self.domain.id, "me"))
        fields = {"recipients": ["gone@example.org"]}
        self.fails(Invalid, self.aliases.update(self.user, self.domain, me, fields))

    def test_own_domain_as_host(self) -> None:
        """“The same name at this host” where the host is the domain itself."""
        for name in ("*", "a", "/^x/"):
            text = self.refused(name, "example.org")
            self.assertEqual(text, f"{name}@example.org leads to itself.")

    def test_pattern(self) -> None:
        """A regex that takes what it leads to; what depends on the match cannot be told."""
        self.refused("/^a/", "abc@example.org")
        self.assertEqual(self.warned(self.create("/^(.+)-b$/", "$1@example.org")), [])

    def test_disabled(self) -> None:
        """What is switched off may lead anywhere, and is refused when it is switched on."""
        alias = self.create("a", "a@example.org", is_enabled=False)
        self.assertEqual(self.warned(alias), [])
        self.fails(
            Invalid, self.aliases.update(self.user, self.domain, alias, {"is_enabled": True})
        )

    def test_default_recipient(self) -> None:
        """The account's own address, when it is the alias itself: a mailbox is needed."""
        self.user = self.change_user(self.user, email="me@example.org")
        self.refused("me")
        self.assertEqual(self.create("me", has_imap=True).recipients, ())

    def test_deep(self) -> None:
        """A chain that is too long for mail is too long to be stored."""
        for number in range(11):
            self.add_alias(self.domain, f"n{number}", f"n{number + 1}@example.org")
        self.add_alias(self.domain, "n11", "x@t.test")
        self.refused("start", "n0@example.org")

    def test_sharing(self) -> None:
        """Two that name each other and share what they get are no circle."""
        self.add_alias(self.domain, "a", "b@example.org", "x@t.test")
        b = self.create("b", "a@example.org", "y@t.test")
        self.assertEqual(self.warned(b), [])
        route = self.now(self.router.route(parse_address("a@example.org")))
        self.assertEqual([each.address for each in route.targets], ["y@t.test", "x@t.test"])

    def test_diamond(self) -> None:
        """Two ways to one alias are no circle either."""
        self.create("d", "x@t.test")
        self.create("b", "d@example.org")
        self.create("c", "d@example.org")
        self.assertEqual(self.warned(self.create("a", "b@example.org", "c@example.org")), [])


ONLY_CAUGHT = (
    "{}@example.org has no alias of its own, so the catch-all that leads to it is a circle."
)
NOT_YET = (
    "The mailbox of a@example.org takes no mail before its first password: "
    "until then senders are asked to try again."
)


class WarningTests(ProspectsTestCase):
    """What may be meant is stored and told."""

    def test_fine(self) -> None:
        """Nothing is told of what works."""
        self.assertEqual(self.warned(self.create("a", "x@t.test")), [])

    def test_one_of_several(self) -> None:
        """A dead branch is told of though the others arrive."""
        alias = self.create("a", "gone@example.org", "x@t.test")
        missing = "a@example.org leads to gone@example.org, which does not exist."
        self.assertEqual(self.warned(alias), [missing])

    def test_disabled_target(self) -> None:
        """A target that is switched off, and what happens there."""
        box = self.create("box", "x@t.test")
        alias = self.create("a", "box@example.org")
        self.assertEqual(self.warned(alias), [])
        self.change(box, is_enabled=False, error_code_if_disabled=250)
        lost = ["box@example.org is disabled, and its mail is thrown away."]
        self.assertEqual(self.warned(alias), lost)
        self.assertEqual(texts(self.now(self.prospects.of_loss(self.user, box.address))), lost)

    def test_removed_target(self) -> None:
        """Removing what another relies on tells of the other, also in another domain."""
        box = self.create("box", "x@t.test")
        self.create("a", "box@example.org")
        other = self.add_domain("other.test")
        self.add_alias(other, "b", "BOX+t@example.org", "y@t.test")
        self.add_alias(other, "c", "box@example.com")
        self.now(self.aliases.delete(self.user, self.domain, box))
        expected = [
            "a@example.org leads to box@example.org, which does not exist.",
            "b@other.test leads to box@example.org, which does not exist.",
        ]
        self.assertEqual(texts(self.now(self.prospects.of_loss(self.user, box.address))), expected)

    def test_removed_catch_all(self) -> None:
        """What only a catch-all took is told of when it goes."""
        catch_all = self.create("*", "x@t.test")
        alias = self.create("a", "any@example.org")
        self.assertEqual(self.warned(alias), [])
        self.now(self.aliases.delete(self.user, self.domain, catch_all))
        found = texts(self.now(self.prospects.of_loss(self.user, catch_all.address)))
        self.assertEqual(found, ["a@example.org leads to any@example.org, which does not exist."])

    def test_removed_behind_a_catch_all(self) -> None:
        """The mailbox goes that the catch-all leads to: everything is a circle now."""
        box = self.create("box", "x@t.test")
        self.create("*", "box@example.org")
        self.now(self.aliases.delete(self.user, self.domain, box))
        found = texts(self.now(self.prospects.of_loss(self.user, box.address)))
        self.assertEqual(found, [ONLY_CAUGHT.format("box")])

    def test_removed_domain(self) -> None:
        """Aliases of other domains that led into it."""
        other = self.add_domain("other.test")
        self.add_alias(other, "b", "box@example.org")
        self.add_alias(other, "c", "example.org")
        self.now(self.accounts.delete_domain(self.domain.id))
        found = texts(self.now(self.prospects.of_lost_domain(self.user, "example.org")))
        self.assertEqual([text.split()[0] for text in found], ["b@other.test", "c@other.test"])

    def test_pending(self) -> None:
        """A recipient that has not confirmed, alone and besides."""
        alias = self.create("a", "x@t.test", has_recipient_verification=True)
        text = "x@t.test has not confirmed yet, so a@example.org sends nothing there."
        self.assertEqual(self.warned(alias), [text])
        route = self.now(self.router.route(parse_address("a@example.org")))
        assert route.refusal is not None
        self.assertEqual(route.refusal.code, 450)

    def test_kept_mailbox(self) -> None:
        """A mailbox that is kept though the alias only forwards."""
        alias = self.add_alias(self.domain, "a", "x@t.test", sealing_key=b"public")
        (text,) = self.warned(alias)
        self.assertIn("takes no new mail and that nobody can sign in to", text)

    def test_unverified_domain(self) -> None:
        """No mail comes to a domain whose owner is not known, or is another account."""
        domain = self.add_domain("new.test", has_txt_record=False)
        alias = self.add_alias(domain, "a", "x@t.test")
        self.assertIn("not proven yet", self.warned(alias)[0])
        self.add_domain("new.test", self.admin)
        self.assertIn("goes to another account", self.warned(alias)[0])

    def test_account(self) -> None:
        """An account whose address is hosted here and leads nowhere."""
        self.assertEqual(self.now(self.prospects.of_account(self.user)), [])
        user = self.change_user(self.user, email="me@example.org")
        first, why = texts(self.now(self.prospects.of_account(user)))
        self.assertIn("reaches nobody yet", first)
        self.assertEqual(why, "me@example.org does not exist.")
        self.create("me", "x@t.test")
        self.assertEqual(self.now(self.prospects.of_account(user)), [])

    def test_domain(self) -> None:
        """A domain where nobody hears of trouble."""
        self.assertEqual(self.now(self.prospects.of_domain(self.user, self.domain)), [])
        self.change_user(self.user, email="me@example.org")
        self.change_user(self.admin, is_banned=True)
        found = texts(self.now(self.prospects.of_domain(self.user, self.domain)))
        roles = [text.split()[2] for text in found]
        self.assertEqual(roles, ["postmaster@example.org", "abuse@example.org"])


class PrivacyTests(ProspectsTestCase):
    """Where other people's aliases lead is theirs."""

    def setUp(self) -> None:
        """Somebody else's domain, and an alias that leads there."""
        super().setUp()
        self.other = self.add_user("other@example.com")
        self.theirs = self.add_domain("theirs.test", self.other)
        self.add_alias(self.theirs, "bob", "secret@theirs.test", user_id=self.other.id)
        self.mine = self.create("a", "bob@theirs.test")

    def test_warning(self) -> None:
        """That it ends is told, not where and why; the operator hears all."""
        self.assertEqual(self.warned(self.mine), ["bob@theirs.test takes no mail at the moment."])
        self.assertIn("secret@theirs.test", self.warned(self.mine, self.admin)[0])

    def test_route(self) -> None:
        """The hidden target is not shown, neither as target nor on the way."""
        self.add_alias(self.theirs, "secret", "hidden@t.test", user_id=self.other.id)
        route = self.now(self.router.route(parse_address("a@example.org")))
        may_see = sees(self.user)
        shown = [(each.courier, each.address) for each in route.shown(may_see)]
        self.assertEqual(shown, [("onward", "bob@theirs.test")])
        self.assertEqual(route.passed(may_see), ("bob@theirs.test",))
        shown = [(each.courier, each.address) for each in route.shown(may_see_all)]
        self.assertEqual(shown, [("forward", "hidden@t.test")])

    def test_rival_claim(self) -> None:
        """Whoever claims a name that another has proven learns nothing of its aliases."""
        claim = self.add_domain("theirs.test", has_txt_record=False)
        address = parse_address("bob@theirs.test")
        route = self.now(self.router.route(address, claim=claim.id))
        self.assertEqual((route.targets, route.passed(sees(self.user))), ((), ()))

    def test_members(self) -> None:
        """A member who is no admin is shown the ways of his own aliases only."""
        member = Member(user_id=self.other.id, group="user")
        self.now(self.accounts.set_member(self.domain.id, member))
        self.add_alias(self.domain, "his", "his@t.test", user_id=self.other.id)
        self.create("not-his", "secret@t.test")
        for name, expected in (
            ("his", ("forward", "his@t.test")),
            ("not-his", ("onward", "not-his@example.org")),
        ):
            route = self.now(self.router.route(parse_address(f"{name}@example.org")))
            (shown,) = route.shown(sees(self.other))
            self.assertEqual((shown.courier, shown.address), expected)


class RaceTests(ProspectsTestCase):
    """Two saves at once that together make what each alone would not."""

    def test_loop(self) -> None:
        """Each was right when it was looked at; mail comes back later, and somebody is told."""
        a = self.create("a", "x@t.test")
        b = self.create("b", "y@t.test")
        self.change_alias(a, recipients=("b@example.org",))
        self.change_alias(b, recipients=("a@example.org",))
        route = self.now(self.router.route(parse_address("a@example.org")))
        assert route.refusal is not None
        assert route.fault is not None
        self.assertEqual((route.refusal.code, route.refusal.enhanced), (451, "4.4.6"))
        circle = "b@example.org leads back to a@example.org, in a circle."
        self.assertEqual(self.warned(a), [circle])

    def test_one_branch(self) -> None:
        """Only one branch loops: the other is delivered."""
        self.add_alias(self.domain, "a", "b@example.org", "c@example.org")
        self.add_alias(self.domain, "b", "a@example.org")
        self.add_alias(self.domain, "c", "x@t.test")
        for name in ("a", "b"):
            route = self.now(self.router.route(parse_address(f"{name}@example.org")))
            self.assertEqual([each.address for each in route.targets], ["x@t.test"])


class NewDomainTests(ProspectsTestCase):
    """The README's first steps."""

    def setUp(self) -> None:
        """An account at the domain that it is about to add."""
        super().setUp()
        self.owner = self.add_user("admin@new.test")
        self.domains = Domains(
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

    def add(self, catchall: bool | str = True, **settings: Any) -> Domain:
        """Through the service, and verified."""
        domain = self.now(
            self.domains.create(self.owner, "new.test", catchall=catchall, **settings)
        )
        return self.now(self.accounts.update_domain(domain.id, 0.0, has_txt_record=True))

    def test_own_address(self) -> None:
        """An own-domain account address becomes a mailbox, and the catch-all leads there."""
        domain = self.add()
        own = self.now(self.accounts.alias_named(domain.id, "admin"))
        self.assertEqual((own.has_imap, own.recipients), (True, ()))
        for name in ("admin", "anything"):
            route = self.now(self.router.route(parse_address(f"{name}@new.test")))
            assert route.refusal is not None
            self.assertEqual(route.refusal.code, 450)  # waits for the password
        self.now(self.aliases.generate_password(self.owner, domain, own))
        for name in ("admin", "anything", "postmaster", "abuse"):
            route = self.now(self.router.route(parse_address(f"{name}@new.test")))
            self.assertEqual([each.address for each in route.targets], ["admin@new.test"], name)

    def test_catch_all_told(self) -> None:
        """Where a catch-all that was asked for ends is told when the domain is added."""
        self.add_domain("other.test")
        domain = self.add(catchall="gone@other.test")
        found = texts(self.now(self.prospects.of_new_domain(self.owner, domain)))
        self.assertIn("*@new.test leads to gone@other.test, which does not exist.", found)

    def test_account_with_a_tag(self) -> None:
        """The mailbox is that of the name without the tag."""
        self.owner = self.change_user(self.owner, email="admin+fe@new.test")
        domain = self.add()
        self.assertTrue(self.now(self.accounts.alias_named(domain.id, "admin")).has_imap)

    def test_elsewhere(self) -> None:
        """An account elsewhere needs no mailbox."""
        self.owner = self.change_user(self.owner, email="admin@gmail.test")
        domain = self.add()
        self.assertEqual(domain.alias_count, 1)

    def test_named(self) -> None:
        """A catch-all may name the own address; other addresses of the domain lead nowhere yet."""
        domain = self.add("admin@new.test, x@t.test")
        self.assertEqual(domain.alias_count, 2)
        self.now(self.accounts.delete_domain(domain.id))
        error = self.fails(
            Invalid, self.domains.create(self.owner, "new.test", catchall="info@new.test")
        )
        self.assertEqual((error.field, error.code), ("catchall", "ALIAS_LEADS_NOWHERE"))
        self.assertEqual(self.now(self.accounts.domains_named("new.test")), ())

    def test_without(self) -> None:
        """Who wants no aliases gets none; without a catch-all the own address is a mailbox."""
        domain = self.add(False)
        self.assertEqual(domain.alias_count, 0)
        self.now(self.accounts.delete_domain(domain.id))
        domain = self.add(is_catchall_regex_disabled=True)
        self.assertEqual((domain.alias_count, domain.has_catchall), (1, False))

    def test_name_that_cannot_be(self) -> None:
        """An own address that no alias can have: another recipient is needed."""
        self.owner = self.change_user(self.owner, email='"a b"@new.test')
        self.fails(Invalid, self.domains.create(self.owner, "new.test"))


class GlanceTests(ProspectsTestCase):
    """How much is asked of the store, whatever the size of a page."""

    def setUp(self) -> None:
        """Count the questions."""
        super().setUp()
        self.asked = 0
        for name in ("route_rows", "user", "users", "domains", "aliases"):
            self.patch(self.accounts, name, self.counted(getattr(self.accounts, name)))

    def counted(self, ask: Any) -> Any:
        """The same question, counted."""

        def asked(*given: Any) -> Any:
            self.asked += 1
            return ask(*given)

        return asked

    def cost(self, work: Any) -> int:
        """How many questions that takes."""
        before = self.asked
        self.now(work)
        return self.asked - before

    async def look(self, aliases: list[Alias]) -> None:
        """As a page does."""
        glance = self.prospects.at_a_glance()
        for alias in aliases:
            await glance.ways_of(self.user, self.domain, alias)

    def test_page(self) -> None:
        """A hundred aliases of an owner cost what two cost, mailboxes or to domains outside."""
        few, many = (
            [
                self.create(f"u{number}-{count}", f"u{number}@t.test", has_imap=number % 2 > 0)
                for number in range(count)
            ]
            for count in (2, 100)
        )
        self.assertEqual(self.cost(self.look(many)), self.cost(self.look(few)))

    def test_next_page(self) -> None:
        """Nothing is remembered longer than for one page."""
        alias = self.create("a", "b@example.org")
        self.now(self.look([alias]))
        self.create("b", "x@t.test")
        self.assertEqual(self.warned(alias), [])

    def test_save(self) -> None:
        """Who relied on an alias is looked for only when it takes less or other mail."""
        before = self.create("a", "x@t.test")
        after = self.change(before, description="d")
        cost = self.cost(self.prospects.of_change(self.user, self.domain, before, after))
        self.assertEqual(cost, self.cost(self.prospects.of_alias(self.user, self.domain, after)))
        off = self.change(after, is_enabled=False)
        more = self.cost(self.prospects.of_change(self.user, self.domain, after, off))
        self.assertGreater(more, 1)


class TwoAtOnceTests(ProcessesTestCase):
    """Two processes that save at the same moment."""

    def test_circle(self) -> None:
        """
        a to b, and b to a: one of them is refused, or both are stored and mail waits.

        It is never dropped, and whoever looks is told.
        """
        outcomes = {self.both(pause) for pause in range(12)}
        self.assertEqual(outcomes, {"refused", "waits"})

    def both(self, pause: int) -> str:
        """What comes of it if one pauses after so many steps, until the other is done."""
        self.begin_anew()
        processes = (self.process(), self.process())
        saves = [
            process.run(
                process.aliases.create(
                    self.eva, self.domain, {"name": name, "recipients": [f"{other}@example.org"]}
                )
            )
            for process, name, other in zip(processes, "ab", "ba", strict=True)
        ]
        processes[0].steps(pause)
        for process in reversed(processes):
            process.finish()
        refused = [each for each in saves if isinstance(each.result, Failure)]
        for each in refused:
            self.failureResultOf(each, Invalid)
        router = Router(self.onlooker.accounts)
        route = self.now(router.route(parse_address("a@example.org")))
        assert route.refusal is not None
        if refused:
            return "refused"
        assert route.fault is not None
        self.assertEqual((route.refusal.code, route.fault.cause), (451, Cause.LOOP))
        return "waits"
