"""What the pages say of mail that leads nowhere, and of where an address goes."""

import re
from pathlib import Path

from fe_mail.model.page import Query
from tests.web.pages import WebTestCase
from tests.web.test_aliases import AliasTestCase

TEMPLATES = Path(__file__).parents[2] / "fe_mail" / "web" / "templates"
CIRCLE = "leads back to"


class WarningTests(AliasTestCase):
    """``example.org``, whose catch-all leads to the account's address elsewhere."""

    def warnings(self, path: str = "") -> list[str]:
        """The warnings of a page."""
        page = self.browser.get(path or self.path).text
        return re.findall(r'<p class="notice warn">([^<]*)</p>', page)

    def test_fine(self) -> None:
        """Nothing is told of what works."""
        self.add("shop", recipients="a@b.example")
        self.assertEqual([], self.warnings())

    def test_circle(self) -> None:
        """What can never arrive is refused at its field, with everything that was typed."""
        answer = self.browser.submit(
            f"{self.path}/new", name="a", is_enabled="true", recipients="a@example.org"
        )
        self.assertEqual(400, answer.status)
        self.assertIn("a@example.org leads to itself.", answer.text)
        self.assertIn('aria-invalid="true"', answer.text)

    def test_list_and_form(self) -> None:
        """A mailbox without a password is told of in the list and at its form."""
        self.add("kim", has_imap="true")
        (told,) = self.warnings()
        self.assertIn("takes no mail before its first password", told)
        self.assertEqual([told], self.warnings(f"{self.path}/kim"))

    def test_removed(self) -> None:
        """After a removal the list tells of what relied on it, on whatever page it stands."""
        self.browser.submit(f"{self.path}/%2A", _method="DELETE", confirm="true")
        self.add("box", recipients="a@b.example")
        self.add("sales", recipients="box@example.org")
        for number in range(60):
            self.add(f"n{number}", recipients="a@b.example")
        self.assertIn(
            "sales@example.org leads to it.", self.browser.get(f"{self.path}/box/remove").text
        )
        answer = self.browser.submit(f"{self.path}/box", _method="DELETE", confirm="true")
        told = self.warnings(answer.location)
        self.assertEqual(
            ["sales@example.org leads to box@example.org, which does not exist."], told
        )

    def test_disabled(self) -> None:
        """And after it was switched off."""
        self.add("box", recipients="a@b.example")
        self.add("sales", recipients="box@example.org")
        answer = self.browser.submit(
            f"{self.path}/box",
            _method="PUT",
            _section="enabled",
            is_enabled="false",
            error_code_if_disabled="550",
        )
        told = self.warnings(answer.location)
        self.assertEqual(1, len(told))
        self.assertIn("box@example.org is disabled", told[0])

    def test_account(self) -> None:
        """The profile tells when mail to the account's address, or its next, reaches nobody."""
        self.browser.submit(f"{self.path}/%2A", _method="DELETE", confirm="true")
        answer = self.browser.submit(
            "/en/my-account/profile", _method="PUT", email="me@example.org"
        )
        self.assertIn("reaches nobody yet", self.warnings(answer.location)[0])
        (owner,) = self.now(self.accounts.users(Query())).items
        self.now(self.accounts.update_user(owner.id, 0.0, email="me@example.org"))
        self.assertIn("reaches nobody yet", self.warnings("/en/my-account/profile")[0])


class OwnDomainTests(WebTestCase):
    """Who signs up with an address of the domain that comes next."""

    def test_mailbox(self) -> None:
        """The way leads to the password of the own mailbox, then everything arrives."""
        self.browser.sign_up("kim@example.org")
        answer = self.browser.submit("/en/my-account/domains/new", domain="example.org")
        path = "/en/my-account/domains/example.org/aliases"
        self.assertEqual(f"{path}/kim/generate-password", answer.location)
        page = self.browser.follow(answer).text
        self.assertIn("your own address is a mailbox of it", page)
        self.assertIn("takes no mail before its first password", self.browser.get(path).text)
        self.browser.submit(answer.location)
        self.assertNotIn("takes no mail", self.browser.get(path).text)
        asked = self.browser.get(f"{path}?to=postmaster").text
        self.assertIn("kim<wbr>@example.org", asked)


