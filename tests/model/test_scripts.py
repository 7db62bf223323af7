"""Tests of fe_mail.model.scripts: what the eye cannot tell apart."""

import unicodedata

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from fe_mail.model.scripts import has_hidden, is_mixed, is_plain, is_pretending


class ScriptTests(SynchronousTestCase):
    """Invisible characters, mixed scripts, characters in other clothes."""

    def test_hidden(self) -> None:
        """Nothing that cannot be seen, and nothing that turns others round."""
        for character in (
            "\u200b\u200c\u200d\u2060\ufeff\u00ad\u034f\u115f\u3164\u180e\ufe0f\u2800\u00a0\u3000"
            "\u202a\u202b\u202d\u202e\u202c\u2066\u2067\u2068\u2069\u200e\u200f\u061c\x7f\x00\t"
            "\ue000\U000e0041\U000e0100\u0378\u2028 "
        ):
            self.assertTrue(has_hidden(f"a{character}b"), f"{ord(character):04x}")
        self.assertTrue(has_hidden("kati\u0307"))  # İ in lower case looks like i
        for text in (
            "anna",
            "blåbær",
            "søren.ø",
            "иван",
            "ελένη",
            "王小明",
            "あいう",
            "שלום",
            "नमस्ते",
        ):
            self.assertFalse(has_hidden(text), text)

    def test_mixed(self) -> None:
        """One script, or those that are written together; digits of one kind."""
        for text in (
            "p\u0430ypal",  # a Cyrillic letter
            "\u0455ales",  # another
            "g\u03bfogle",  # a Greek one
            "αdmin",
            "аdmin",
            "\u0570ello",  # Armenian
            "\u13a0bc",  # Cherokee
            "abcאב",
            "한글かな",
            "a1\u0661",
            "\u0661\u06f1",
        ):
            self.assertTrue(is_mixed(text), text)
        for text in (
            "anna.berg-1",
            "søren",
            "иван2",
            "ελένη",
            "東京team",
            "あのカタカナー漢字々",
            "한국어abc漢字",
            "ไทย1",
            "नमस्ते",
            "שלום",
            "ab\U0001f600",
            "\u0661\u0662",
            "123",
            "",
        ):
            self.assertFalse(is_mixed(text), text)

    def test_pretending(self) -> None:
        """A word of one script whose every letter looks like a Latin one."""
        for text in ("\u0430\u0440\u0440\u04cf\u0435", "\u03bf\u03bd", "\u0441\u0445\u043e-1"):
            self.assertTrue(is_pretending(text), text)
        for text in ("apple", "иван", "ελένη", "рф", "王", "ø", "1", ""):
            self.assertFalse(is_pretending(text), text)

    def test_plain(self) -> None:
        """Wide, mathematical and joined letters only stand for others."""
        for text in (
            "\uff41dmin",
            "\U0001d41admin",
            "o\ufb03ce",
            "a\u00b2",
            "\u2126x\u00aa",
            "\u017f",
        ):
            self.assertFalse(is_plain(text), text)
        for text in ("admin", "blåbær", "bla\u030aba\u0308r", "王", "ß"):
            self.assertTrue(is_plain(text), text)

    @given(st.text(max_size=20))
    def test_anything(self, text: str) -> None:
        """Any text has an answer, and the form in which it came makes no difference to mixing."""
        has_hidden(text)
        is_plain(text)
        self.assertEqual(
            is_mixed(unicodedata.normalize("NFC", text)),
            is_mixed(unicodedata.normalize("NFC", unicodedata.normalize("NFD", text))),
        )
