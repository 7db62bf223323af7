"""Tests of fe_mail.accounts.aliases and alias_fields: rules, rights and passwords."""

from typing import Any

from twisted.internet.defer import Deferred, succeed

from fe_mail.accounts.aliases import MAX_WRONG_PASSWORDS, Aliases, GeneratedPassword
from fe_mail.accounts.login import Login
from fe_mail.accounts.passwords import CHOSEN_ITERATIONS, GENERATED_ITERATIONS
from fe_mail.accounts.site import Site
from fe_mail.model.account import Alias, Member, User
from fe_mail.model.envelope import Peer
from fe_mail.model.errors import (
    AlreadyExists,
    AuthenticationFailed,
    Conflict,
    Invalid,
    NotFound,
    PermissionDenied,
    RateLimited,
    Unavailable,
)
from fe_mail.model.identity import Identity
from fe_mail.model.mailbox import Delivery, NewMessage
from fe_mail.model.page import Query
from tests.accounts.fakes import AccountsTestCase

SITE = Site(hostname="mx.host.test", exchange_domains=("mx.host.test",), web_host="host.test")
CHOSEN = "mulled otter 84 quay"


class AliasesTestCase(AccountsTestCase):
    """``example.org`` of the user, with a member who is no admin."""

    def setUp(self) -> None:
        """An empty domain."""
        super().setUp()
        self.aliases = Aliases(
            self.accounts, self.keyring, self.mailboxes, self.bus, self.clock, SITE
        )
        self.member = self.add_user("member@example.com")
        domain = self.add_domain("example.org", has_smtp=True)
        member = Member(user_id=self.member.id, group="user")
        self.domain = self.now(self.accounts.set_member(domain.id, member))

    def create(self, user: User | None = None, **fields: object) -> Alias:
        """A new alias."""
        self.clock.advance(1)
        return self.now(self.aliases.create(user or self.user, self.domain, fields))

    def refused(self, user: User | None = None, **fields: object) -> Invalid:
        """A new alias that is not allowed."""
        return self.fails(Invalid, self.aliases.create(user or self.user, self.domain, fields))

    def update(self, alias: Alias, user: User | None = None, **fields: object) -> Alias:
        """A change."""
        return self.now(self.aliases.update(user or self.user, self.domain, alias, fields))

    def change_domain(self, **changes: object) -> None:
        """Change the domain in the store."""
        work = self.accounts.update_domain(self.domain.id, self.clock.seconds(), **changes)
        self.domain = self.now(work)


