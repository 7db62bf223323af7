"""
HTML as readable text, for searching and previews. Not a sanitizer: nothing here is for display.

One pass, linear for any input: unclosed tags and comments end the text instead of being sought
again. Script and style content is dropped, block elements end a line.
"""

import html
import re

__all__ = ["html_to_text"]

# Patterns run over pieces of this size, so that other threads get their turn.
_PAGE_CHARACTERS = 1 << 16

_TAG_NAME = re.compile(r"/?([A-Za-z][A-Za-z0-9:\-]{0,40})")
_SPACES = re.compile(r"[ \t\r\n\f]+")
_BLANK_LINES = re.compile(r" ?\n[ \n]*")
_SKIPPED = frozenset({"script", "style", "template", "noscript"})
_BLOCKS = frozenset(
    (
        *("address", "article", "aside", "blockquote", "body", "br", "center", "dd", "details"),
        *("div", "dl", "dt", "fieldset", "figure", "footer", "form", "h1", "h2", "h3", "h4"),
        *("h5", "h6", "head", "header", "hr", "html", "li", "main", "nav", "ol", "p", "pre"),
        *("section", "table", "title", "tr", "ul"),
    )
)
_CELLS = frozenset({"td", "th", "option", "img"})


def html_to_text(source: str) -> str:
    """The text a person would read."""
    pages: list[str] = []
    pieces: list[str] = []
    size = position = 0
    while position >= 0:
        start = source.find("<", position)
        chunk = source[position : len(source) if start < 0 else start]
        separator, position = _markup(source, start) if start >= 0 else ("", -1)
        if chunk:
            pieces += _texts(chunk)
        if separator:
            pieces.append(separator)
        size += len(chunk) + 1
        if size >= _PAGE_CHARACTERS or position < 0:
            pages.append(_BLANK_LINES.sub("\n", "".join(pieces)))
            pieces, size = [], 0
    return "".join(pages).strip()


def _texts(chunk: str) -> list[str]:
    """Text between two tags, in pieces that never cut an entity if there is any space."""
    texts: list[str] = []
    while len(chunk) > _PAGE_CHARACTERS:
        cut = max(chunk.rfind(" ", 0, _PAGE_CHARACTERS), 0) or _PAGE_CHARACTERS
        texts.append(_text(chunk[:cut]))
        chunk = chunk[cut:]
    texts.append(_text(chunk))
    return texts


def _text(chunk: str) -> str:
    return _SPACES.sub(" ", html.unescape(chunk) if "&" in chunk else chunk)


def _markup(source: str, start: int) -> tuple[str, int]:
    """What the markup at ``start`` reads as, and where it ends (-1: never)."""
    if source.startswith("<!--", start):
        end = source.find("-->", start + 4)
        return "", end + 3 if end >= 0 else -1
    name = _TAG_NAME.match(source, start + 1)
    if not name and source[start + 1 : start + 2] not in ("!", "?"):
        return "<", start + 1
    end = source.find(">", start)
    if end < 0:
        return "", -1
    tag = name[1].lower() if name else ""
    if tag in _SKIPPED and source[start + 1] != "/" and source[end - 1] != "/":
        return " ", _skip(source, end, tag)
    if tag in _BLOCKS:
        return "\n", end + 1
    return " " if tag in _CELLS and source[start + 1] != "/" else "", end + 1


def _skip(source: str, start: int, tag: str) -> int:
    closing = re.compile(f"</{tag}", re.IGNORECASE).search(source, start)
    end = source.find(">", closing.start()) if closing else -1
    return end + 1 if end >= 0 else -1