class WhereTests(AliasTestCase):
    """“Where does an address go?”"""

    def ask(self, name: str) -> str:
        """The answer."""
        page = self.browser.get(f"{self.path}?to={name}").text
        return page[page.index('<div class="route"') :]

    def claim(self, **changes: object) -> None:
        """Change what is known of the domain."""
        (domain,) = self.now(self.accounts.domains_named("example.org"))
        self.now(self.accounts.update_domain(domain.id, 0.0, **changes))

    def test_not_yet(self) -> None:
        """A domain that does not receive yet: where it will go, and that it does not come yet."""
        self.browser.submit("/en/logout")
        other = self.new_browser()
        other.sign_up("lee@example.com")
        self.browser = other
        self.path = f"{other.add_domain('other.test')}/aliases"
        answer = self.ask("hello")
        self.assertIn("Mail for this domain does not come here yet", answer)
        self.assertIn("lee<wbr>@example.com", answer)
        self.assertNotIn("thrown away", answer)

    def test_rival(self) -> None:
        """Whoever claims a domain that is somebody else's sees nothing of theirs."""
        self.add("secret", recipients="hidden@b.example")
        other = self.new_browser()
        other.sign_up("lee@example.com")
        self.browser = other
        self.path = f"{other.add_domain()}/aliases"
        page = self.browser.get(f"{self.path}?to=secret").text
        self.assertNotIn("b.example", page)
        self.assertIn("goes to another account", page)

    def test_receiving(self) -> None:
        """With its records in place nothing is said of that; the reason of a refusal is."""
        self.claim(has_txt_record=True, has_mx_record=True)
        self.add("kim", has_imap="true")
        answer = self.ask("kim")
        self.assertNotIn("does not come here yet", answer)
        self.assertIn("takes no mail before its first password", answer)

    def test_others(self) -> None:
        """What lies in a domain of somebody else is not shown."""
        other = self.new_browser()
        other.sign_up("lee@example.com")
        path = f"{other.add_domain('other.test')}/aliases"
        other.submit(f"{path}/new", name="lee", is_enabled="true", recipients="hidden@b.example")
        (domain,) = self.now(self.accounts.domains_named("other.test"))
        self.now(self.accounts.update_domain(domain.id, 0.0, has_txt_record=True))
        self.now(self.accounts.update_user(self.kim().id, 0.0, group="user"))
        self.claim(has_txt_record=True)
        self.add("a", recipients="lee@other.test")
        answer = self.ask("a")
        self.assertIn("lee<wbr>@other.test", answer)
        self.assertNotIn("b.example", answer)

    def kim(self):  # type: ignore[no-untyped-def]
        """The account of the browser."""
        return self.now(self.accounts.user_by_email("kim@example.com"))


class NameTests(WebTestCase):
    """Internationalized domains."""

    def test_shown(self) -> None:
        """In Unicode on every page, in links as it is in the DNS."""
        self.browser.sign_up()
        self.browser.submit("/en/my-account/domains/new", domain="blåbær.example")
        base = "/en/my-account/domains/xn--blbr-roah.example"
        self.browser.submit(
            f"{base}/aliases/new", name="kim", recipients="x@røgeri.example", is_enabled="true"
        )
        pages = ("/en/my-account/domains", base, f"{base}/aliases?to=kim", f"{base}/aliases/kim")
        for path in pages:
            page = self.browser.get(path).text
            text = re.sub(r"<[^>]*>", "", page)
            self.assertIn("blåbær", text, path)
            shown = re.sub(r"<code>[^<]*</code>", "", page)
            self.assertNotIn("xn--", re.sub(r"<[^>]*>", "", shown), path)
            self.assertIn(f'href="{base}', page)

    def test_deceptive(self) -> None:
        """A name that only looks like another is shown as it is in the DNS."""
        self.browser.sign_up()
        self.browser.submit("/en/my-account/domains/new", domain="xn--pple-43d.example")
        self.assertIn("xn--pple-43d", self.browser.get("/en/my-account/domains").text)

    def test_templates(self) -> None:
        """No template shows a name of a domain without a filter that makes it Unicode."""
        bare = re.compile(r"(?:domain\.name|alias\.address|user\.email)\s*(?:\)|\}\})")
        for path in TEMPLATES.rglob("*.html"):
            for line in path.read_text("utf-8").splitlines():
                if "url(" not in line and 'type="hidden"' not in line:
                    self.assertIsNone(bare.search(line), f"{path.name}: {line.strip()}")
