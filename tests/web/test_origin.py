"""Where requests come from, and which redirect targets are local."""

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from fe_mail.web.origin import Source, local_target, source_of


class LocalTargetTests(SynchronousTestCase):
    """``return_to``."""

    def test_local(self) -> None:
        """Paths, with a query."""
        for target in ("/", "/en/my-account/domains?q=a", "/en/x#y"):
            self.assertEqual(target, local_target(target, "/home"))

    def test_elsewhere(self) -> None:
        """Everything that a browser might read as another host."""
        for target in (
            "",
            "x",
            "http://evil.example/",
            "//evil.example",
            "/\\evil.example",
            "\\\\evil.example",
            "/%2Fevil.example",
            "/%5Cevil.example",
            "/\t/evil.example",
            "/x\r\nSet-Cookie: a=b",
            "/%0d%0aSet-Cookie: a=b",
            "javascript:alert(1)",
            " /x",
        ):
            with self.subTest(target=target):
                self.assertEqual("/home", local_target(target, "/home"))

    @settings(max_examples=100, deadline=None)
    @given(st.text(alphabet="/\\:%2F5Cab.@?#\r\n\t ", max_size=12))
    def test_any(self, text: str) -> None:
        """Never two slashes in front, never a control character."""
        target = local_target(text, "/home")
        self.assertRegex(target, r"^/(?![/\\])")
        self.assertNotRegex(target, r"[\x00-\x20\\]")


class SourceTests(SynchronousTestCase):
    """Where a request comes from."""

    OWN = ("https://mail.example.org:443", "http://localhost:3000", None)

    def source(self, **said: str) -> Source:
        """What the headers say."""
        return source_of(**{"site": "", "origin": "", "referer": "", "own": self.OWN, **said})  # type: ignore[arg-type]

    def test_browser_decides(self) -> None:
        """Sec-Fetch-Site is its verdict, whatever a proxy or a referrer policy made of the rest."""
        for origin in ("", "null", "http://127.0.0.1:3000", "https://mail.example.org"):
            self.assertIs(Source.OWN, self.source(site="same-origin", origin=origin))
            for site in ("cross-site", "same-site", "Cross-Site", "nonsense"):
                self.assertIs(Source.FOREIGN, self.source(site=site, origin=origin))

    def test_spellings(self) -> None:
        """Default ports, capitals, the dot of the root; the referrer counts where no origin is."""
        for origin in (
            "https://mail.example.org",
            "https://MAIL.example.org:443",
            "https://mail.example.org.",
            "http://localhost:3000",
        ):
            for said in ({"origin": origin}, {"referer": f"{origin}/en/login?a=b"}):
                self.assertIs(Source.OWN, self.source(**said), said)
                self.assertIs(Source.OWN, self.source(site="none", **said), said)

    def test_foreign(self) -> None:
        """Another host, port or scheme; nothing that is no origin is ours."""
        for origin in (
            "null",
            "http://mail.example.org",
            "https://mail.example.org:8443",
            "https://mail.example.org.evil.example",
            "https://evil.example/https://mail.example.org",
            "https://mail.example.org@evil.example",
            "http://localhost",
            "http://[::1",
            "about:blank",
            "file:///etc/passwd",
        ):
            for said in ({"origin": origin}, {"origin": "", "referer": origin}):
                self.assertIs(Source.FOREIGN, self.source(**said), said)
                self.assertIs(Source.FOREIGN, self.source(site="none", **said), said)
        said = {"origin": "https://evil.example", "referer": "https://mail.example.org/"}
        self.assertIs(Source.FOREIGN, self.source(**said))

    def test_unsaid(self) -> None:
        """Nothing is said, or only that nobody asked for it."""
        self.assertIs(Source.UNSAID, self.source())
        self.assertIs(Source.UNSAID, self.source(site="none"))
