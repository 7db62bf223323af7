"""Lists of hundreds: their pages, their search, and that they keep their place."""

import re

from twisted.trial.unittest import SynchronousTestCase

from fe_mail.model.account import Alias
from fe_mail.model.ids import AliasId
from fe_mail.model.page import Page, Query
from fe_mail.web.lists import Listing, kept_place, listing_query
from tests.web.pages import WebTestCase

SORTABLE = ("name", "created_at")


class PlaceTests(SynchronousTestCase):
    """A query as text, and back."""

    def listing(self, page: int, total: int, **query: object) -> Listing[int]:
        """Page ``page`` of ``total`` items."""
        asked = Query(page=page, limit=50, **query)  # type: ignore[arg-type]
        items = tuple(range(max(0, min(50, total - (page - 1) * 50))))
        return Listing(Page(items=items, total=total, page=page, limit=50), asked)

    def test_round(self) -> None:
        """What a list gives along comes back to the same list."""
        place = self.listing(3, 312, q="a&b=c@d", sort="-name").place
        self.assertEqual(place, kept_place(place, SORTABLE))
        values = dict(part.split("=") for part in place.split("&"))
        self.assertEqual(("3", "-name"), (values["page"], values["sort"]))

    def test_foreign(self) -> None:
        """What is no place leads nowhere else."""
        for text in (
            "//evil.example/", "x=y", "page=0", "page=99999999", "sort=password", "limit=7",
            "q=" + "x" * 9000, "&" * 5000, "\r\nSet-Cookie: a=b", "%00", "#a",
        ):  # fmt: skip
            place = kept_place(text, SORTABLE)
            self.assertRegex(place, r"\A(q=x{255})?\Z", text[:40])

    def test_numbers(self) -> None:
        """Both ends and what is near, with gaps."""
        self.assertEqual((1, 2, 3, 0, 7), self.listing(1, 312).numbers)
        self.assertEqual((1, 2, 3, 4, 5, 6, 7), self.listing(4, 312).numbers)
        self.assertEqual((1, 0, 18, 19, 20, 21, 22, 0, 40), self.listing(20, 2000).numbers)
        self.assertEqual((1,), self.listing(1, 0).numbers)

    def test_bounds(self) -> None:
        """The numbers of the first and the last item."""
        listing = self.listing(7, 312)
        self.assertEqual((301, 312), (listing.first, listing.last))

    def test_query(self) -> None:
        """Bad values count as none."""
        asked = listing_query({"q": " a ", "sort": "x", "page": "-1", "limit": "51"}, SORTABLE)
        self.assertEqual(Query(q="a", page=1, limit=50), asked)


