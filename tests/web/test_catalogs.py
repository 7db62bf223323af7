"""The catalogs are complete, current and fit the texts; languages are negotiated."""

import ast
import inspect
import re

from twisted.trial.unittest import SynchronousTestCase
from zxcvbn import feedback

from fe_mail.accounts.guessing import ADVICE
from fe_mail.web import extraction
from fe_mail.web.catalogs import compiled, extract, po_path, read
from fe_mail.web.i18n import LANGUAGES, Catalogs, negotiate
from fe_mail.web.notices import NOTICES

_PLACE = re.compile(r"%\(\w+\)s")


class CatalogTests(SynchronousTestCase):
    """Every text in every language."""

    def test_complete(self) -> None:
        """Each text of pages, services and API has a translation with the same places to fill."""
        texts = {str(message.id) for message in extract() if message.id}
        self.assertTrue(len(texts) > 350)
        for language in LANGUAGES:
            translated = {m.id: m.string for m in read(language) if m.id and not m.fuzzy}
            missing = sorted(text for text in texts if not translated.get(text))
            self.assertEqual([], missing, f"{language}: run python -m fe_mail.web.catalogs update")
            for text, translation in translated.items():
                places = sorted(_PLACE.findall(text))
                self.assertEqual(places, sorted(_PLACE.findall(translation)), text)

    def test_found(self) -> None:
        """The extraction sees templates, pages, services, the API and errors without a text."""
        paths = {found.path.partition("/")[0] for found in extraction.texts()}
        self.assertEqual({"accounts", "adapters", "api", "http", "model", "web"}, paths)
        texts = {found.text for found in extraction.texts()}
        for text in (
            "Sign in",
            "An alias needs a name.",
            "At most %(limit)s entries are possible.",
            "Mailed instructions are not available here.",
            "Temporarily unavailable. Try again later.",
        ):
            self.assertIn(text, texts)

    def test_literal(self) -> None:
        """No sentence is put together where the extraction cannot see it."""
        self.assertEqual([], extraction.unreadable())

    def test_advice(self) -> None:
        """Every sentence of zxcvbn is known, so that its advice can be translated."""
        tree = ast.parse(inspect.getsource(feedback))
        texts = {
            call.args[0].value
            for call in ast.walk(tree)
            if isinstance(call, ast.Call)
            and isinstance(call.func, ast.Name)
            and call.func.id == "_"
            and isinstance(call.args[0], ast.Constant)
        }
        self.assertEqual(texts, set(ADVICE))

    def test_compiled(self) -> None:
        """The files that are read at run time were made of those that people edit."""
        for language in LANGUAGES:
            current = po_path(language).with_suffix(".mo").read_bytes()
            self.assertEqual(compiled(language), current, language)

    def test_english_is_itself(self) -> None:
        """The keys are the English texts."""
        for message in read("en"):
            if message.id:
                self.assertEqual(message.id, message.string)

    def test_texts(self) -> None:
        """A text without a translation stays as it is; an empty one stays empty."""
        catalogs = Catalogs()
        self.assertEqual("Log ind", catalogs.text("da", "Sign in"))
        self.assertEqual("Sign in", catalogs.text("en", "Sign in"))
        self.assertEqual("No such text.", catalogs.text("da", "No such text."))
        self.assertEqual("", catalogs.text("da", ""))
        self.assertEqual("Log ind", catalogs.negotiated("da-DK,da;q=0.9", "Sign in"))

    def test_no_language(self) -> None:
        """People who have not chosen one, and languages of a later version, get English."""
        for language in ("", "tlh"):
            self.assertEqual(Catalogs().text(language, "Sign in"), "Sign in")

    def test_notices(self) -> None:
        """Every notice is translated."""
        for notice in NOTICES.values():
            self.assertNotEqual(notice, Catalogs().text("da", notice))


class NegotiationTests(SynchronousTestCase):
    """Accept-Language."""

    def test_best(self) -> None:
        """The greatest weight among the languages that we have; English if none."""
        for wish, expected in (
            ("", "en"),
            ("da", "da"),
            ("da;q=0", "en"),
            ("da;q=0, en;q=0.1", "en"),
            ("da;q=nan", "en"),
            ("en;q=1, da;q=7", "en"),
            ("fr, da;q=0.5, en;q=0.4", "da"),
            ("en-GB, da;q=0.9", "en"),
            ("xx;q=nonsense, da;q=, en;q=0.1", "en"),
            ("*", "en"),
            (",,;;,", "en"),
        ):
            with self.subTest(wish=wish):
                self.assertEqual(expected, negotiate(wish))
