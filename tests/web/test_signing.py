"""Register, sign in, sign out, and the account's own pages."""

from fe_mail.http.limits import ATTEMPTS_PER_DAY
from fe_mail.model.page import Query
from tests.http.world import PASSWORD
from tests.web.pages import Browser, WebTestCase

JSON = {"Accept": "application/json"}


class RegisterTests(WebTestCase):
    """New accounts."""

    def test_first(self) -> None:
        """The first account becomes the admin, is signed in and led to its first domain."""
        self.assert_says(self.browser.get("/en/"), "Mail of your own", "Create the first account")
        answer = self.browser.follow(self.browser.sign_up())
        self.assert_says(answer, "You are the administrator", "Add domain")
        user = self.now(self.accounts.user_by_email("kim@example.com"))
        self.assertEqual("admin", user.group)
        self.assertEqual("/en/my-account/domains", self.browser.get("/en/").location)

    def test_second(self) -> None:
        """The next one does not, and nothing promises it."""
        self.browser.sign_up()
        other = self.new_browser()
        self.assertNotIn("first account", other.get("/en/register").text)
        answer = other.follow(other.sign_up("alex@example.com"))
        self.assertNotIn("administrator", answer.text)

    def test_refused(self) -> None:
        """A weak password or a bad address: the form again with what was typed, 400."""
        answer = self.browser.submit("/en/register", email="kim@example.com", password="password")
        self.assertEqual(400, answer.status)
        self.assertIn('role="alert"', answer.text)
        self.assertIn('value="kim@example.com"', answer.text)
        self.assertNotIn('value="password"', answer.text)
        answer = self.browser.submit("/en/register", email='"><script>', password=PASSWORD)
        self.assertEqual(400, answer.status)
        self.assertNotIn("<script>", answer.text)

    def test_advice(self) -> None:
        """The advice about a weak password comes in the language of the page."""
        answer = self.browser.submit("/da/register", email="kim@example.com", password="password")
        self.assert_says(
            answer, "Adgangskoden er for let at gætte.", "Det er en af de ti mest brugte"
        )

    def test_failures_are_shown(self) -> None:
        """Who signs in reads where a wrong password was tried from."""
        self.browser.sign_up()
        page = "/en/my-account/security"
        self.assert_says(self.browser.get(page), "Nobody tried to sign in")
        for number in range(10):
            self.new_browser().submit("/en/login", email="kim@example.com", password=f"x{number}")
        self.clock.advance(0)
        answer = self.browser.get(page)
        self.assert_says(answer, "Then somebody guesses", "refused from there")

    def test_known_address(self) -> None:
        """With the right password it signs in; with a wrong one it is refused."""
        self.browser.sign_up()
        other = self.new_browser()
        wrong = other.submit("/en/register", email="kim@example.com", password=PASSWORD + "x")
        self.assertEqual(400, wrong.status)
        self.assertEqual(302, other.sign_up().status)
        self.assertEqual(1, self.now(self.accounts.users(Query())).total)

    def test_limit(self) -> None:
        """Five accounts a day from one address."""
        for number in range(5):
            self.assertEqual(302, self.new_browser().sign_up(f"u{number}@example.com").status)
        self.assertEqual(429, self.new_browser().sign_up("u5@example.com").status)
        self.clock.advance(86_401)
        self.assertEqual(302, self.new_browser().sign_up("u5@example.com").status)

    def test_limit_of_attempts(self) -> None:
        """What comes to nothing counts less, but nobody may ask for every address."""
        for _ in range(ATTEMPTS_PER_DAY):
            self.assertEqual(400, self.browser.submit("/en/register", email="x").status)
        self.assertEqual(429, self.browser.sign_up().status)


