"""Tests of postmaster and abuse: they reach somebody, whatever the aliases say."""

from fe_mail.accounts.in_charge import server_admins
from fe_mail.model.account import User
from tests.accounts.test_routing import RoutingTestCase

ROLES = ("postmaster", "abuse")


class InChargeTests(RoutingTestCase):
    """RFC 5321 §4.5.1; RFC 2142 §4."""

    def reached(self, address: str) -> list[str]:
        """Couriers and addresses of the targets."""
        return [f"{each.courier} {each.address}" for each in self.route(address).targets]

    def forget_admin(self) -> None:
        """The server's admin cannot be reached."""
        self.change_user(self.admin, is_banned=True)

    def at_home(self, user: User, name: str) -> None:
        """The account's address is one of the domain."""
        self.change_user(user, email=f"{name}@example.org")

    def test_admin_of_the_domain(self) -> None:
        """Without any alias: who runs the domain."""
        for role in ROLES:
            self.assertEqual(self.reached(f"{role}@example.org"), [f"forward {self.user.email}"])

    def test_tag(self) -> None:
        """A tag goes along."""
        self.assertEqual(self.reached("Abuse+x@example.org"), ["forward user+x@example.com"])

    def test_alias_first(self) -> None:
        """An alias of this name, a regex or a catch-all comes first."""
        self.add_alias(self.domain, "*", "all@t.test")
        self.add_alias(self.domain, "abuse", "abuse@t.test")
        self.assertEqual(self.reached("abuse@example.org"), ["forward abuse@t.test"])
        self.assertEqual(self.reached("postmaster@example.org"), ["forward all@t.test"])

    def test_disabled(self) -> None:
        """An alias that is disabled, whatever it answers, hides nobody."""
        for code in (250, 421, 550):
            with self.subTest(code=code):
                alias = self.add_alias(
                    self.domain, "postmaster", is_enabled=False, error_code_if_disabled=code
                )
                found = self.reached("postmaster@example.org")
                self.assertEqual(found, [f"forward {self.user.email}"])
                self.assertEqual(self.route("postmaster@example.org").dead_ends, ())
                self.now(self.accounts.delete_alias(alias.id))

    def test_dead_ends(self) -> None:
        """An alias that leads nowhere, in a circle, to a locked door, to who has not agreed."""
        self.add_alias(self.domain, "box", has_imap=True)
        for recipients, more in (
            (("gone@example.org",), {}),
            (("postmaster@example.org",), {}),
            (("box@example.org",), {}),
            (("x@t.test",), {"has_recipient_verification": True}),
            ((), {}),
        ):
            with self.subTest(recipients=recipients):
                alias = self.add_alias(self.domain, "postmaster", *recipients, **more)
                found = self.reached("postmaster@example.org")
                self.assertEqual(found, [f"forward {self.user.email}"])
                self.now(self.accounts.delete_alias(alias.id))

    def test_admin_at_home(self) -> None:
        """The admin's address is one of the domain and exists: its mailbox."""
        self.at_home(self.user, "me")
        self.add_alias(self.domain, "me", has_imap=True, sealing_key=b"public")
        self.assertEqual(self.reached("postmaster@example.org"), ["local me@example.org"])

    def test_admin_at_home_who_is_nowhere(self) -> None:
        """It does not exist, or leads in a circle: the admin of the server."""
        self.at_home(self.user, "me")
        self.assertEqual(self.reached("abuse@example.org"), [f"forward {self.admin.email}"])
        self.add_alias(self.domain, "*", "me@example.org")
        self.assertEqual(self.reached("abuse@example.org"), [f"forward {self.admin.email}"])

    def test_account_called_postmaster(self) -> None:
        """Whose account is the very address is found elsewhere."""
        self.at_home(self.user, "postmaster")
        self.assertEqual(self.reached("postmaster@example.org"), [f"forward {self.admin.email}"])

    def test_several_admins(self) -> None:
        """The next admin of the domain comes before the server's."""
        self.at_home(self.user, "nowhere")
        other = self.add_user("other@example.com")
        member = self.evolve(self.domain.members[0], user_id=other.id)
        self.now(self.accounts.set_member(self.domain.id, member))
        self.assertEqual(self.reached("abuse@example.org"), ["forward other@example.com"])

    def test_banned(self) -> None:
        """Who is banned runs nothing."""
        self.change_user(self.user, is_banned=True)
        self.assertEqual(self.reached("abuse@example.org"), [f"forward {self.admin.email}"])

    def test_mailbox_of_an_admin(self) -> None:
        """Nobody has an address that works, but one has a mailbox: better there than nowhere."""
        self.at_home(self.user, "nowhere")
        self.forget_admin()
        self.add_alias(self.domain, "closed", has_imap=True)
        self.add_alias(self.domain, "mine", has_imap=True, sealing_key=b"public")
        self.assertEqual(self.reached("abuse@example.org"), ["local mine@example.org"])

    def test_mailbox_of_the_server_admin(self) -> None:
        """In whatever domain it is."""
        self.at_home(self.user, "nowhere")
        self.at_home(self.admin, "nowhere-either")
        other = self.add_domain("other.test", self.admin)
        self.add_alias(other, "root", has_imap=True, sealing_key=b"public", user_id=self.admin.id)
        self.assertEqual(self.reached("abuse@example.org"), ["local root@other.test"])

    def test_too_many(self) -> None:
        """More targets than there may be: an admin rather than nobody."""
        self.add_alias(self.domain, "postmaster", *(f"u{n}@t.test" for n in range(11)))
        self.assertEqual(self.reached("postmaster@example.org"), [f"forward {self.user.email}"])

    def test_nobody(self) -> None:
        """If there is truly nobody, mail comes back later; it is not bounced."""
        self.at_home(self.user, "nowhere")
        self.forget_admin()
        for role in ROLES:
            self.assertEqual(self.refusal(f"{role}@example.org"), (451, "4.3.5"))
            fault = self.route(f"{role}@example.org").fault
            assert fault is not None
            self.assertEqual(fault.address, f"{role}@example.org")

    def test_by_way_of_an_alias(self) -> None:
        """An alias that leads to postmaster leads to somebody."""
        self.add_alias(self.domain, "help", "postmaster@example.org")
        self.assertEqual(self.reached("help@example.org"), [f"forward {self.user.email}"])

    def test_others_are_not_in_charge(self) -> None:
        """No other name is found by force, and an ordinary member is nobody in charge."""
        self.assertEqual(self.refusal("webmaster@example.org"), (550, "5.1.1"))
        other = self.add_user("other@example.com")
        member = self.evolve(self.domain.members[0], user_id=other.id, group="user")
        self.now(self.accounts.set_member(self.domain.id, member))
        self.assertEqual(self.reached("abuse@example.org"), [f"forward {self.user.email}"])

    def test_many_users(self) -> None:
        """The server's admin is found among any number of users (of old: the oldest 200)."""
        for number in range(250):
            self.add_user(f"u{number}@example.com")
        late = self.add_user("late@example.com")
        self.change_user(self.admin, group="user")
        self.change_user(late, group="admin")
        self.assertEqual([user.id for user in self.now(server_admins(self.accounts))], [late.id])
