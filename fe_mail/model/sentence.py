"""
What we say to people, in a form that can still be translated.

A ``Sentence`` keeps its English template and the values that fill it apart, so that an edge that
knows the reader's language translates the template and fills it then; everybody else takes
``str(sentence)``, which is English. The template is the key of the gettext catalogs, so it is
always a literal: ``Sentence("At most %(limit)s.", limit=5)``. Nothing here knows gettext.
"""

from collections.abc import Callable, Mapping

import attrs

__all__ = ["Paragraph", "Sentence", "Translate", "translated"]

Translate = Callable[[str], str]


@attrs.frozen(init=False)
class Sentence:
    """
    A template, and what stands in its places (``%(name)s``).

    Without values the template is taken as it is, a ``%`` in it means itself. A value may be a
    sentence too; it is translated with the one around it.
    """

    template: str
    values: Mapping[str, object]

    def __init__(self, template: str, /, **values: object) -> None:
        self.__attrs_init__(template, values)

    def __str__(self) -> str:
        return self.translated(str)

    def translated(self, translate: Translate) -> str:
        """The text after ``translate`` made another template of ours."""
        text = translate(self.template) if self.template else ""
        if not self.values:
            return text
        return text % {name: _filled(value, translate) for name, value in self.values.items()}


@attrs.frozen
class Paragraph:
    """Several sentences in a row."""

    sentences: tuple[Sentence, ...]
    separator: str = " "

    def __str__(self) -> str:
        return self.translated(str)

    def translated(self, translate: Translate) -> str:
        """All of them, each translated."""
        return self.separator.join(each.translated(translate) for each in self.sentences)


def translated(text: str | Sentence | Paragraph, translate: Translate) -> str:
    """A text of any kind in another language; plain text is its own template."""
    if isinstance(text, str):
        return translate(text) if text else ""
    return text.translated(translate)


def _filled(value: object, translate: Translate) -> object:
    return value.translated(translate) if isinstance(value, Sentence | Paragraph) else value
