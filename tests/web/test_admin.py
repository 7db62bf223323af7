"""What whoever runs the server decides."""

import attrs

from fe_mail.model.ids import DomainId
from tests.web.pages import WebTestCase


class AdminTests(WebTestCase):
    """Kim runs the server, Alex uses it."""

    def setUp(self) -> None:
        """Two accounts."""
        super().setUp()
        self.browser.sign_up()
        self.alex = self.new_browser()
        self.alex.sign_up("alex@example.com")

    def test_not_for_others(self) -> None:
        """For everybody else there is no such page, and no link to it."""
        for path in ("/admin", "/admin/people", "/admin/domains"):
            self.assertEqual(404, self.alex.get(f"/en{path}").status)
            self.assertEqual(200, self.browser.get(f"/en{path}").status)
        refused = self.alex.submit("/en/admin", _method="PUT", registration="closed")
        self.assertEqual(404, refused.status)
        self.assertNotIn("/en/admin", self.alex.get("/en/my-account/profile").text)
        self.assertIn("/en/admin", self.browser.get("/en/my-account/profile").text)

    def test_registration(self) -> None:
        """Closed and opened again: the pages offer what is true."""
        for state, says, offers in (
            ("closed", "Nobody may register now", False),
            ("open", "Everybody may register now", True),
        ):
            answer = self.browser.submit("/en/admin", _method="PUT", registration=state)
            self.assert_says(self.browser.follow(answer), says)
            for path in ("/en/", "/en/register"):
                page = self.new_browser().get(path)
                self.assertEqual(offers, 'name="password"' in page.text, (state, path))
                self.assertEqual(not offers, "Registration is closed" in page.text)
            self.assertEqual(offers, "No account yet?" in self.new_browser().get("/en/login").text)
            self.assertEqual(offers, "/en/register" in self.new_browser().get("/en/login").text)
        wrong = self.browser.submit("/en/admin", _method="PUT", registration="ajar")
        self.assertEqual(400, wrong.status)
        self.assert_says(wrong, "Registration is open or closed.", "Close registration")

    def test_verifies_a_person(self) -> None:
        """Where mail does not arrive the admin knows whose address it is."""
        robin = self.new_browser()
        robin.submit("/en/register", email="robin@example.com", password="purple otter 9 kettles")
        self.assert_says(self.browser.get("/en/admin/people"), "robin@example.com", "not verified")
        user = self.now(self.accounts.user_by_email("robin@example.com"))
        answer = self.browser.submit(f"/en/admin/people/{user.id}", _method="PUT")
        self.assert_says(self.browser.follow(answer), "robin@example.com")
        self.assertEqual(302, robin.get("/en/my-account/domains").status)
        self.assertEqual(200, robin.get("/en/my-account/domains/new").status)
        unknown = self.browser.submit("/en/admin/people/nobody", _method="PUT")
        self.assertEqual(404, unknown.status)

    def test_allows_a_domain(self) -> None:
        """A domain whose records are in place waits until it is allowed, and can be stopped."""
        self.alex.add_domain()
        domain = self.now(self.accounts.domains_named("example.org"))[0]
        self.assert_says(self.browser.get("/en/admin"), "None waits.")
        self.now(self.accounts.update_domain(domain.id, 1.0, smtp_verified_at=1.0))
        self.assert_says(self.browser.get("/en/admin"), "example.org", "alex@example.com")
        for allowed, says in (("true", "may send now"), ("false", "may not send any more")):
            fields = {"_method": "PUT", "allowed": allowed}
            answer = self.browser.submit(f"/en/admin/domains/{domain.id}", **fields)
            self.assert_says(self.browser.follow(answer), says)
            stored = self.now(self.accounts.domain(domain.id))
            self.assertEqual(allowed == "true", stored.has_smtp)

    def test_neither_yes_nor_no(self) -> None:
        """Decides nothing."""
        self.alex.add_domain()
        domain = self.now(self.accounts.domains_named("example.org"))[0]
        self.now(self.accounts.update_domain(domain.id, 1.0, has_smtp=True))
        for fields in ({}, {"allowed": "perhaps"}):
            answer = self.browser.submit(f"/en/admin/domains/{domain.id}", _method="PUT", **fields)
            self.assertEqual(400, answer.status)
        self.assertTrue(self.now(self.accounts.domain(domain.id)).has_smtp)

    def test_own_domains_always_send(self) -> None:
        """Nobody is told that a domain stopped sending that goes on."""
        self.browser.add_domain()
        domain = self.now(self.accounts.domains_named("example.org"))[0]
        fields = {"_method": "PUT", "allowed": "false"}
        answer = self.browser.submit(f"/en/admin/domains/{domain.id}", **fields)
        self.assertEqual(400, answer.status)
        self.assert_says(answer, "The domain of an administrator of the server may always send.")

    def test_many_domains(self) -> None:
        """None that waits is left out, however many there are."""
        self.alex.add_domain("example.org")
        domain = self.now(self.accounts.domains_named("example.org"))[0]
        self.now(self.accounts.update_domain(domain.id, 1.0, smtp_verified_at=1.0))
        for n in range(1001):
            other = attrs.evolve(domain, id=DomainId(f"{n:024x}"), name=f"d{n}.example")
            self.now(self.accounts.add_domain(attrs.evolve(other, smtp_verified_at=0.0)))
        last = self.now(self.accounts.domains_named("d1000.example"))[0]
        self.now(self.accounts.update_domain(last.id, 1.0, smtp_verified_at=1.0))
        self.assert_says(self.browser.get("/en/admin"), "example.org", "d1000.example")
