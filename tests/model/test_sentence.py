"""Tests of fe_mail.model.sentence: English now, another language later."""

from twisted.trial.unittest import SynchronousTestCase

from fe_mail.model.errors import Invalid, NotFound, RateLimited
from fe_mail.model.sentence import Paragraph, Sentence, translated

DANISH = {
    "At most %(limit)s.": "Højst %(limit)s.",
    "%(names)s and others": "%(names)s og andre",
    "100% sure.": "100% sikker.",
    "Found %(what)s.": "Fandt %(what)s.",
}


def danish(template: str) -> str:
    """A catalog of four."""
    return DANISH.get(template, template)


class SentenceTests(SynchronousTestCase):
    """Templates are translated, values are not, but sentences among them are."""

    def test_english(self) -> None:
        """The text of a sentence is its template with the places filled."""
        self.assertEqual("At most 5.", str(Sentence("At most %(limit)s.", limit=5)))
        self.assertEqual("100% sure.", str(Sentence("100% sure.")))
        self.assertEqual("", str(Sentence("")))

    def test_translated(self) -> None:
        """Values come in after the translation, whatever they hold."""
        sentence = Sentence("At most %(limit)s.", limit="%(limit)s %d")
        self.assertEqual("Højst %(limit)s %d.", sentence.translated(danish))
        self.assertEqual("100% sikker.", Sentence("100% sure.").translated(danish))

    def test_nested(self) -> None:
        """A sentence inside another is translated with it."""
        inner = Sentence("%(names)s and others", names="a, b")
        self.assertEqual(
            "Fandt a, b og andre.", Sentence("Found %(what)s.", what=inner).translated(danish)
        )

    def test_paragraph(self) -> None:
        """Several sentences, each translated by itself."""
        both = Paragraph((Sentence("100% sure."), Sentence("At most %(limit)s.", limit=1)))
        self.assertEqual("100% sure. At most 1.", str(both))
        self.assertEqual("100% sikker. Højst 1.", translated(both, danish))
        self.assertEqual("100% sikker.", translated("100% sure.", danish))
        self.assertEqual("", translated("", danish))


class ErrorTests(SynchronousTestCase):
    """Errors speak English, and can be translated."""

    def test_message(self) -> None:
        """Text, a sentence, or the default of the kind."""
        error = Invalid(Sentence("At most %(limit)s.", limit=5), "name", "CODE")
        self.assertEqual("At most 5.", error.message)
        self.assertEqual("At most 5.", str(error))
        self.assertEqual("Højst 5.", error.sentence.translated(danish))
        self.assertEqual(("name", "CODE"), (error.field, error.code))
        self.assertEqual("100% sikker.", translated(RateLimited("100% sure.").sentence, danish))
        self.assertEqual(NotFound.default, NotFound().message)
