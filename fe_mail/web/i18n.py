"""
Languages: which one a visitor reads, and the texts in it.

Catalogs are gettext ``.mo`` files in ``locale/<language>/LC_MESSAGES``. A text without a
translation stays English. RFC 9110 §12.5.4 (Accept-Language).
"""

import gettext
from collections.abc import Mapping
from pathlib import Path

from fe_mail.model.sentence import Paragraph, Sentence, translated

__all__ = ["DEFAULT_LANGUAGE", "KNOWN_LANGUAGES", "LANGUAGES", "N_", "Catalogs", "negotiate"]

DEFAULT_LANGUAGE = "en"

LANGUAGES: Mapping[str, str] = {"en": "English", "da": "Dansk"}

# The prefixes of the reference; those without a catalog lead to the default language.
KNOWN_LANGUAGES = frozenset(
    (
        *("ar", "cs", "da", "de", "en", "es", "fi", "fr", "he", "hu", "id", "it", "ja"),
        *("ko", "nl", "no", "pl", "pt", "ru", "sv", "th", "tr", "uk", "vi", "zh"),
    )
)

MAX_ACCEPTED = 20

_DIRECTORY = Path(__file__).parent / "locale"


def N_(message: str) -> str:
    """Mark a text for the catalogs that is translated later."""
    return message


def negotiate(accept_language: str) -> str:
    """The best language that we have for an Accept-Language header."""
    wished: list[tuple[float, str]] = []
    for part in accept_language.split(",")[:MAX_ACCEPTED]:
        tag, _, parameter = part.partition(";")
        language = tag.strip().lower().partition("-")[0]
        quality = _quality(parameter)
        if language in LANGUAGES and quality > 0:  # 0 means: not this one
            wished.append((-quality, language))
    return min(wished, key=lambda wish: wish[0])[1] if wished else DEFAULT_LANGUAGE


def _quality(parameter: str) -> float:
    name, _, value = parameter.strip().partition("=")
    if name.strip().lower() != "q":
        return 1.0
    try:
        quality = float(value)
    except ValueError:
        return 0.0
    return quality if 0 <= quality <= 1 else 0.0


class Catalogs:
    """All languages, loaded once."""

    def __init__(self) -> None:
        self._translations = {
            language: gettext.translation("fe_mail", str(_DIRECTORY), [language], fallback=True)
            for language in LANGUAGES
        }

    def translations(self, language: str) -> gettext.NullTranslations:
        """The catalog of a language; that of English for people who have not chosen one."""
        return self._translations.get(language) or self._translations[DEFAULT_LANGUAGE]

    def text(self, language: str, message: str | Sentence | Paragraph) -> str:
        """A text in a language; English if it has no translation."""
        return translated(message, self.translations(language).gettext)

    def negotiated(self, accept_language: str, message: str | Sentence | Paragraph) -> str:
        """A text in the best language for an Accept-Language header."""
        return self.text(negotiate(accept_language), message)
