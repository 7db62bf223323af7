"""Domains: the list, a new one, the set-up page and its check."""

from urllib.parse import quote

import attrs

from fe_mail.http.limits import CHECKS, limit_counter
from fe_mail.model.account import Member
from fe_mail.model.counting import Claim
from fe_mail.model.ids import DomainId
from fe_mail.model.vantage import OwnAddresses
from tests.http.world import HOST
from tests.web.pages import WebTestCase

JSON = {"Accept": "application/json"}


class DomainTests(WebTestCase):
    """Somebody who has just registered."""

    def setUp(self) -> None:
        """Sign up."""
        super().setUp()
        self.browser.sign_up()

    def test_none(self) -> None:
        """Without a domain the list leads to the form for the first."""
        self.assertEqual("/en/my-account/domains", self.browser.get("/en/my-account").location)
        answer = self.browser.get("/en/my-account/domains")
        self.assertEqual("/en/my-account/domains/new", answer.location)

    def test_add(self) -> None:
        """A new domain leads to its records; every one can be copied."""
        answer = self.browser.submit("/en/my-account/domains/new", domain=" Example.ORG ")
        self.assertEqual("/en/my-account/domains/example.org", answer.location)
        page = self.browser.follow(answer)
        self.assert_says(page, "The domain was added.", "mx.example.net", "_dmarc", "required")
        records = self.services.domains.records(self.domain())
        for record in records:
            self.assertIn(record.value.replace("'", "&#39;"), page.text)
        # Each has a name and a value to copy; the hosts of the server only addresses.
        server = [each for each in self.services.domains.server_records(self.domain()) if each.type]
        named = [each for each in server if each.purpose != "host"]
        copies = 2 * len(records) + len(server) + len(named)
        self.assertEqual(copies, page.text.count('class="copy"'))

    def domain(self):  # type: ignore[no-untyped-def]
        """The domain as it is stored."""
        return self.now(self.accounts.domains_named("example.org"))[0]

    def test_refused(self) -> None:
        """Bad names say why; ``www.`` gets advice; a known one leads to its aliases."""
        for name, says in (
            ("no", "only a part of a domain"),
            ("a b.org", "not valid"),
            ("", "Write the name of your domain"),
            ("gmail.com", "belongs to a mail provider"),
            ("https://www.gmail.com/", "belongs to a mail provider"),
            ("1.2.3.4", "1.2.3.4 is an IP address"),
        ):
            with self.subTest(name=name):
                answer = self.browser.submit("/en/my-account/domains/new", domain=name)
                self.assertEqual(400, answer.status)
                self.assert_says(answer, says)
        self.browser.add_domain()
        again = self.browser.submit("/en/my-account/domains/new", domain="example.org")
        self.assertEqual("/en/my-account/domains/example.org/aliases", again.location)
        self.assert_says(self.browser.follow(again), "You have this domain already.")

    def test_pasted(self) -> None:
        """The address of the web site, or of a mailbox, means its domain."""
        for text in ("https://www.Example.org/contact?x", "Kim <kim@example.org>", "example.org."):
            answer = self.browser.submit("/en/my-account/domains/new", domain=text)
            self.assertIn("/en/my-account/domains/example.org", answer.location, text)
        self.assertEqual("example.org", self.domain().name)

    def test_check(self) -> None:
        """A check explains what is wrong, record by record, until all is right."""
        path = self.browser.add_domain()
        bad = self.browser.submit(f"{path}/verify-records")
        self.assertEqual(400, bad.status)
        self.assert_says(bad, "Not everything is in place", "missing", "MX not verified")
        self.publish("example.org")
        good = self.browser.submit(f"{path}/verify-records")
        self.assertEqual(200, good.status)
        self.assert_says(good, "The domain is ready", "MX correct", "Ownership proven", "May send")
        self.assert_says(good, "Last checked: 2027-01-15 08:00 UTC")
        for badge in ("missing", "wrong", "cannot be told"):
            self.assertNotIn(f">{badge}<", good.text)
        again = self.browser.follow(self.browser.get(f"{path}/verify-records"))
        self.assert_says(again, "The domain is ready", "MX correct")

    def test_checks_of_an_hour(self) -> None:
        """Each asks the DNS many questions, so there are so many in an hour, by both doors."""
        alex = self.new_browser()
        alex.sign_up("alex@example.com")
        path = alex.add_domain("alex.test")
        self.spend("alex@example.com", CHECKS.calls - 1)
        self.assertEqual(400, alex.submit(f"{path}/verify-records").status)
        asked = len(self.resolver.asked)
        refused = alex.submit(f"{path}/verify-records")
        self.assertEqual(429, refused.status)
        self.assertTrue(0 < int(refused.header("Retry-After")) <= CHECKS.window)
        self.assertEqual(asked, len(self.resolver.asked))
        self.browser.submit(f"{self.browser.add_domain()}/verify-records")
        self.assertEqual(1, self.spend("kim@example.com", 1))  # of the admin none is counted

    def spend(self, email: str, checks: int) -> int:
        """Count some for an account; how many it has then."""
        user = self.now(self.accounts.user_by_email(email))
        counter = limit_counter(CHECKS.name, user.id, CHECKS.window)
        (count,) = self.now(self.counters.take(Claim(counter, checks))).counts
        return count.value

    def test_green_is_never_a_guess(self) -> None:
        """With every record published as shown, the server's own faults are seen all the same."""
        path = self.browser.add_domain()
        self.publish("example.org")
        for break_it, says, outcome in (
            (self.lose_address, "mx.example.net has no address", "Not everything is in place"),
            (self.lead_elsewhere, "no address of this server", "Not everything is in place"),
            (self.another_greets, "another server answers", "Not everything is in place"),
            (self.lose_name, "has no name (PTR record)", "What is necessary is in place"),
            (self.lose_name_unheard, "has no name (PTR record)", "Something is missing, and not"),
            (self.know_little, "nobody on the Internet reaches", "Something is missing, and not"),
            (self.know_nothing, "set SERVER_ADDRESSES", "Nothing wrong was found, but"),
        ):
            with self.subTest(says=says):
                self.resolver.table.update(HOST)
                break_it()
                page = self.browser.submit(f"{path}/verify-records")
                self.assert_says(page, says, outcome)
                self.assertNotIn("The domain is ready", page.text)

    def test_forbidden(self) -> None:
        """An SPF record that others refuse our mail for is worse than none, and no detail."""
        path = self.browser.add_domain()
        self.publish("example.org")
        texts = self.resolver.table["example.org", "TXT"]
        kept = tuple(text for text in texts if "spf1" not in str(text))
        self.resolver.table["example.org", "TXT"] = kept
        page = self.browser.submit(f"{path}/verify-records")
        self.assertEqual(200, page.status)
        self.assert_says(page, "has no SPF record", "What is necessary is in place")
        self.resolver.table["example.org", "TXT"] = (*kept, "v=spf1 ip4:5.9.0.25 -all")
        page = self.browser.submit(f"{path}/verify-records")
        self.assertEqual(400, page.status)
        self.assert_says(page, "does not let 192.0.2.25", "Not everything is in place")

    def lose_address(self) -> None:
        """The MX host has none."""
        del self.resolver.table["mx.example.net", "A"]

    def lead_elsewhere(self) -> None:
        """It has somebody else's."""
        self.resolver.table["mx.example.net", "A"] = ("5.9.0.25",)

    def another_greets(self) -> None:
        """Somebody else has the port."""
        self.vantage.greetings = dict.fromkeys(self.vantage.greetings, "220 old.example.net")

    def lose_name(self) -> None:
        """The address has no name."""
        self.vantage.greetings = dict.fromkeys(self.vantage.greetings, "220 mail.example.net")
        self.resolver.table["192.0.2.25", "PTR"] = ()

    def lose_name_unheard(self) -> None:
        """The address has no name, and from here nobody answers at port 25."""
        self.vantage.greetings = {}
        self.resolver.table["192.0.2.25", "PTR"] = ()

    def know_little(self) -> None:
        """Behind a router, and another name of the server leads nowhere."""
        self.vantage.own = OwnAddresses(hidden=(4,))
        self.resolver.table["mx.example.net", "A"] = ("5.9.0.25",)

    def know_nothing(self) -> None:
        """Behind a router."""
        self.know_little()
        self.resolver.table["mail.example.net", "A"] = ("5.9.0.25",)

    def test_zone(self) -> None:
        """Everything to publish as plain text; nobody else may read it."""
        path = self.browser.add_domain()
        answer = self.browser.get(f"{path}/zone")
        self.assertEqual("text/plain; charset=utf-8", answer.header("Content-Type"))
        self.assertIn("$ORIGIN example.org.", answer.text)
        other = self.new_browser()
        other.sign_up("alex@example.com")
        self.assertEqual(404, other.get(f"{path}/zone").status)

    def test_demo(self) -> None:
        """A demo says that its DNS is made up."""
        path = self.browser.add_domain()
        self.assertNotIn("This is a demo", self.browser.get(path).text)
        self.services.domains._site = attrs.evolve(self.site_values, is_demo=True)
        self.assert_says(self.browser.get(path), "This is a demo")

    def test_check_without_answer(self) -> None:
        """Trouble of the DNS is told apart, and nothing stored changes."""
        path = self.browser.add_domain()
        self.publish("example.org")
        self.browser.submit(f"{path}/verify-records")
        self.resolver.failing.add("example.org")
        answer = self.browser.submit(f"{path}/verify-records")
        self.assert_says(answer, "The DNS did not answer every question")
        self.assertTrue(self.domain().has_mx_record)

    def test_language(self) -> None:
        """What the check found is told in the language of the page, names and values included."""
        path = self.browser.add_domain().replace("/en/", "/da/")
        self.resolver.table["example.org", "MX"] = ("10 a.test.", "20 b.test.", "30 c.test.",
                                                    "40 d.test.")  # fmt: skip
        answer = self.browser.submit(f"{path}/verify-records")
        self.assert_says(
            answer,
            "Ikke alt er på plads endnu.",
            "MX-posterne for example.org fører til a.test, b.test, c.test og andre. "
            "Erstat dem med mx.example.net.",
            "Der er ingen DMARC-post ved _dmarc.example.org.",
        )
        self.assertNotIn("Publish", answer.text)
        self.assertNotIn("this server", answer.text)

    def test_advice_only(self) -> None:
        """What is only recommended is explained without calling the check a failure."""
        path = self.browser.add_domain()
        self.publish("example.org")
        rows = self.resolver.table["example.org", "TXT"]
        spf = tuple(row for row in rows if not row.startswith("v=spf1"))
        self.resolver.table["example.org", "TXT"] = spf
        answer = self.browser.submit(f"{path}/verify-records")
        self.assertEqual(200, answer.status)
        self.assert_says(answer, "missing", "MX correct", "What is necessary is in place")

    def test_scripts(self) -> None:
        """A script gets reasons, a reload, a table."""
        path = self.browser.add_domain()
        self.browser.headers.update(JSON)
        bad = self.browser.submit(f"{path}/verify-records")
        self.assertIn("mx.example.net", bad.json["message"])
        self.publish("example.org")
        good = self.browser.submit(f"{path}/verify-records")
        self.assertEqual({"reloadPage": True}, good.json)
        self.assertIn("<table", self.browser.get("/en/my-account/domains").json["table"])

    def test_list(self) -> None:
        """Names, states, search, order, pages."""
        for number in range(12):
            self.browser.add_domain(f"d{number:02}.example")
        page = self.browser.get("/en/my-account/domains?limit=10&sort=-name")
        self.assert_says(page, "d11.example", "Set-up needed", "Page 1", "Page 2")
        self.assertNotIn("d00.example", page.text)
        self.assertIn('aria-sort="descending"', page.text)
        second = self.browser.get("/en/my-account/domains?limit=10&sort=-name&page=2")
        self.assert_says(second, "d00.example")
        self.assertIn('aria-current="page"><span class="hidden">Page </span>2', second.text)
        found = self.browser.get("/en/my-account/domains?q=D03")
        self.assert_says(found, "d03.example")
        self.assertNotIn("d04.example", found.text)
        nothing = self.browser.get("/en/my-account/domains?q=%3Cb%3E")
        self.assert_says(nothing, "No domain matches")
        self.assertNotIn("<b>", nothing.text)

    def test_remove(self) -> None:
        """Only with its name typed; the mailboxes go too."""
        path = self.browser.add_domain()
        refused = self.browser.submit(path, _method="DELETE", confirm="example.com")
        self.assertEqual(400, refused.status)
        self.assert_says(refused, "Type “example.org” to confirm.")
        answer = self.browser.submit(path, _method="DELETE", confirm="Example.org")
        self.assertEqual(302, answer.status)
        self.assertEqual((), self.now(self.accounts.domains_named("example.org")))

    def test_address_literal(self) -> None:
        """An IPv6 address, as one could add before, goes with its name as the page writes it."""
        domain = "[IPv6:2001:db8::1]"
        self.browser.add_domain()
        row = attrs.evolve(self.domain(), id=DomainId("literal"), name=domain)
        self.now(self.accounts.add_domain(row))
        path = f"/en/my-account/domains/{quote(domain, safe='')}"
        answer = self.browser.submit(path, _method="DELETE", confirm=domain)
        self.assertEqual(302, answer.status)
        self.assertEqual((), self.now(self.accounts.domains_named(domain)))

    def test_others(self) -> None:
        """Somebody else sees no such domain; a plain member sees it but cannot change it."""
        path = self.browser.add_domain()
        other = self.new_browser()
        other.sign_up("alex@example.com")
        self.assertEqual(404, other.get(path).status)
        alex = self.now(self.accounts.user_by_email("alex@example.com"))
        self.now(self.accounts.set_member(self.domain().id, Member(user_id=alex.id)))
        page = other.get(path)
        self.assertEqual(200, page.status)
        self.assertNotIn("Remove this domain", page.text)
        self.assertEqual(403, other.submit(f"{path}/verify-records").status)
        gone = other.submit(path, _method="DELETE", confirm="example.org")
        self.assertEqual(403, gone.status)
