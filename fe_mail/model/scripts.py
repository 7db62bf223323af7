"""
Which characters of a name cannot be told apart by looking: invisible ones, and scripts mixed.

Pure, on the character database of Python. The script of a letter is the first word of its name,
which is enough to see that a Latin word holds a Cyrillic letter. Single characters of one script
that resemble each other are left alone: nobody can say which is meant.

Unicode Technical Standard 39 §5.2 ("highly restrictive"); RFC 8264 §9; RFC 5893 §2.
"""

import re
import unicodedata

__all__ = ["has_hidden", "is_mixed", "is_plain", "is_pretending"]

_HIDDEN_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zs", "Zl", "Zp"})
# Default_Ignorable_Code_Point of other categories, blanks that count as letters or symbols, and a
# dot over what has one.
_HIDDEN = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0"
    "\U000e0100-\U000e01ef]|[ij]\u0307"
)
# East Asian names are written in several scripts at once.
_TOGETHER = (
    frozenset({"LATIN", "CJK", "IDEOGRAPHIC", "HIRAGANA", "KATAKANA"}),
    frozenset({"LATIN", "CJK", "IDEOGRAPHIC", "BOPOMOFO"}),
    frozenset({"LATIN", "CJK", "IDEOGRAPHIC", "HANGUL"}),
)
# Cyrillic and Greek letters that look like Latin ones.
_LOOKALIKES = frozenset(
    "\u0430\u0435\u043e\u0440\u0441\u0443\u0445\u0456\u0458\u0455\u04bb\u0501\u051b\u051d\u04cf"
    "\u03bf\u03bd\u03b9\u03c1\u03ba\u03c5"
)
_OF_NO_SCRIPT = frozenset({"MODIFIER", "KATAKANA-HIRAGANA"})


def has_hidden(text: str) -> bool:
    """Characters that cannot be seen, or that turn the direction of others."""
    if text.isascii():
        return not text.isprintable() or " " in text
    return _HIDDEN.search(text) is not None or any(
        unicodedata.category(character) in _HIDDEN_CATEGORIES for character in text
    )


def is_mixed(text: str) -> bool:
    """Letters, or digits, of scripts that do not belong together."""
    if text.isascii():
        return False
    scripts = {_script(character) for character in text if character.isalpha()} - _OF_NO_SCRIPT
    zeros = {ord(each) - unicodedata.decimal(each) for each in text if each.isdecimal()}
    is_single = len(scripts) <= 1 or any(scripts <= together for together in _TOGETHER)
    return not is_single or len(zeros) > 1


def is_pretending(text: str) -> bool:
    """A word that could be Latin to the eye and is nothing of the kind."""
    letters = {character for character in text if character.isalpha()}
    return bool(letters) and letters <= _LOOKALIKES


def is_plain(text: str) -> bool:
    """Every character means itself: none is another one in other clothes (RFC 8264 §9.17)."""
    return unicodedata.normalize("NFKC", text) == unicodedata.normalize("NFC", text)


def _script(character: str) -> str:
    return unicodedata.name(character, "").partition(" ")[0]
