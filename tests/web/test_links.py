"""Where mailed links lead, and what an account may do before its address is proven."""

from fe_mail.model.account import Alias, User
from fe_mail.model.errors import Invalid
from tests.http.world import PASSWORD
from tests.web.pages import Browser, WebTestCase

NEW = "another fine 77 quilt"
BOB = "bob@elsewhere.test"


class LinksTestCase(WebTestCase):
    """Kim owns the server; Alex registers where everybody may."""

    def setUp(self) -> None:
        """Alex has not read his mail yet."""
        super().setUp()
        self.browser.sign_up()
        self.alex = self.new_browser()
        self.answer = self.alex.submit("/en/register", email="alex@example.com", password=PASSWORD)

    def link(self, path: str) -> str:
        """The page that the last mail leads to."""
        return f"/en{path}{self.letters.token(path)}"

    def user(self, email: str = "alex@example.com") -> User:
        """As the store has it."""
        return self.now(self.accounts.user_by_email(email))


class AddressTests(LinksTestCase):
    """Whose address is it?"""

    def test_first_the_address(self) -> None:
        """Every page of the account leads to where one is told to open the link."""
        self.assertEqual("/en/verify", self.answer.location)
        self.assert_says(self.alex.follow(self.answer), "The mail was sent", "alex@example.com")
        for path in ("/my-account/domains", "/my-account/profile", "/my-account/security"):
            self.assertEqual("/en/verify", self.alex.get(f"/en{path}").location)
        refused = self.alex.submit("/en/my-account/domains/new", domain="example.org")
        self.assertEqual("/en/verify", refused.location)
        headers = {"Accept": "application/json"}
        script = self.alex.request("GET", "/en/my-account/domains", headers=headers)
        self.assertEqual(403, script.status)

    def test_not_mailed(self) -> None:
        """Where the mail could not be written the page says so, and why; not that it was sent."""
        self.letters.error = Invalid("Nobody would get this mail.")
        robin = self.new_browser()
        answer = robin.submit("/en/register", email="robin@example.com", password=PASSWORD)
        self.assertEqual(400, answer.status)
        said = ("Nobody would get this mail.", "No link was mailed to robin@example.com now.")
        self.assert_says(answer, *said)
        self.assert_says(robin.submit("/en/verify"), *said)
        self.letters.error = None
        self.assert_says(robin.follow(robin.submit("/en/verify")), "The mail was sent.")

    def test_verified(self) -> None:
        """Opening the link changes nothing, its button does."""
        page = self.link("/verify/")
        self.assert_says(self.alex.get(page), "Yes, this address is mine")
        self.assertFalse(self.user().has_verified_email)
        self.assertEqual("/en/my-account/domains", self.alex.submit(page).location)
        self.assertTrue(self.user().has_verified_email)
        self.assertEqual("/en/my-account/domains", self.alex.get("/en/verify").location)

    def test_bad_link(self) -> None:
        """What is none says what to do, already when it is opened, and has no button."""
        for answer in (self.alex.submit("/en/verify/nothing"), self.alex.get("/en/verify/nothing")):
            self.assertEqual(400, answer.status)
            self.assert_says(answer, "Ask for a new one")
            self.assertNotIn("Yes, this address is mine", answer.text)
        answer = self.browser.get("/en/my-account/change-email/nothing")
        self.assertEqual(400, answer.status)
        self.assertNotIn("Use the new address", answer.text)

    def test_in_another_browser(self) -> None:
        """First one signs in, and comes back to the link."""
        page = self.link("/verify/")
        other = self.new_browser()
        answer = other.get(page)
        self.assertIn("/login?return_to=", answer.location)
        back = other.submit(answer.location, email="alex@example.com", password=PASSWORD)
        self.assertEqual(page, back.location)
        self.assert_says(other.follow(back), "alex@example.com", "Yes, this address is mine")

    def test_reader_of_a_strangers_account(self) -> None:
        """Who did not make the account cannot prove the address for whoever did."""
        page = self.link("/verify/")
        self.new_browser().submit(page)
        self.browser.submit(page)
        self.assert_says(self.browser.get(page), "This link is for another account.")
        self.assertFalse(self.user().has_verified_email)

    def test_wrong_address(self) -> None:
        """Whoever mistyped it removes the account and begins anew."""
        self.assert_says(self.alex.get("/en/verify"), "Is the address wrong?")
        self.assert_says(self.alex.get("/en/my-account/remove"), "Remove your account?")
        fields = {"_method": "DELETE", "leave_password": PASSWORD}
        self.assertEqual("/en/", self.alex.submit("/en/my-account", **fields).location)
        again = self.alex.submit("/en/register", email="alex@example.com", password=PASSWORD)
        self.assertEqual("/en/verify", again.location)

    def test_language(self) -> None:
        """Who registers in Danish gets Danish mail; its link has no language and finds it."""
        danish = self.new_browser()
        danish.headers["Accept-Language"] = "da"
        danish.submit("/da/register", email="bo@example.com", password=PASSWORD)
        self.assertEqual("da", self.letters.sent[-1].language)
        bare = f"/verify/{self.letters.token('/verify/')}"
        self.assertEqual(f"/da{bare}", danish.get(bare).location)
        self.assertEqual(f"/da{bare}", danish.request("HEAD", bare).location)

    def test_leads_to_the_configured_host(self) -> None:
        """Whoever asks under another name makes no link to that."""
        stranger = self.new_browser("http://evil.example")
        stranger.submit("/en/forgot-password", email="kim@example.com")
        self.clock.advance(0)
        self.assertIn(
            "\n\nhttp://mail.example.net/reset-password/", str(self.letters.sent[-1].text)
        )
        self.assertNotIn("evil", str(self.letters.sent[-1].text))

    def test_kept_by_nobody(self) -> None:
        """A page with a token in its address is stored, indexed and told to other sites nowhere."""
        for path in ("verify", "v", "reset-password", "my-account/change-email"):
            headers = self.new_browser().get(f"/en/{path}/token")
            self.assertEqual("no-store", headers.header("Cache-Control"), path)
            self.assertEqual("same-origin", headers.header("Referrer-Policy"), path)
            self.assertEqual("none", headers.header("X-Robots-Tag"), path)

    def test_again(self) -> None:
        """The mail may be sent again, not without end."""
        for _ in range(4):
            self.assertEqual("/en/verify", self.alex.submit("/en/verify").location)
        self.assertEqual(5, len(self.letters.sent))
        self.assertEqual(429, self.alex.submit("/en/verify").status)

    def test_new_address(self) -> None:
        """The profile keeps the old one until the new one's link was opened."""
        fields = {"_method": "PUT", "email": "kim@new.example", "given_name": "Kim"}
        answer = self.browser.submit("/en/my-account/profile", **fields)
        self.assert_says(self.browser.follow(answer), "It counts when you open the link")
        self.assertEqual("Kim", self.user("kim@example.com").given_name)
        page = self.link("/my-account/change-email/")
        self.assert_says(self.browser.get(page), "Use the new address")
        wrong = self.browser.submit(page, password="wrong")
        self.assertEqual(400, wrong.status)
        self.assert_says(wrong, "The current password is not correct.", "Use the new address")
        taken = self.browser.submit(page, password=PASSWORD)
        self.assertEqual("/en/my-account/profile", taken.location)
        self.assertEqual("kim@new.example", self.user("kim@new.example").email)

    def test_all_or_nothing(self) -> None:
        """What is refused in one field changes no other, and mails nothing."""
        sent = len(self.letters.sent)
        for email, name in (("alex@example.com", "Kim"), ("kim@new.example", "x" * 500)):
            fields = {"_method": "PUT", "email": email, "given_name": name}
            self.assertEqual(400, self.browser.submit("/en/my-account/profile", **fields).status)
            self.assertEqual("", self.user("kim@example.com").given_name)
        self.assertEqual(sent, len(self.letters.sent))