class LoginTests(WebTestCase):
    """Sessions."""

    def setUp(self) -> None:
        """An account that is not signed in here."""
        super().setUp()
        self.add_user()

    def login(self, **fields: str) -> str:
        """Sign in; where it leads."""
        fields = {"email": "kim@example.com", "password": PASSWORD, **fields}
        return self.browser.submit("/en/login", **fields).location

    def test_return(self) -> None:
        """A page that needs an account comes back after signing in."""
        self.browser.get("/en/")
        answer = self.browser.get("/en/my-account/domains/new?a=b")
        self.assertTrue(answer.location.startswith("/en/login?return_to="))
        form = self.browser.follow(answer).text
        self.assertIn('name="return_to" value="/my-account/domains/new?a=b"', form)
        self.assertEqual(
            "/en/my-account/domains/new?a=b",
            self.login(return_to="/en/my-account/domains/new?a=b"),
        )

    def test_return_is_local(self) -> None:
        """Nobody is sent to another site."""
        for target in ("https://evil.example/", "//evil.example", "/en//evil.example", "/\\evil"):
            with self.subTest(target=target):
                location = self.login(return_to=target)
                self.assertRegex(location, r"^/en/(my-account/domains$|[^/\\])")

    def test_wrong(self) -> None:
        """One message for a wrong password and for an unknown address; 400; no session."""
        answers = [
            self.browser.submit("/en/login", email=email, password="wrong")
            for email in ("kim@example.com", "nobody@example.com")
        ]
        self.assertEqual([400, 400], [answer.status for answer in answers])
        for answer in answers:
            self.assert_says(answer, "Invalid address or password.")
        self.assertNotIn("session", self.browser.cookies)

    def test_new_session(self) -> None:
        """Signing in makes a new token and ends the old session: a token cannot be planted."""
        self.login()
        before = self.browser.cookies["session"]
        self.login()
        self.assertNotEqual(before, self.browser.cookies["session"])
        self.browser.cookies["session"] = before
        self.assertIn("/login", self.browser.get("/en/my-account/domains").location)

    def test_logout(self) -> None:
        """Reading /logout only asks; posting ends the session for good."""
        self.login()
        token = self.browser.cookies["session"]
        self.assert_says(self.browser.get("/en/logout"), "Sign out?", "kim@example.com")
        self.assertEqual(302, self.browser.get("/en/my-account").status)
        answer = self.browser.submit("/en/logout")
        self.assertNotIn("session", self.browser.cookies)
        self.assert_says(self.browser.follow(answer), "You are signed out.")
        self.browser.cookies["session"] = token
        self.assertIn("/login", self.browser.get("/en/my-account/domains").location)

    def test_expiry(self) -> None:
        """A session lasts thirty days."""
        self.login()
        self.clock.advance(30 * 86_400 + 1)
        self.assertIn("/login", self.browser.get("/en/my-account/domains").location)

    def test_banned(self) -> None:
        """A banned account is no longer signed in."""
        self.login()
        user = self.now(self.accounts.user_by_email("kim@example.com"))
        self.now(self.accounts.update_user(user.id, 1.0, is_banned=True))
        self.assertIn("/login", self.browser.get("/en/my-account/domains").location)

    def test_scripts(self) -> None:
        """A script gets JSON: where to go, what is wrong, that it must sign in."""
        self.browser.headers.update(JSON)
        self.assertEqual(401, self.browser.get("/en/my-account/domains").json["statusCode"])
        wrong = self.browser.submit("/en/login", email="kim@example.com", password="wrong")
        self.assertEqual(400, wrong.json["statusCode"])
        good = self.browser.submit("/en/login", email="kim@example.com", password=PASSWORD)
        self.assertEqual({"redirectTo": "/en/my-account/domains"}, good.json)

    def test_forged_notice(self) -> None:
        """A made-up notice says nothing, and a name in it is escaped."""
        self.browser.cookies["notice"] = "nonsense:%3Cb%3E"
        self.assertNotIn("nonsense", self.browser.get("/en/login").text)
        self.browser.cookies["notice"] = "alias-saved:%3Cb%3Ex"
        self.assertIn("&lt;b&gt;x", self.browser.get("/en/login").text)


