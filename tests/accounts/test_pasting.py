"""Tests of fe_mail.accounts.pasting: what people paste means what they meant."""

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from fe_mail.accounts.pasting import pasted_domain, pasted_local, pasted_recipients
from fe_mail.model.errors import Invalid
from tests.growth import assert_linear

FIRMA = """
firma.dk
 Firma.DK.
www.firma.dk
https://firma.dk/
https://www.firma.dk/kontakt?a=b@c#d
HTTPS://FIRMA.DK:443
http:firma.dk
//firma.dk/x
firma.dk/
firma.dk:8443
firma.dk/kontakt/os
info@firma.dk
@firma.dk
*@firma.dk
Firma <info@firma.dk>
"Firma, salg" <info@firma.dk>;
mailto:info@firma.dk?subject=Hej
<https://firma.dk>
“firma.dk”
https://user:secret@firma.dk/login
firma.dk,
""".strip("\n").splitlines()


class DomainTests(SynchronousTestCase):
    """Every way to write one domain."""

    def test_one_domain(self) -> None:
        """All of them mean it."""
        for text in FIRMA:
            self.assertEqual("firma.dk", pasted_domain(text), text)

    def test_others(self) -> None:
        """Names of hosts stay whole, and what is no domain is judged elsewhere."""
        for text, meant in (
            ("mail.firma.dk", "mail.firma.dk"),
            ("https://mail.firma.co.uk/", "mail.firma.co.uk"),
            ("www.dk", "www.dk"),
            ("blåbær.dk", "blåbær.dk"),
            ("https://blåbær.dk/a", "blåbær.dk"),
            ("2001:db8::1", "2001:db8::1"),
            ("https://192.0.2.1:443/", "192.0.2.1"),
            ("firma", "firma"),
            ("", ""),
            ("https://", ""),
        ):
            self.assertEqual(meant, pasted_domain(text), text)

    @settings(deadline=None, max_examples=200)
    @given(st.text(max_size=200))
    def test_any_text(self, text: str) -> None:
        """Nothing is raised."""
        self.assertIsInstance(pasted_domain(text), str)
        self.assertIsInstance(pasted_recipients(text), str)

    def test_no_slow_text(self) -> None:
        """Long text costs in proportion."""
        for piece in ("a<", "<a", "@", ":", "www.", "/"):
            assert_linear(self, lambda size, piece=piece: pasted_domain(piece * size), 200_000)
            assert_linear(self, lambda size, piece=piece: pasted_recipients(piece * size), 20_000)


class LocalTests(SynchronousTestCase):
    """The name of an alias, with or without its domain."""

    def test_local(self) -> None:
        """The domain may stand there, in any spelling."""
        for text, meant in (
            ("kim", "kim"),
            (" kim@firma.dk ", "kim"),
            ("Kim@FIRMA.dk.", "Kim"),
            ("mailto:kim@firma.dk", "kim"),
            ("Kim <kim@firma.dk>", "kim"),
            ("*@firma.dk", "*"),
            ("kim@", "kim"),
            ("/^a@b$/", "/^a@b$/"),
            ("", ""),
        ):
            self.assertEqual(meant, pasted_local(text, "firma.dk"), text)
        self.assertEqual("kim", pasted_local("kim@blåbær.dk", "xn--blbr-roah.dk"))

    def test_elsewhere(self) -> None:
        """An address of another domain is refused by name."""
        for text in ("kim@gmail.com", "kim@mail.firma.dk", "kim@firma", "a@b@c"):
            error = self.assertRaises(Invalid, pasted_local, text, "firma.dk")
            self.assertIn(text, str(error.sentence))
            self.assertEqual("name", error.field)


class RecipientTests(SynchronousTestCase):
    """A list from a mail program."""

    def test_recipients(self) -> None:
        """Names, brackets and semicolons go; URLs stay."""
        for text, meant in (
            ("a@b.dk, c@d.dk", "a@b.dk,\nc@d.dk"),
            ("Kim Larsen <kim@b.dk>; Lis <lis@d.dk>", "kim@b.dk\nlis@d.dk"),
            ("<kim@b.dk>", "kim@b.dk"),
            ("mailto:kim@b.dk", "kim@b.dk"),
            ("kim@b.dk;", "kim@b.dk"),
            ("https://x.dk/?a=1;b=2", "https://x.dk/?a=1;b=2"),
            ("", ""),
        ):
            self.assertEqual(meant, "\n".join(pasted_recipients(text).split()), text)