class CreateTests(AliasesTestCase):
    """New aliases."""

    def test_defaults(self) -> None:
        """A random name that forwards to its owner."""
        alias = self.create()
        self.assertRegex(alias.name, r"\A[a-z0-9]{10}\Z")
        self.assertEqual(alias.recipients, (self.user.email,))
        self.assertEqual((alias.is_enabled, alias.has_imap), (True, False))
        self.assertEqual(alias.address, f"{alias.name}@example.org")

    def test_fields(self) -> None:
        """Everything a form may send."""
        alias = self.create(
            name=" Sales ", recipients="A@x.test, https://x.test/Hook", description="<i>S</i>ales",
            labels="Shop, My Work", has_imap="true", error_code_if_disabled="550",
            max_quota="1 GB", is_enabled="false", retention="", unknown="ignored",
        )  # fmt: skip
        self.assertEqual(alias.name, "sales")
        self.assertEqual(alias.recipients, ("a@x.test", "https://x.test/Hook"))
        self.assertEqual((alias.description, alias.labels), ("Sales", ("shop", "my", "work")))
        self.assertEqual((alias.has_imap, alias.is_enabled), (True, False))
        self.assertEqual((alias.error_code_if_disabled, alias.max_quota), (550, 1 << 30))
        self.assertEqual(alias.retention, 0)

    def test_mailbox_without_recipients(self) -> None:
        """A mailbox needs no recipients; without one the owner gets the mail."""
        self.assertEqual(self.create(recipients=[], has_imap=True).recipients, ())
        self.assertEqual(self.create(recipients=[]).recipients, (self.user.email,))

    def test_taken(self) -> None:
        """Names are unique within a domain."""
        self.create(name="a")
        work = self.aliases.create(self.user, self.domain, {"name": "A"})
        self.fails(AlreadyExists, work)

    def test_refused(self) -> None:
        """Each wrong field is named."""
        for field, value in (
            ("name", "a+b"), ("recipients", "nonsense"), ("recipients", 7), ("labels", 7),
            ("error_code_if_disabled", "200"), ("max_quota", "lots"), ("max_quota", "101 GB"),
            ("description", "x" * 200), ("password", "x"), ("public_key", "-----BEGIN PGP"),
            ("retention", "-1"), ("retention", "30"), ("retention", False), ("has_pgp", "true"),
            ("has_smime", True), ("smime_certificate", "-----BEGIN"), ("has_imap", "maybe"),
            ("is_enabled", 2), ("is_enabled", ""), ("has_recipient_verification", []),
            ("recipients", "http://127.0.0.1/x"), ("vacation_responder_start_date", 5),
        ):  # fmt: skip
            self.assertEqual(self.refused(**{field: value}).field, field)
        self.assertEqual(self.refused(new_password="x").field, "password")

    def test_wildcards(self) -> None:
        """Catch-all and expressions: no mailbox, no disabling, and not everywhere."""
        self.assertEqual(self.create(name="**").labels, ("catch-all",))
        self.create(name="/^a(.+)$/", recipients="$1@x.test", is_enabled=False)
        self.assertEqual(self.refused(name="*", has_imap=True).field, "has_imap")
        self.assertEqual(self.refused(name="*", is_enabled=False).field, "is_enabled")
        self.assertEqual(self.refused(name="/(/").code, "INVALID_REGEX")
        self.change_domain(is_catchall_regex_disabled=True)
        self.assertEqual(self.refused(name="/b/").field, "name")

    def test_recipient_limit(self) -> None:
        """Ten, or what the domain says."""
        many = [f"u{n}@x.test" for n in range(11)]
        self.assertEqual(self.refused(recipients=many).code, "EXCEEDED_UNIQUE_COUNT")
        self.change_domain(max_recipients_per_alias=11)
        self.create(recipients=many)

    def test_recipient_verification(self) -> None:
        """The domain's default; only the owner's own address is verified from the start."""
        self.change_domain(has_recipient_verification=True)
        alias = self.create(recipients=["x@y.test", self.user.email])
        self.assertTrue(alias.has_recipient_verification)
        self.assertEqual(alias.verified_recipients, (self.user.email,))
        self.assertEqual(alias.pending_recipients, ("x@y.test",))
        self.assertEqual(self.refused(recipients="https://y.test/").code, "INVALID_RECIPIENT")

    def test_vacation(self) -> None:
        """Its text is kept, but nothing answers yet, so nobody can switch it on."""
        alias = self.create(
            vacation_responder_is_enabled="false", vacation_responder_subject="<b>Away</b>",
            vacation_responder_message="Back\r\nsoon", vacation_responder_start_date="2026-12-01",
        )  # fmt: skip
        responder = alias.vacation_responder
        self.assertEqual((responder.subject, responder.message), ("Away", "Back\nsoon"))
        fields = {
            "vacation_responder_start_date": "2026-12-02",
            "vacation_responder_end_date": "2026-12-01",
        }
        self.assertEqual(self.refused(**fields).code, "INVALID_DATE")
        refused = self.refused(vacation_responder_is_enabled=True)
        self.assertEqual(refused.field, "vacation_responder_is_enabled")