class HundredsTests(WebTestCase):
    """A domain with 312 aliases and its catch-all."""

    def setUp(self) -> None:
        """Add them to the store."""
        super().setUp()
        self.browser.sign_up()
        self.path = f"{self.browser.add_domain()}/aliases"
        domain = self.now(self.accounts.domains_named("example.org"))[0]
        user = self.now(self.accounts.user_by_email("kim@example.com"))
        for number in range(312):
            alias = Alias(
                id=AliasId(f"{number:024x}"),
                domain_id=domain.id,
                user_id=user.id,
                name=f"shop-{number:03}",
                description="Old town" if number % 10 == 0 else "",
                labels=("family",) if number == 7 else (),
                recipients=("kim@example.com", "lis@b.example") if number == 8 else (),
                created_at=self.clock.seconds() + number + 1,
            )
            self.now(self.accounts.add_alias(alias))

    def shown(self, query: str = "") -> list[str]:
        """The aliases on a page of the list."""
        page = self.browser.get(f"{self.path}{query}")
        return re.findall(r'title="([^"@]+)@example.org"><span', page.text)

    def test_newest_first(self) -> None:
        """The one that was just made stands on top; the total is told."""
        shown = self.shown()
        self.assertEqual((50, "shop-311"), (len(shown), shown[0]))
        self.assert_says(self.browser.get(self.path), "1 to 50 of 313", "200 on a page")
        self.assertEqual(200, len(self.shown("?limit=200")))
        self.assertEqual("*", self.shown("?sort=name")[0])

    def test_behind_the_last_page(self) -> None:
        """The last page, not an assertion that there are none; here and among domains."""
        self.assertEqual(13, len(self.shown("?page=99")))
        page = self.browser.get(f"{self.path}?page=99")
        self.assert_says(page, "301 to 313 of 313")
        self.assertNotIn("There are no aliases", page.text)
        domains = self.browser.get("/en/my-account/domains?page=99")
        self.assert_says(domains, "example.org")
        self.assertNotIn("No domain", domains.text)
        self.assertEqual(["shop-007"], self.shown("?q=family&page=9"))

    def test_search(self) -> None:
        """By name, description, label, recipient, and by the whole address."""
        for asked, count in (
            ("shop-01", 10), ("OLD%20TOWN", 32), ("family", 1), ("lis@b", 1),
            ("shop-123%40example.org", 1), ("shop-123%40", 1), ("nothing", 0),
        ):  # fmt: skip
            self.assertEqual(count, len(self.shown(f"?q={asked}")), asked)
        page = self.browser.get(f"{self.path}?q=shop-01&sort=-name")
        self.assert_says(page, "10 aliases", "Show all")
        self.assertIn('<input type="hidden" name="sort" value="-name">', page.text)

    def links(self, page: str, end: str) -> str:
        """The link to a page behind the row of an alias."""
        text = self.browser.get(page).text.replace("&amp;", "&")
        return next(link for link in re.findall(r'href="([^"]+)"', text) if end in link)

    def test_keeps_its_place(self) -> None:
        """After saving, switching, cancelling, removing: the same page of the same search."""
        at = f"{self.path}?q=shop&sort=name&page=3"
        alias = f"{104:024x}"
        form = self.browser.get(self.links(at, "/shop-104?"))
        place = re.search(r'name="place" value="([^"]+)"', form.text)
        assert place is not None
        kept = place[1].replace("&amp;", "&")
        self.assertIn(f'href="{at}#alias-{alias}"'.replace("&", "&amp;"), form.text)
        back = f"{at}#alias-{alias}"
        url = f"{self.path}/shop-104"
        saved = self.browser.submit(url, _method="PUT", is_enabled="true", place=kept)
        self.assertEqual(back, saved.location)
        switch = {"_method": "PUT", "_section": "enabled", "place": kept}
        off = self.browser.submit(url, is_enabled="false", error_code_if_disabled="550", **switch)
        self.assertEqual(back, off.location)
        self.assertEqual(back, self.browser.submit(url, is_enabled="true", **switch).location)
        gone = self.browser.submit(url, _method="DELETE", confirm="true", place=kept)
        self.assertEqual(at, gone.location)

    def test_place_through_questions(self) -> None:
        """The pages of confirmation carry it along."""
        at = f"{self.path}?page=2"
        for act in ("disable", "remove"):
            page = self.browser.get(f"{self.path}/shop-200/{act}?place=page%3D2")
            self.assertIn('name="place" value="page=2"', page.text, act)
            self.assertIn("?place=page%3D2", page.text, act)
        self.assertIn(f'href="{at}', self.browser.get(f"{self.path}/shop-200?place=page%3D2").text)

    def test_one_line(self) -> None:
        """No address breaks; what is cut off is told to who asks."""
        long = "a-very-long-name-for-an-alias-that-somebody-has-really-made"
        self.clock.advance(1000)
        self.browser.submit(self.path, name=long, recipients="b@c.dk\nd@e.dk", is_enabled="true")
        text = self.browser.get(self.path).text
        self.assertIn(
            f'title="{long}@example.org"><span class="hidden">Edit </span>{long}@example.org</a>',
            text,
        )
        self.assertIn('title="d@e.dk"', text)
        self.assertNotIn("<wbr>@", text.partition("<table")[2].partition("</table>")[0])


class NameTests(WebTestCase):
    """Names that would mean a page."""

    def test_new(self) -> None:
        """An alias called "new" can be edited, switched and removed like any other."""
        self.browser.sign_up()
        path = f"{self.browser.add_domain()}/aliases"
        self.browser.submit(path, name="new", is_enabled="true", recipients="a@b.example")
        text = self.browser.get(path).text
        link = re.search(
            r'href="([^"]+)"[^>]*><span class="hidden">Edit </span>new@example.org', text
        )
        assert link is not None
        self.assert_says(self.browser.get(link[1]), "new@example.org", "Remove this alias")


class FirstFormTests(WebTestCase):
    """Who sets a server up is offered its own domain."""

    domain = "example.net"

    def test_offered(self) -> None:
        """To the server's admin, until it is there; to nobody else."""
        self.browser.sign_up()
        self.assertIn('value="example.net"', self.browser.get("/en/my-account/domains/new").text)
        other = self.new_browser()
        other.sign_up("alex@example.com")
        self.assertNotIn("example.net", other.get("/en/my-account/domains/new").text)
        self.browser.add_domain("example.net")
        page = self.browser.get("/en/my-account/domains/new")
        self.assertNotIn('value="example.net"', page.text)
