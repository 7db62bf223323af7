"""Aliases: the list, the form, passwords, and where an address goes."""

import re

from tests.web.pages import WebTestCase

JSON = {"Accept": "application/json"}


class AliasTestCase(WebTestCase):
    """An account with a domain."""

    def setUp(self) -> None:
        """Sign up and add it."""
        super().setUp()
        self.browser.sign_up()
        self.path = f"{self.browser.add_domain()}/aliases"

    def add(self, name: str, **fields: str) -> str:
        """Add an active alias; where it leads."""
        answer = self.browser.submit(f"{self.path}/new", name=name, is_enabled="true", **fields)
        self.assertEqual(302, answer.status, answer.text)
        return answer.location

    def alias(self, name: str):  # type: ignore[no-untyped-def]
        """The alias as it is stored."""
        domain = self.now(self.accounts.domains_named("example.org"))[0]
        return self.now(self.accounts.alias_named(domain.id, name))


class FormTests(AliasTestCase):
    """Add, change, switch, remove."""

    def test_add(self) -> None:
        """A forwarding alias leads back to the list, one with a mailbox to its password."""
        place = self.add("shop", recipients="a@b.example\nc@d.example")
        self.assertEqual(f"{self.path}#alias-{self.alias('shop').id}", place)
        self.assertEqual(("a@b.example", "c@d.example"), self.alias("shop").recipients)
        self.assertEqual(f"{self.path}/kim/generate-password", self.add("kim", has_imap="true"))
        self.assertEqual((), self.alias("kim").recipients)
        answer = self.browser.submit(self.path, name="", recipients="a@b.example")
        self.assertEqual(302, answer.status)

    def test_new_form(self) -> None:
        """Sensible answers are filled in; the name may come from a search."""
        page = self.browser.get(f"{self.path}/new?name=shop").text
        self.assertIn('value="shop"', page)
        self.assertIn("kim@example.com", page)
        self.assertEqual(2, page.count(" checked"))

    def test_refused(self) -> None:
        """The form again with everything that was typed, the message and the field."""
        answer = self.browser.submit(
            f"{self.path}/new", name="a b@", recipients="a@b.example", description="<i>"
        )
        self.assertEqual(400, answer.status)
        self.assertIn('value="a b@"', answer.text)
        self.assertIn("&lt;i&gt;", answer.text)
        self.assertIn('aria-invalid="true"', answer.text)

    def test_change(self) -> None:
        """What the form says counts; an unticked box means no."""
        self.add("kim", has_imap="true", recipients="a@b.example", description="x")
        page = self.browser.get(f"{self.path}/kim").text
        self.assertIn("a@b.example", page)
        answer = self.browser.submit(
            f"{self.path}/kim",
            _method="PUT",
            name="kim",
            recipients="c@d.example",
            labels="One, two",
            error_code_if_disabled="550",
            max_quota="2 GB",
        )
        alias = self.alias("kim")
        self.assertEqual(f"{self.path}#alias-{alias.id}", answer.location)
        self.assertEqual((False, False), (alias.has_imap, alias.is_enabled))
        self.assertEqual((("c@d.example",), 550), (alias.recipients, alias.error_code_if_disabled))
        self.assertEqual((2 * 1024**3, ("one", "two")), (alias.max_quota, alias.labels))

    def test_sizes_come_back_as_they_were(self) -> None:
        """The form shows a size that means the same when it is saved again."""
        self.add("kim", has_imap="true")
        for size in ("500 KB", "1.5 GB", "1000001 b", "3 MB"):
            fields = {"_method": "PUT", "has_imap": "true", "is_enabled": "true"}
            self.browser.submit(f"{self.path}/kim", max_quota=size, **fields)
            before = self.alias("kim").max_quota
            page = self.browser.get(f"{self.path}/kim").text
            shown = re.search(r'name="max_quota"[^>]*value="([^"]+)"', page)
            assert shown is not None
            self.browser.submit(f"{self.path}/kim", max_quota=shown[1], **fields)
            self.assertEqual(before, self.alias("kim").max_quota, size)

    def test_switch(self) -> None:
        """The button of the list changes nothing else."""
        self.add("kim", has_imap="true", description="x", labels="a")
        before = self.alias("kim")
        fields = {"_method": "PUT", "_section": "enabled"}
        answer = self.browser.submit(
            f"{self.path}/kim", is_enabled="false", error_code_if_disabled="550", **fields
        )
        self.assert_says(self.browser.follow(answer), "disabled: its mail is refused")
        after = self.alias("kim")
        self.assertFalse(after.is_enabled)
        kept = ("name", "description", "labels", "recipients", "has_imap", "max_quota")
        for name in kept:
            self.assertEqual(getattr(before, name), getattr(after, name), name)
        answer = self.browser.submit(f"{self.path}/kim", is_enabled="true", **fields)
        self.assert_says(self.browser.follow(answer), "The alias is active again.")

    def test_odd_names(self) -> None:
        """An expression with slashes has links that work."""
        self.add("/^sales-(.*)$/", recipients="a@b.example")
        page = self.browser.get(self.path).text
        link = next(link for link in re.findall(r'href="([^"]+)"', page) if "sales" in link)
        self.assertEqual(200, self.browser.get(link).status)
        answer = self.browser.submit(link.partition("?")[0], _method="DELETE", confirm="true")
        self.assertEqual(302, answer.status)

    def test_remove(self) -> None:
        """Gone from the list."""
        self.add("kim")
        answer = self.browser.submit(f"{self.path}/kim", _method="DELETE", confirm="true")
        self.assert_says(self.browser.follow(answer), "The alias was removed.")
        self.assertEqual(404, self.browser.get(f"{self.path}/kim").status)


