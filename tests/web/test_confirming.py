"""Nothing is destroyed by one click: each act has a page that says what goes, and asks."""

import re

from fe_mail.model.account import Member
from fe_mail.web.confirming import ACTS
from tests.http.world import Answer
from tests.web.pages import WebTestCase

JSON = {"Accept": "application/json"}


class ConfirmingTests(WebTestCase):
    """An account with a domain, and an alias with a mailbox in it."""

    def setUp(self) -> None:
        """Sign up and add them; another admin is there, so that the first may leave."""
        super().setUp()
        self.browser.sign_up()
        self.new_browser().sign_up("alex@example.com")
        alex = self.now(self.accounts.user_by_email("alex@example.com"))
        self.now(self.accounts.update_user(alex.id, 1.0, group="admin"))
        self.domain_path = self.browser.add_domain()
        self.path = f"{self.domain_path}/aliases"
        self.kim = f"{self.path}/kim"
        self.browser.submit(self.path, name="kim", has_imap="true", is_enabled="true")
        self.browser.submit(f"{self.kim}/generate-password")

    def alias(self):  # type: ignore[no-untyped-def]
        """The alias as it is stored."""
        domain = self.now(self.accounts.domains_named("example.org"))[0]
        return self.now(self.accounts.alias_named(domain.id, "kim"))

    def forms(self, page: Answer) -> list[tuple[str, dict[str, str]]]:
        """Every form of a page that changes something: where it goes, and its hidden fields."""
        found = []
        for opening, inside in re.findall(r"(<form[^>]*>)(.*?)</form>", page.text, re.DOTALL):
            action = re.search(r'action="([^"]+)"', opening)
            if 'method="post"' in opening and action is not None:
                hidden = re.findall(r'type="hidden" name="([^"]+)" value="([^"]*)"', inside)
                found.append((action[1], dict(hidden)))
        return found

    def test_no_button_destroys(self) -> None:
        """No form of any page, sent as it stands, takes anything away; its answer is a question."""
        before = self.alias()
        user = self.now(self.accounts.user_by_email("kim@example.com"))
        key = self.now(self.services.webhook_keys.key(before.domain_id))
        for page in (
            self.domain_path, f"{self.domain_path}/webhook-key", self.path, self.kim,
            f"{self.kim}/generate-password", "/en/my-account/security",
            *(f"{self.kim}/{act}" for act in ("remove", "generate-password/anew")),
            f"{self.domain_path}/remove", f"{self.domain_path}/webhook-key/replace",
            "/en/my-account/remove", "/en/my-account/security/new-token",
        ):  # fmt: skip
            shown = self.browser.get(page)
            self.assertEqual(200, shown.status, page)
            for action, hidden in self.forms(shown):
                if "logout" not in action and action != "/en/my-account/security":
                    self.browser.submit(action, **hidden)
        self.browser.submit("/en/my-account/security", _method="DELETE")
        self.browser.submit(self.kim, _method="PUT", _section="enabled", is_enabled="false")
        after = self.alias()
        kept = ("sealing_key", "epoch", "has_imap", "is_enabled", "error_code_if_disabled")
        for name in kept:
            self.assertEqual(getattr(before, name), getattr(after, name), name)
        self.assertEqual(key, self.now(self.services.webhook_keys.key(before.domain_id)))
        again = self.now(self.accounts.user_by_email("kim@example.com"))
        self.assertEqual(user.api_token_hash, again.api_token_hash)

    def test_says_what_goes(self) -> None:
        """In numbers: domains, aliases, mailboxes, passwords, mail."""
        alias = self.alias()
        self.now(self.accounts.update_alias(alias.id, 1.0, storage_used=3 << 20))
        for page, says in (
            (f"{self.kim}/remove", ("kim@example.org", "1 mailbox", "1 mail password")),
            (f"{self.kim}/generate-password/anew", ("kim@example.org", "1 mailbox")),
            (f"{self.domain_path}/remove", ("2 aliases", "1 mailbox", "3 MB of mail")),
            ("/en/my-account/remove", ("1 domain", "2 aliases", "1 mailbox", "3 MB of mail")),
        ):
            self.assert_says(self.browser.get(page), *says, "This cannot be undone.")

    def test_others_keep_theirs(self) -> None:
        """Domains that somebody else administers too are not counted among what goes."""
        alex = self.now(self.accounts.user_by_email("alex@example.com"))
        member = Member(user_id=alex.id, group="admin")
        self.now(self.accounts.set_member(self.alias().domain_id, member))
        page = self.browser.get("/en/my-account/remove")
        self.assertNotIn("1 domain", page.text)

    def test_tick(self) -> None:
        """Without it the question again, with what is missing at its field; with it, it happens."""
        for action, fields in (
            (self.kim, {"_method": "DELETE"}),
            (f"{self.kim}/generate-password", {"is_override": "true"}),
            ("/en/my-account/security", {"_method": "DELETE"}),
        ):
            asked = self.browser.submit(action, **fields)
            self.assertEqual(400, asked.status, action)
            self.assert_says(asked, "Tick the box to confirm.")
            self.assertIn('aria-describedby="confirm-error"', asked.text)
        key = self.alias().sealing_key
        self.browser.submit(f"{self.kim}/generate-password", is_override="true", confirm="true")
        self.assertNotEqual(key, self.alias().sealing_key)

    def test_tick_beforehand(self) -> None:
        """Also where there is no mailbox yet: somebody else may be making one at this moment."""
        self.browser.submit(self.path, name="lee", has_imap="true", is_enabled="true")
        lee = f"{self.path}/lee/generate-password"
        self.assertEqual(400, self.browser.submit(lee, is_override="true").status)
        self.assertEqual(200, self.browser.submit(lee).status)

    def test_stop_keeping(self) -> None:
        """Who unticks "keep mail" hears what becomes of it; the rest of the form comes along."""
        fields = {"_method": "PUT", "recipients": "a@b.example", "description": "<x>",
                  "is_enabled": "true", "error_code_if_disabled": "421"}  # fmt: skip
        asked = self.browser.submit(self.kim, **fields)
        self.assertEqual(200, asked.status)
        self.assert_says(asked, "Stop keeping the mail of kim@example.org?", "1 mailbox",
                         "can no longer sign in to read", "1 mail password")  # fmt: skip
        self.assert_says(asked, "New mail goes to a@b.example.")
        self.assertTrue(self.alias().has_imap)
        action, hidden = next(form for form in self.forms(asked) if form[0] == self.kim)
        unticked = self.browser.submit(action, **hidden)
        self.assertEqual(400, unticked.status)
        done = self.browser.submit(action, confirm="true", **hidden)
        self.assertEqual(302, done.status)
        alias = self.alias()
        self.assertEqual((False, 421), (alias.has_imap, alias.error_code_if_disabled))
        self.assertEqual(("a@b.example",), alias.recipients)
        self.assertTrue(alias.sealing_key, "the mail stays, as the page said")

    def test_stop_keeping_to_nobody(self) -> None:
        """Without a recipient the account's own address gets the mail, and the page says so."""
        asked = self.browser.submit(self.kim, _method="PUT", recipients="", is_enabled="true")
        self.assert_says(asked, "New mail goes to kim@example.com.")
        action, hidden = next(form for form in self.forms(asked) if form[0] == self.kim)
        self.browser.submit(action, confirm="true", **hidden)
        self.assertEqual(("kim@example.com",), self.alias().recipients)

    def test_throw_away(self) -> None:
        """Who switches off in the form what throws mail away hears it, once, in its turn."""
        alias = self.alias()
        self.now(self.accounts.update_alias(alias.id, 1.0, error_code_if_disabled=250))
        form = {"_method": "PUT", "error_code_if_disabled": "250", "recipients": "a@b.example"}
        asked = self.browser.submit(self.kim, **form)
        self.assert_says(asked, "Stop keeping the mail of kim@example.org?")
        action, hidden = next(form for form in self.forms(asked) if form[0] == self.kim)
        asked = self.browser.submit(action, confirm="true", **hidden)
        self.assert_says(asked, "Throw away the mail of kim@example.org?", "accepted and lost")
        self.assertNotIn("Tick the box", asked.text)
        self.assertTrue(self.alias().is_enabled)
        action, hidden = next(form for form in self.forms(asked) if form[0] == self.kim)
        self.assert_says(self.browser.submit(action, **hidden), "Tick the box to confirm.")
        self.assertEqual(302, self.browser.submit(action, confirm="true", **hidden).status)
        alias = self.alias()
        self.assertEqual((False, False), (alias.is_enabled, alias.has_imap))
        again = self.browser.submit(self.kim, description="x", **form)
        self.assertEqual(302, again.status, "it was so before, so nothing is asked")
        refused = self.browser.submit(self.path, name="lee", error_code_if_disabled="550")
        self.assertEqual(302, refused.status)

    def test_no_mailbox_no_question(self) -> None:
        """Without a password there is no mailbox, so nothing is closed."""
        self.browser.submit(self.path, name="new-one", has_imap="true", is_enabled="true")
        answer = self.browser.submit(f"{self.path}/new-one", _method="PUT", recipients="a@b.dk")
        self.assertEqual(302, answer.status)

    def test_disable(self) -> None:
        """What becomes of mail is chosen; what throws it away is never chosen beforehand."""
        alias = self.alias()
        self.now(self.accounts.update_alias(alias.id, 1.0, error_code_if_disabled=250))
        page = self.browser.get(f"{self.kim}/disable")
        self.assert_says(page, "Disable kim@example.org?", "It is accepted and lost")
        checked = re.findall(r'value="(\d+)" required checked', page.text)
        self.assertEqual(["550"], checked)
        fields = {"_method": "PUT", "_section": "enabled", "is_enabled": "false"}
        asked = self.browser.submit(self.kim, **fields)
        self.assert_says(asked, "Disable kim@example.org?")
        self.assertTrue(self.alias().is_enabled)
        done = self.browser.submit(self.kim, error_code_if_disabled="250", **fields)
        self.assert_says(self.browser.follow(done), "its mail is thrown away", "mail is lost")

    def test_new_alias_refuses(self) -> None:
        """Nobody has asked to throw mail away, so a new alias does not."""
        self.assertEqual(550, self.alias().error_code_if_disabled)
        form = self.browser.get(f"{self.path}/new").text
        self.assertIn('<option value="550" selected>', form)

    def test_scripts(self) -> None:
        """A program says what it means; it is not asked."""
        self.browser.headers.update(JSON)
        fields = {"_method": "PUT", "_section": "enabled", "is_enabled": "false"}
        self.assertEqual({"reloadPage": True}, self.browser.submit(self.kim, **fields).json)
        self.assertEqual(200, self.browser.submit(self.kim, _method="DELETE").status)

    def test_account(self) -> None:
        """Its password is asked for, and the refusal stands at the field."""
        answer = self.browser.submit("/en/my-account", _method="DELETE", leave_password="x")
        self.assertEqual(400, answer.status)
        self.assertIn('href="#leave_password"', answer.text)

    def test_language_links(self) -> None:
        """From a question that was answered badly they lead to the question, in that language."""
        key = f"{self.domain_path}/advanced-settings/reset-domain-webhook-key"
        for action, fields in (
            (key, {"_method": "DELETE"}),
            (self.kim, {"_method": "DELETE"}),
            (self.domain_path, {"_method": "DELETE"}),
            (f"{self.kim}/generate-password", {"is_override": "true"}),
            ("/en/my-account/security", {"_method": "DELETE"}),
            ("/en/my-account", {"_method": "DELETE", "leave_password": "x"}),
        ):
            asked = self.browser.submit(action, **fields)
            link = re.search(r'href="(/da/[^"]+)" hreflang="da"', asked.text)
            assert link is not None
            page = self.browser.get(link[1])
            self.assertEqual(200, page.status, link[1])
            self.assertIn("destroy", page.text.partition("<main")[2], link[1])

    def test_table(self) -> None:
        """Every act names what it is about, but for those of which there is one only."""
        for name, act in ACTS.items():
            is_one = name in ("remove-account", "new-token")
            self.assertNotEqual(is_one, "%(about)s" in act.question, name)
