"""Which redirect targets are local."""

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from fe_mail.web.origin import is_own, local_target


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


class OwnTests(SynchronousTestCase):
    """Comparing origins."""

    def own(self, **changes: str | bool) -> bool:
        """Is a request with these headers ours?"""
        values = {"site": "", "origin": "", "referer": "", "host": "a.example", "is_secure": True}
        return is_own(**{**values, **changes})  # type: ignore[arg-type]

    def test_default_ports(self) -> None:
        """A default port may be named or not."""
        self.assertTrue(self.own(origin="https://a.example:443"))
        self.assertTrue(self.own(origin="https://A.example", host="a.example:443"))
        self.assertFalse(self.own(origin="https://a.example:444"))
        self.assertFalse(self.own(origin="https://a.example", host="a.example:x"))

    def test_no_browser(self) -> None:
        """Without any header it is no browser, so nobody was tricked."""
        self.assertTrue(self.own())
        self.assertTrue(self.own(site="none"))