class RightsTests(AliasesTestCase):
    """Admins and members."""

    def test_members(self) -> None:
        """A member adds harmless names of his own, and sees no others."""
        mine = self.create(self.member, name="anna")
        theirs = self.create(name="boss")
        found = self.now(self.aliases.list(self.member, self.domain, Query())).items
        self.assertEqual([alias.id for alias in found], [mine.id])
        self.fails(NotFound, self.aliases.get(self.member, self.domain, "boss"))
        for work in (
            self.aliases.update(self.member, self.domain, theirs, {}),
            self.aliases.delete(self.member, self.domain, theirs),
            self.aliases.generate_password(self.member, self.domain, theirs),
        ):
            self.fails(PermissionDenied, work)

    def test_reserved(self) -> None:
        """Names of authority, wildcards and sizes are the admins'."""
        for name in ("postmaster", "admin", "*", "/x/"):
            self.refused(self.member, name=name)
        self.refused(self.member, max_quota="1 GB")
        self.create(name="postmaster")

    def test_admin_changes_others(self) -> None:
        """An admin changes a member's alias, which stays the member's."""
        alias = self.create(self.member, name="anna", has_imap=True, recipients=[])
        changed = self.update(alias, has_imap=False)
        self.assertEqual(changed.recipients, (self.member.email,))
        self.assertEqual(changed.user_id, self.member.id)

    def test_strangers(self) -> None:
        """Who is no member adds nothing."""
        stranger = self.add_user("stranger@example.com")
        self.fails(PermissionDenied, self.aliases.create(stranger, self.domain, {}))

    def test_other_domain(self) -> None:
        """An alias is changed through its own domain only."""
        other = self.add_domain("other.test")
        alias = self.add_alias(other, "a")
        self.fails(NotFound, self.aliases.update(self.user, self.domain, alias, {}))
        self.fails(NotFound, self.aliases.get(self.user, self.domain, alias.id))

    def test_get(self) -> None:
        """By id, by name in any case, an expression as it is written."""
        alias = self.create(name="anna")
        pattern = self.create(name="/^A$/")
        for key in (alias.id, "anna", "ANNA"):
            self.assertEqual(self.now(self.aliases.get(self.user, self.domain, key)), alias)
        found = self.now(self.aliases.get(self.user, self.domain, "/^A$/"))
        self.assertEqual(found.id, pattern.id)
        for key in ("0" * 24, "", "\ud800", "x\0"):
            self.fails(NotFound, self.aliases.get(self.user, self.domain, key))


class UpdateTests(AliasesTestCase):
    """Changes."""

    def test_absent_fields(self) -> None:
        """Everything stays; what is empty becomes empty."""
        alias = self.create(name="a", recipients="x@y.test", description="d", labels="l",
                            has_imap=True, max_quota="1 GB")  # fmt: skip
        changed = self.update(alias)
        self.assertEqual((changed.description, changed.labels), ("d", ("l",)))
        self.assertEqual(changed.recipients, ("x@y.test",))
        self.assertEqual((changed.name, changed.has_imap, changed.max_quota), ("a", True, 1 << 30))
        changed = self.update(alias, description="", labels="", max_quota="")
        self.assertEqual((changed.description, changed.labels, changed.max_quota), ("", (), 0))

    def test_labels_follow_the_name(self) -> None:
        """A catch-all has the label of its own, and loses it with its name."""
        alias = self.create(name="*", labels="l")
        self.assertEqual(self.update(alias, name="a").labels, ("l",))

    def test_webhook_of_before(self) -> None:
        """An address that is not allowed any more hinders no other change."""
        alias = self.change_alias(self.create(name="a"), recipients=("http://127.0.0.1/x",))
        self.assertEqual(self.update(alias, description="d").description, "d")

    def test_rename(self) -> None:
        """A free name is fine, a taken one not."""
        alias = self.create(name="a")
        self.create(name="b")
        self.assertEqual(self.update(alias, name="c").name, "c")
        work = self.aliases.update(self.user, self.domain, alias, {"name": "b"})
        self.fails(AlreadyExists, work)

    def test_verified_recipients_stay(self) -> None:
        """What was verified once is not asked for again."""
        alias = self.create(recipients=["x@y.test"])
        alias = self.change_alias(alias, verified_recipients=("x@y.test",))
        changed = self.update(alias, recipients="x@y.test,z@y.test",
                              has_recipient_verification=True)  # fmt: skip
        self.assertEqual(changed.verified_recipients, ("x@y.test",))
        self.assertEqual(changed.pending_recipients, ("z@y.test",))

    def test_changed_meanwhile(self) -> None:
        """What another request stored since ours read the alias stays, unless we say otherwise."""
        fields = {"recipients": ["x@y.test"], "has_recipient_verification": True}
        stale = self.create(name="a", labels="l", **fields)
        self.change_alias(stale, pending_recipients=(), verified_recipients=("x@y.test",))
        changed = self.update(stale, description="d")
        self.assertEqual(changed.description, "d")
        self.assertEqual(changed.verified_recipients, ("x@y.test",))
        self.assertEqual(changed.pending_recipients, ())
        self.change_alias(stale, name="b", labels=("m",))
        changed = self.update(stale, recipients=["x@y.test", "z@y.test"])
        self.assertEqual((changed.name, changed.labels), ("b", ("m",)))
        self.assertEqual(changed.verified_recipients, ("x@y.test",))
        self.assertEqual(changed.pending_recipients, ("z@y.test",))

    def test_changed_all_the_time(self) -> None:
        """Whoever meets another change at every try is told to come again."""
        alias = self.create(name="a")
        self.change_alias(alias, labels=("m",))
        self.patch(self.accounts, "alias", lambda alias_id: succeed(alias))
        self.fails(Conflict, self.aliases.update(self.user, self.domain, alias, {"labels": "x"}))

    def test_limit_of_before(self) -> None:
        """More recipients than a new alias may have hinder no other change; more may not come."""
        many = tuple(f"u{number}@y.test" for number in range(12))
        alias = self.change_alias(self.create(name="a"), recipients=many)
        self.assertFalse(self.update(alias, is_enabled=False).is_enabled)
        fields = {"recipients": [*many, "more@y.test"]}
        error = self.fails(Invalid, self.aliases.update(self.user, self.domain, alias, fields))
        self.assertEqual(error.code, "EXCEEDED_UNIQUE_COUNT")

    def test_sessions_end(self) -> None:
        """Disabling an alias ends its sessions; a new description does not."""
        heard: list[object] = []
        alias = self.create(has_imap=True)
        self.bus.subscribe(f"credentials:{alias.id}", heard.append)
        alias = self.update(alias, description="x")
        self.clock.advance(0)
        self.assertEqual(heard, [])
        self.update(alias, is_enabled=False)
        self.clock.advance(0)
        self.assertEqual(len(heard), 1)

    def test_quota_reaches_mailbox(self) -> None:
        """A new limit holds at once."""
        alias = self.create(has_imap=True)
        self.add_credential(alias, "x")
        alias = self.now(self.accounts.alias(alias.id))
        self.update(alias, max_quota="2 MB")
        mailbox = self.now(self.mailboxes.unlock(alias.id, b"k" * 32))
        self.assertEqual(self.now(mailbox.quota()).limit_octets, 2 << 20)

    def test_delete(self) -> None:
        """Alias, passwords and mailbox go."""
        alias = self.create(has_imap=True)
        self.add_credential(alias, "x")
        self.now(self.aliases.delete(self.user, self.domain, alias))
        self.fails(NotFound, self.accounts.alias(alias.id))
        self.fails(NotFound, self.mailboxes.unlock(alias.id, b"k" * 32))