class AccountTests(WebTestCase):
    """Profile and security."""

    def setUp(self) -> None:
        """Somebody is signed in."""
        super().setUp()
        self.browser.sign_up()

    def test_profile(self) -> None:
        """Names and language are kept; the page answers in the new language."""
        answer = self.browser.submit(
            "/en/my-account/profile",
            _method="PUT",
            email="kim@example.com",
            given_name="Kim",
            family_name="Berg",
            locale="da",
        )
        self.assertEqual("/da/my-account/profile", answer.location)
        self.assert_says(self.browser.follow(answer), "Din profil blev gemt.")
        self.assertIn('value="Berg"', self.browser.get("/en/my-account/profile").text)

    def test_bad_profile(self) -> None:
        """A bad address: 400, and what was typed stays."""
        answer = self.browser.submit("/en/my-account/profile", _method="PUT", email="nonsense")
        self.assertEqual(400, answer.status)
        self.assertIn('value="nonsense"', answer.text)

    def change(self, old: str, new: str, again: str) -> int:
        """Change the password."""
        return self.browser.submit(
            "/en/my-account/profile",
            _method="PUT",
            change_password="true",
            old_password=old,
            password=new,
            confirm_password=again,
        ).status

    def test_password(self) -> None:
        """The old one must be right, the new ones equal and strong."""
        new = "seven green kettles dream aloud"
        self.assertEqual(400, self.change("wrong", new, new))
        self.assertEqual(400, self.change(PASSWORD, new, new + "x"))
        self.assertEqual(400, self.change(PASSWORD, "password", "password"))
        self.assertEqual(302, self.change(PASSWORD, new, new))
        login = self.new_browser().submit("/en/login", email="kim@example.com", password=new)
        self.assertEqual(302, login.status)

    def is_signed_in(self, browser: Browser) -> bool:
        """Does a page of the account open?"""
        return "/login" not in browser.get("/en/my-account").location

    def second(self) -> Browser:
        """The same person in another browser."""
        other = self.new_browser()
        other.submit("/en/login", email="kim@example.com", password=PASSWORD)
        self.assertTrue(self.is_signed_in(other))
        return other

    def test_password_ends_sessions(self) -> None:
        """A changed password ends the sessions of other browsers, and a copied cookie of this."""
        other, copied = self.second(), self.new_browser()
        copied.cookies.update(self.browser.cookies)
        new = "seven green kettles dream aloud"
        self.assertEqual(302, self.change(PASSWORD, new, new))
        self.assertTrue(self.is_signed_in(self.browser))
        self.assertFalse(self.is_signed_in(other))
        self.assertFalse(self.is_signed_in(copied))

    def test_sign_out_everywhere(self) -> None:
        """All browsers but this one; the session here is a new one."""
        other, copied = self.second(), self.new_browser()
        copied.cookies.update(self.browser.cookies)
        page = self.browser.follow(self.browser.submit("/en/my-account/security"))
        self.assert_says(page, "Every other browser is signed out.")
        self.assertTrue(self.is_signed_in(self.browser))
        self.assertFalse(self.is_signed_in(other))
        self.assertFalse(self.is_signed_in(copied))

    def test_leave(self) -> None:
        """With the password, the account goes with its domains; the sessions end."""
        leaver = self.new_browser()
        leaver.sign_up("alex@example.com")
        leaver.add_domain("example.net")
        elsewhere = self.new_browser()
        elsewhere.submit("/en/login", email="alex@example.com", password=PASSWORD)
        wrong = leaver.submit("/en/my-account", _method="DELETE", leave_password="wrong")
        self.assertEqual(400, wrong.status)
        self.assert_says(wrong, "The current password is not correct.")
        self.assertIn('aria-describedby="leave_password-error"', wrong.text)
        answer = leaver.submit("/en/my-account", _method="DELETE", leave_password=PASSWORD)
        self.assert_says(leaver.follow(answer), "Your account and everything in it was removed.")
        self.assertFalse(self.is_signed_in(leaver))
        self.assertFalse(self.is_signed_in(elsewhere))
        self.assertEqual((), self.now(self.accounts.domains_named("example.net")))
        again = leaver.submit("/en/login", email="alex@example.com", password=PASSWORD)
        self.assertEqual(400, again.status)

    def test_last_admin_stays(self) -> None:
        """A server without an admin would belong to the next stranger."""
        self.new_browser().sign_up("alex@example.com")
        asked = self.browser.get("/en/my-account/remove")
        self.assertEqual(403, asked.status, "no password is asked for in vain")
        self.assert_says(asked, "You are the only administrator")
        answer = self.browser.submit("/en/my-account", _method="DELETE", leave_password=PASSWORD)
        self.assertEqual(403, answer.status)
        self.assert_says(answer, "You are the only administrator")
        alex = self.now(self.accounts.user_by_email("alex@example.com"))
        self.now(self.accounts.update_user(alex.id, 1.0, group="admin"))
        self.assertEqual(200, self.browser.get("/en/my-account/remove").status)
        answer = self.browser.submit("/en/my-account", _method="DELETE", leave_password=PASSWORD)
        self.assertEqual(302, answer.status)

    def test_token(self) -> None:
        """The token is shown, works, and is replaced at once."""
        user = self.now(self.accounts.user_by_email("kim@example.com"))
        token = self.now(self.services.users.api_token(user))
        self.assertIn(token, self.browser.get("/en/my-account/security").text)
        answer = self.browser.submit("/en/my-account/security", _method="DELETE", confirm="true")
        page = self.browser.follow(answer)
        self.assert_says(page, "You have a new API token")
        self.assertNotIn(token, page.text)