class ListTests(AliasTestCase):
    """What the list shows."""

    def test_list(self) -> None:
        """Address, badges, recipients, labels; the catch-all cannot be disabled."""
        self.add("kim", has_imap="true", labels="family", description="For Kim")
        page = self.browser.get(self.path)
        says = ("kim@example.org", "Mailbox", "family", "For Kim", "catch-all", "does not receive")
        self.assert_says(page, *says)
        self.assertIn("/kim/disable", page.text)
        self.assertNotIn("/*/disable", page.text)

    def test_search(self) -> None:
        """A name that nothing matches can be added."""
        page = self.browser.get(f"{self.path}?q=shop")
        self.assert_says(page, "No alias matches", "Add shop")
        self.assertIn("/new?name=shop", page.text)

    def test_route(self) -> None:
        """Where an address goes: mailbox, forward, refused, no address."""
        domain = self.now(self.accounts.domains_named("example.org"))[0]
        self.now(self.accounts.update_domain(domain.id, 1.0, has_txt_record=True))
        self.add("kim", has_imap="true", recipients="a@b.example")
        self.browser.submit(f"{self.path}/kim/generate-password")
        for asked, says in (
            ("kim", "a@b.example"),
            ("kim%2Btag", "a+tag@b.example"),
            ("other", "kim@example.com"),
            ("a%20b", "This is not a valid address of example.org."),
            ("kim%40example.org", "a@b.example"),
            ("kim%40gmail.com", "This is not a valid address of example.org."),
        ):
            with self.subTest(asked=asked):
                self.assert_says(self.browser.get(f"{self.path}?to={asked}"), says)

    def test_script(self) -> None:
        """A script gets the table alone."""
        self.browser.headers.update(JSON)
        table = self.browser.get(self.path).json["table"]
        self.assertIn("*@example.org", table)
        self.assertNotIn("<html", table)

    def test_danish(self) -> None:
        """The whole list in another language."""
        page = self.browser.get(self.path.replace("/en/", "/da/"))
        self.assert_says(page, "Aliasser", "opsamling", "Går til")


class PasswordTests(AliasTestCase):
    """Generate a password."""

    def setUp(self) -> None:
        """An alias with a mailbox."""
        super().setUp()
        self.add("kim", has_imap="true")
        self.url = f"{self.path}/kim/generate-password"

    def shown(self, text: str, name: str) -> str:
        """A value on the page that shows them once."""
        match = re.search(rf'id="{name}"><span[^>]*><code>([^<]+)', text)
        assert match is not None, name
        return match[1]

    def test_shown_once(self) -> None:
        """User name, password, recovery code and the settings of mail programs; never again."""
        self.assertNotIn('name="password"', self.browser.get(self.url).text)
        answer = self.browser.submit(self.url)
        self.assertEqual("no-store", answer.header("Cache-Control"))
        self.assertEqual("kim@example.org", self.shown(answer.text, "username"))
        password = self.shown(answer.text, "generated-password")
        self.assertEqual(24, len(password))
        self.assertTrue(self.shown(answer.text, "recovery-code"))
        self.assert_says(answer, "imap.example.net", "993", "smtp.example.net", "STARTTLS")
        self.assertNotIn(password, self.browser.get(self.url).text)

    def test_keep(self) -> None:
        """With the password, or the recovery code, the mailbox is kept."""
        first = self.browser.submit(self.url).text
        wrong = self.browser.submit(self.url, password="wrong")
        self.assertEqual(403, wrong.status)
        self.assert_says(wrong, "The current password is not correct.")
        self.assertEqual(400, self.browser.submit(self.url).status)
        kept = self.browser.submit(self.url, password=self.shown(first, "generated-password"))
        self.assert_says(kept, "The mailbox and everything in it was kept.")
        code = self.shown(first, "recovery-code")
        self.assertEqual(200, self.browser.submit(self.url, password=code).status)

    def test_anew(self) -> None:
        """Without either: a new mailbox, after a warning that says what is lost."""
        self.browser.submit(self.url)
        page = self.browser.get(self.url)
        self.assert_says(page, "every message in the old one is deleted", "Delete all mail")
        self.assertIn(f"{self.url}/anew", page.text)
        answer = self.browser.submit(self.url, is_override="true", confirm="true")
        self.assertTrue(self.shown(answer.text, "recovery-code"))

    def test_chosen(self) -> None:
        """A weak one is refused."""
        answer = self.browser.submit(self.url, new_password="password1")
        self.assertEqual(400, answer.status)

    def test_script(self) -> None:
        """A script gets the values and the dialogue to show."""
        self.browser.headers.update(JSON)
        made = self.browser.submit(self.url).json
        self.assertEqual({"username", "password", "recovery_code", "swal"}, set(made))
