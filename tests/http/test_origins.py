"""One spelling for each origin."""

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from fe_mail.http.origins import origin_of


class OriginTests(SynchronousTestCase):
    """RFC 6454 §4."""

    def test_one_spelling(self) -> None:
        """Default ports, capitals, paths, Unicode, the dot of the root, forms of IPv6."""
        for spellings in (
            ("https://a.example", "https://A.example:443/x?y", "HTTPS://a.example.", "https://a.example:"),
            ("http://a.example", "http://a.example:80"),
            ("https://blåbær.example", "https://xn--blbr-roah.example", "https://BLÅBÆR.example."),
            ("http://[::1]:3000", "http://[0:0::1]:3000/"),
            ("http://fe_mail:3000", "http://FE_mail:3000"),
        ):  # fmt: skip
            with self.subTest(spellings=spellings):
                self.assertEqual(1, len({origin_of(each) for each in spellings}))
                self.assertIsNotNone(origin_of(spellings[0]))

    def test_different(self) -> None:
        """Scheme, host and port all count."""
        urls = ("http://a.b", "https://a.b", "https://a.b:8443", "https://www.a.b", "https://b")
        self.assertEqual(len(urls), len({origin_of(url) for url in urls}))

    def test_none(self) -> None:
        """What has no host, no port that is one, or another scheme."""
        for url in ("", "null", "a.b", "//a.b", "https://", "ftp://a.b", "https://a.b:0",
                    "https://a.b:70000", "http://[::1", "data:text/html,x"):  # fmt: skip
            self.assertIsNone(origin_of(url), url)

    @given(st.text(max_size=40) | st.text(max_size=30).map(lambda text: f"https://{text}"))
    @settings(max_examples=200, deadline=None)
    def test_anything(self, text: str) -> None:
        """An origin, or none."""
        origin_of(text)