class PasswordTests(AliasesTestCase):
    """Passwords, recovery and beginning anew, with real logins."""

    def setUp(self) -> None:
        """``alice`` with a mailbox that has no password yet."""
        super().setUp()
        self.login = Login(
            self.accounts, self.keyring, self.counters, self.clock, self.failed_logins, self.errands
        )
        self.alice = self.create(name="alice", has_imap=True, recipients=[])

    def generate(
        self, *, new_password: str = "", password: str = "", is_override: bool = False
    ) -> GeneratedPassword:
        """A password that is granted."""
        return self.now(
            self.aliases.generate_password(
                self.user, self.domain, self.alice, new_password=new_password,
                password=password, is_override=is_override,
            )
        )  # fmt: skip

    def enter(self, password: str) -> Identity:
        """Log in as a mail client."""
        peer = Peer(ip="192.0.2.1")
        work = self.login.authenticate("alice@example.org", password, peer, "imap")
        return self.now(work)

    def deliver(self, number: int) -> None:
        """A message arrives for the mailbox as it is now."""
        alias = self.now(self.accounts.alias(self.alice.id))
        message = NewMessage(raw=b"Subject: x\r\n\r\n", received_at=self.clock.seconds())
        delivery = Delivery(id=f"d{number}", message=message)
        self.now(self.mailboxes.deliver(alias.id, alias.sealing_key, delivery))

    def inbox(self, password: str) -> int:
        """How many messages its owner finds."""
        identity = self.enter(password)
        mailbox = self.now(self.mailboxes.unlock(identity.alias.id, identity.mailbox_key))
        (status,) = self.now(mailbox.status(["INBOX"]))
        mailbox.close()
        return status.messages

    def test_first(self) -> None:
        """The first password makes the mailbox, with its quota and a recovery code."""
        made = self.generate()
        self.assertEqual(made.username, "alice@example.org")
        self.assertEqual(len(made.password), 24)
        self.assertTrue(made.recovery_code)
        self.assertFalse(made.mailbox_kept)
        self.deliver(1)
        self.assertEqual(self.inbox(made.password), 1)
        key = self.enter(made.password).mailbox_key
        mailbox = self.now(self.mailboxes.unlock(self.alice.id, key))
        self.assertEqual(self.now(mailbox.quota()).limit_octets, SITE.default_quota_octets)

    def test_iterations(self) -> None:
        """Few rounds for random passwords, many for those that people choose."""
        first = self.generate()
        self.assertEqual({c.iterations for c in self._credentials()}, {GENERATED_ITERATIONS})
        self.generate(password=first.password, new_password=CHOSEN)
        chosen = [c.iterations for c in self._credentials() if c.kind == "password"]
        self.assertEqual(chosen, [CHOSEN_ITERATIONS])
        self.enter(CHOSEN)

    def _credentials(self) -> tuple[object, ...]:
        return self.now(self.accounts.credentials(self.alice.id))

    def test_change_keeps_mail(self) -> None:
        """With the old password a new one opens the same mailbox; the old one is gone."""
        first = self.generate()
        self.deliver(1)
        second = self.generate(password=first.password)
        self.assertTrue(second.mailbox_kept)
        self.assertEqual(second.recovery_code, "")
        self.assertEqual(self.inbox(second.password), 1)
        work = self.login.authenticate("alice@example.org", first.password, Peer(), "imap")
        self.fails(AuthenticationFailed, work)

    def test_recovery(self) -> None:
        """The recovery code, however typed, keeps the mail too, again and again."""
        first = self.generate()
        self.deliver(1)
        second = self.generate(password=first.recovery_code.lower().replace("-", " "))
        self.assertEqual(self.inbox(second.password), 1)
        third = self.generate(password=first.recovery_code)
        self.assertEqual(self.inbox(third.password), 1)

    def test_override(self) -> None:
        """Without any secret only an empty mailbox is possible, and one has to say so."""
        first = self.generate()
        self.deliver(1)
        work = self.aliases.generate_password(self.user, self.domain, self.alice)
        self.assertEqual(self.fails(Invalid, work).code, "ALIAS_OVERRIDE_REQUIRED")
        second = self.generate(is_override=True)
        self.assertFalse(second.mailbox_kept)
        self.assertNotEqual(second.recovery_code, first.recovery_code)
        self.assertEqual(self.inbox(second.password), 0)
        work = self.aliases.generate_password(
            self.user, self.domain, self.alice, password=first.recovery_code
        )
        self.fails(AuthenticationFailed, work)

    def test_override_seals_nothing_to_the_old_key(self) -> None:
        """While the mailbox is replaced its alias has no key, so couriers wait."""
        self.generate()
        seen = []
        for name in ("settle", "create"):
            original = getattr(self.mailboxes, name)

            async def watched(*words: Any, original: Any = original) -> Any:
                seen.append((await self.accounts.alias(self.alice.id)).sealing_key)
                return await original(*words)

            self.patch(self.mailboxes, name, watched)
        self.generate(is_override=True)
        made = self.now(self.accounts.alias(self.alice.id)).sealing_key
        self.assertTrue(made)
        self.assertEqual(seen, [b"", b"", made])

    def test_two_at_once(self) -> None:
        """The second of two first passwords finds the mailbox of the other and asks."""
        derived: Deferred[None] = Deferred()
        original = self.keyring.salted_password

        async def slow(*words: Any) -> bytes:
            if not derived.called:
                await derived
            return await original(*words)

        self.patch(self.keyring, "salted_password", slow)
        first, second = (
            Deferred.fromCoroutine(
                self.aliases.generate_password(self.user, self.domain, self.alice)
            )
            for _ in range(2)
        )
        self.assertNoResult(first)
        self.assertNoResult(second)
        derived.callback(None)
        self.enter(self.successResultOf(first).password)
        refusal = self.failureResultOf(second, Invalid).value
        self.assertEqual(refusal.code, "ALIAS_OVERRIDE_REQUIRED")

    def test_both(self) -> None:
        """Keeping and destroying at once is a misunderstanding."""
        first = self.generate()
        work = self.aliases.generate_password(
            self.user, self.domain, self.alice, password=first.password, is_override=True
        )
        self.fails(Invalid, work)
        self.enter(first.password)

    def test_wrong_is_limited(self) -> None:
        """Ten wrong passwords an hour and user; nothing is lost by them."""
        first = self.generate()
        for n in range(10):
            work = self.aliases.generate_password(
                self.user, self.domain, self.alice, password=f"wrong {n}"
            )
            self.fails(AuthenticationFailed, work)
        work = self.aliases.generate_password(
            self.user, self.domain, self.alice, password=first.password
        )
        self.assertTrue(self.fails(RateLimited, work).retry_after_seconds > 3000)
        self.clock.advance(3601)
        self.generate(password=first.password)

    def test_limit_and_the_clock(self) -> None:
        """A date that goes back does not keep the owner out until the hour comes again."""
        first = self.generate()
        for n in range(10):
            work = self.aliases.generate_password(
                self.user, self.domain, self.alice, password=f"wrong {n}"
            )
            self.fails(AuthenticationFailed, work)
        self.clock.rightNow -= 86_400.0
        self.generate(password=first.password)

    def test_crowd_of_guesses(self) -> None:
        """Guesses that come at once pass the limit no more than those that come one by one."""
        self.generate()
        gate: Deferred[None] = Deferred()
        derive = self.keyring.salted_password

        async def wait_and_derive(*words: Any) -> bytes:
            await gate
            return bytes(await derive(*words))

        self.patch(self.keyring, "salted_password", wait_and_derive)
        crowd = [
            Deferred.fromCoroutine(
                self.aliases.generate_password(
                    self.user, self.domain, self.alice, password=f"wrong {number}"
                )
            )
            for number in range(MAX_WRONG_PASSWORDS + 3)
        ]
        for late in crowd[MAX_WRONG_PASSWORDS:]:
            self.failureResultOf(late, RateLimited)
        gate.callback(None)
        for looked_at in crowd[:MAX_WRONG_PASSWORDS]:
            self.failureResultOf(looked_at, AuthenticationFailed)

    def test_not_looked_at(self) -> None:
        """A password that nobody had time to look at was not wrong."""
        first = self.generate()

        async def busy(*_: Any) -> bytes:
            raise Unavailable("busy")

        with_time = self.keyring.salted_password
        self.keyring.salted_password = busy
        for _ in range(MAX_WRONG_PASSWORDS + 1):
            work = self.aliases.generate_password(
                self.user, self.domain, self.alice, password=first.password
            )
            self.fails(Unavailable, work)
        self.keyring.salted_password = with_time
        self.generate(password=first.password)

    def test_weak(self) -> None:
        """A chosen password must be strong, without quotes, and not the address."""
        for weak in ("password1", "alice@example.org", 'mulled "otter" 84 quay'):
            work = self.aliases.generate_password(
                self.user, self.domain, self.alice, new_password=weak
            )
            self.assertEqual(self.fails(Invalid, work).field, "new_password")
        self.assertEqual(self._credentials(), ())

    def test_wildcards_have_none(self) -> None:
        """Nobody signs in as a catch-all or an expression."""
        for name in ("*", "/x/"):
            alias = self.create(name=name)
            work = self.aliases.generate_password(self.user, self.domain, alias)
            self.fails(Invalid, work)

    def test_sessions_end(self) -> None:
        """Every new password ends the sessions of the old ones."""
        heard: list[object] = []
        self.bus.subscribe(f"credentials:{self.alice.id}", heard.append)
        first = self.generate()
        self.generate(password=first.password)
        self.clock.advance(0)
        self.assertEqual(len(heard), 2)

    def test_after_a_crash(self) -> None:
        """A mailbox that was made and never got its password is in nobody's way."""
        self.now(self.mailboxes.create(self.alice.id, b"x" * 32))
        self.assertEqual(self.enter(self.generate().password).alias.id, self.alice.id)

    def test_sending_only(self) -> None:
        """An alias without IMAP gets a password for sending."""
        alias = self.create(name="sender")
        made = self.now(self.aliases.generate_password(self.user, self.domain, alias))
        work = self.login.authenticate("sender@example.org", made.password, Peer(), "smtp")
        self.assertEqual(self.now(work).alias.id, alias.id)