class PasswordTests(LinksTestCase):
    """A forgotten password."""

    def test_new_password(self) -> None:
        """From the sign-in page to being signed in again."""
        self.assert_says(self.new_browser().get("/en/login"), "Forgotten password?")
        stranger = self.new_browser()
        answer = stranger.submit("/en/forgot-password", email="kim@example.com")
        self.assert_says(
            answer, "kim@example.com is the address of an account", "fe-mail user password"
        )
        self.clock.advance(0)
        page = self.link("/reset-password/")
        self.assert_says(stranger.get(page), "For the account kim@example.com")
        wrong = stranger.submit(page, password=NEW, confirm_password="other")
        self.assertEqual(400, wrong.status)
        answer = stranger.submit(page, password=NEW, confirm_password=NEW)
        self.assertEqual("/en/my-account/domains", answer.location)
        self.assertNotEqual(200, self.browser.get("/en/my-account/profile").status)
        self.assertEqual(400, stranger.submit(page, password=NEW, confirm_password=NEW).status)

    def test_nobody_is_told(self) -> None:
        """The page says the same of every address."""
        pages = [
            self.new_browser().submit("/en/forgot-password", email=email).text.replace(email, "X")
            for email in ("kim@example.com", "none@example.com")
        ]
        self.assertEqual(pages[0], pages[1])


class RecipientTests(LinksTestCase):
    """Whoever is to get somebody's mail is asked."""

    def alias(self) -> Alias:
        """``sales`` of a domain that asks."""
        self.browser.add_domain()
        domain = self.now(self.accounts.domains_named("example.org"))[0]
        change = {"has_recipient_verification": True}
        now = self.clock.seconds()
        domain = self.now(self.accounts.update_domain(domain.id, now, **change))
        fields = {"name": "sales", "recipients": [BOB]}
        user = self.user("kim@example.com")
        return self.now(self.services.aliases.create(user, domain, fields))

    def test_yes(self) -> None:
        """The page tells what is asked; the button says yes."""
        alias = self.alias()
        page = self.link("/v/")
        stranger: Browser = self.new_browser()
        self.assert_says(stranger.get(page), "sales@example.org", BOB, "Yes, forward it to me")
        self.assertEqual((), self.now(self.accounts.alias(alias.id)).verified_recipients)
        self.assert_says(stranger.submit(page), "Thank you")
        self.assertEqual((BOB,), self.now(self.accounts.alias(alias.id)).verified_recipients)
        self.assert_says(stranger.get(page), "Thank you")

    def test_no_longer(self) -> None:
        """A link of an alias that is gone says so."""
        alias = self.alias()
        page = self.link("/v/")
        self.now(self.accounts.delete_alias(alias.id))
        answer = self.new_browser().get(page)
        self.assertEqual(400, answer.status)
        self.assert_says(answer, "Nothing is to be forwarded to this address any more.")

    def test_owner_sees_who_waits(self) -> None:
        """And may have the mail sent again."""
        alias = self.alias()
        page = f"/en/my-account/domains/example.org/aliases/{alias.name}"
        self.assert_says(self.browser.get(page), "Recipients who have not answered", BOB)
        answer = self.browser.submit(f"{page}/ask-recipient", recipient=BOB)
        self.assert_says(self.browser.follow(answer), "The mail was sent again to", BOB)
        self.assertEqual([BOB, BOB], [notice.to for notice in self.letters.sent[-2:]])
        refused = self.browser.submit(f"{page}/ask-recipient", recipient="x@elsewhere.test")
        self.assertEqual(400, refused.status)
