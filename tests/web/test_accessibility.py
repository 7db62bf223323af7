"""
What assistive technology needs of every page, checked in the HTML itself.

WCAG 2.2: 1.3.1 and 4.1.2 (labels, names), 1.3.1 and 2.4.6 (headings), 2.4.1 (skip link,
landmarks), 2.4.2 (titles), 3.1.1 (language). Contrast is tested in ``test_style``.
"""

import itertools
from collections import Counter
from html.parser import HTMLParser

import attrs

from tests.http.world import PASSWORD, Answer
from tests.web.pages import WebTestCase

_VOID = frozenset({"input", "meta", "link", "br", "wbr", "img", "path", "rect"})
_FIELDS = frozenset({"input", "select", "textarea"})
_NAMED = frozenset({"a", "button", "summary", "h1", "h2", "h3", "h4", "title", "label", "th"})


@attrs.define
class Element:
    """A tag with its attributes and the text inside it."""

    tag: str
    attributes: dict[str, str]
    text: str = ""

    def get(self, name: str) -> str:
        """An attribute; empty if absent."""
        return self.attributes.get(name, "")


class Outline(HTMLParser):
    """The elements of a page in their order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[Element] = []
        self._open: list[Element] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """An element begins."""
        element = Element(tag, {name: value or "" for name, value in attrs})
        self.elements.append(element)
        if tag not in _VOID:
            self._open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """An element without content."""
        self.elements.append(Element(tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        """An element ends; the pages are well-formed, so it is the innermost one."""
        last = self._open.pop()
        if last.tag != tag:
            raise AssertionError(f"<{last.tag}> ends as </{tag}>")

    def handle_data(self, data: str) -> None:
        """Text belongs to everything around it."""
        for element in self._open:
            element.text += data

    def all(self, *tags: str) -> list[Element]:
        """The elements with these tags."""
        return [element for element in self.elements if element.tag in tags]


class AccessibilityTests(WebTestCase):
    """Every page, in both languages, with and without errors."""

    def check(self, answer: Answer, language: str = "en") -> None:
        """All rules on one page."""
        self.assertIn(answer.status, (200, 400, 403, 404))
        page = Outline(answer.text)
        self._check_frame(page, language)
        self._check_headings(page)
        self._check_fields(page)
        self._check_errors(page)
        self._check_names(page)
        self._check_references(page)

    def _check_frame(self, page: Outline, language: str) -> None:
        self.assertEqual([language], [each.get("lang") for each in page.all("html")])
        self.assertTrue(page.all("title")[0].text.strip(" ·\n"))
        for landmark in ("header", "main", "footer"):
            self.assertEqual(1, len(page.all(landmark)), landmark)
        names = [each.get("aria-label") for each in page.all("nav")]
        self.assertTrue(all(names), "a navigation without a name")
        self.assertEqual(len(names), len(set(names)), names)
        links = page.all("a")
        self.assertEqual("#content", links[0].get("href"), "the skip link comes first")
        self.assertEqual(["content"], [each.get("id") for each in page.all("main")])

    def _check_headings(self, page: Outline) -> None:
        levels = [int(each.tag[1]) for each in page.all("h1", "h2", "h3", "h4")]
        self.assertEqual(1, levels.count(1), "one main heading")
        self.assertEqual(1, levels[0])
        for before, level in itertools.pairwise(levels):
            self.assertTrue(level <= before + 1, f"h{before} is followed by h{level}")

    def _check_fields(self, page: Outline) -> None:
        labeled = {each.get("for") for each in page.all("label") if each.text.strip()}
        for field in page.all(*_FIELDS):
            if field.get("type") != "hidden":
                self.assertIn(field.get("id"), labeled, field)

    def _check_errors(self, page: Outline) -> None:
        """What is wrong stands at its field, which leads there from the top, and never hides."""
        wrong = [each for each in page.all(*_FIELDS) if each.get("aria-invalid")]
        for field in wrong:
            self.assertIn(f"{field.get('id')}-error", field.get("aria-describedby").split())
            links = [each.get("href") for each in page.all("a")]
            self.assertIn(f"#{field.get('id')}", links)
        if wrong or "bad" in [word for each in page.all("p") for word in each.get("class").split()]:
            self.assertTrue(page.all("title")[0].text.startswith(("Error: ", "Fejl: ")))

    def _check_names(self, page: Outline) -> None:
        for element in page.all(*_NAMED):
            self.assertTrue(element.text.strip() or element.get("aria-label"), element)
        for image in page.all("img"):
            self.assertIn("alt", image.attributes)
        for table in page.all("table"):
            self.assertEqual("table", table.get("role"))

    def _check_references(self, page: Outline) -> None:
        ids = Counter(each.get("id") for each in page.elements if each.get("id"))
        self.assertEqual([], [name for name, count in ids.items() if count > 1], "an id twice")
        for element in page.elements:
            for attribute in ("aria-describedby", "aria-labelledby", "for"):
                for name in element.get(attribute).split():
                    self.assertIn(name, ids, f"{attribute} of {element.tag}")

    def test_strangers(self) -> None:
        """The pages for everybody, and their refusals."""
        for language in ("en", "da"):
            for path in ("/", "/register", "/login", "/nothing"):
                self.check(self.browser.get(f"/{language}{path}"), language)
        self.check(self.browser.submit("/en/register", email="x", password="x"))
        self.check(self.browser.submit("/en/login", email="x", password="x"))

    def test_account(self) -> None:
        """Profile and security, and their refusals."""
        self.browser.sign_up()
        for path in ("profile", "security", "domains/new"):
            self.check(self.browser.get(f"/da/my-account/{path}"), "da")
        self.check(self.browser.get("/en/logout"))
        profile = "/en/my-account/profile"
        self.check(self.browser.submit(profile, _method="PUT", email="x"))
        self.check(self.browser.submit(profile, _method="PUT", change_password="true"))
        self.check(self.browser.get("/da/my-account/security/new-token"), "da")
        self.check(self.browser.get("/da/my-account/remove"), "da")
        self.check(self.browser.submit("/en/my-account/security", _method="DELETE"))
        self.check(self.browser.submit("/en/my-account", _method="DELETE", leave_password="x"))
        self.check(self.browser.submit("/en/my-account/domains/new", domain="x"))

    def test_domains(self) -> None:
        """The list and the set-up page: unchecked, wrong, unanswered, right."""
        self.browser.sign_up()
        path = self.browser.add_domain()
        self.check(self.browser.get("/en/my-account/domains"))
        self.check(self.browser.get("/en/my-account/domains?q=zzz"))
        self.check(self.browser.get(path))
        self.check(self.browser.submit(f"{path}/verify-records"))
        self.resolver.failing.add("example.org")
        self.check(self.browser.submit(f"{path}/verify-records"))
        self.resolver.failing.clear()
        self.publish("example.org")
        ready = self.browser.submit(f"{path}/verify-records")
        self.assert_says(ready, "The domain is ready")
        self.check(ready)
        self.check(self.browser.get(f"{path}/remove"))
        self.check(self.browser.submit(path, _method="DELETE", confirm="x"))
        self.check(self.browser.get(f"{path}/webhook-key"))
        self.check(self.browser.get(f"{path}/webhook-key/replace"))

    def test_aliases(self) -> None:
        """List, form, password, in every state."""
        self.browser.sign_up()
        path = f"{self.browser.add_domain()}/aliases"
        self.check(self.browser.get(f"{path}?to=somebody"))
        self.check(self.browser.get(f"{path}?q=zzz"))
        self.check(self.browser.get(f"{path}/new"))
        self.check(self.browser.submit(path, name="a b"))
        self.browser.submit(path, name="kim", has_imap="true", is_enabled="true", labels="x")
        for page in ("", "?sort=-name", "/kim", "/kim/generate-password"):
            self.check(self.browser.get(f"{path}{page}"))
        self.check(self.browser.get(f"{path}/kim/disable"))
        self.check(self.browser.submit(f"{path}/kim/generate-password"))
        self.check(self.browser.get(f"{path}/kim/generate-password"))
        self.check(self.browser.get(f"{path}/kim/generate-password/anew"))
        self.check(self.browser.get(f"{path}/kim/remove"))
        self.check(self.browser.submit(f"{path}/kim", _method="DELETE"))
        self.check(self.browser.submit(f"{path}/kim", _method="PUT", is_enabled="true"))
        self.check(self.browser.submit(f"{path}/kim/generate-password", password=PASSWORD))
