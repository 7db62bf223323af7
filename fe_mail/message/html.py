"""
HTML as readable text, for searching and previews. Not a sanitizer: nothing here is for display.

One pass, linear for any input: unclosed tags and comments end the text instead of being sought
again. Script and style content is dropped, block elements end a line.
"""

import html
import re

__all__ = ["html_to_text"]

_TAG_NAME = re.compile(r"/?([A-Za-z][A-Za-z0-9:\-]{0,40})")
_SPACES = re.compile(r"[ \t\r\n\f]+")
_BLANK_LINES = re.compile(r" ?\n[ \n]*")
_SKIPPED = frozenset({"script", "style", "template", "noscript"})
_BLOCK = re.compile(
    r"(?:address|article|aside|blockquote|body|br|center|dd|details|div|dl|dt|fieldset|figure"
    r"|footer|form|h[1-6]|head|header|hr|html|li|main|nav|ol|p|pre|section|table|title|tr|ul)\Z"
)
_CELLS = frozenset({"td", "th", "option", "img"})


def html_to_text(source: str) -> str:
    """The text a person would read."""
    pieces: list[str] = []
    position = 0
    while True:
        start = source.find("<", position)
        if start < 0:
            pieces.append(_text(source[position:]))
            break
        pieces.append(_text(source[position:start]))
        separator, position = _markup(source, start)
        pieces.append(separator)
        if position < 0:
            break
    return _BLANK_LINES.sub("\n", "".join(pieces)).strip()


def _text(chunk: str) -> str:
    return _SPACES.sub(" ", html.unescape(chunk)) if chunk else ""


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
    if _BLOCK.match(tag):
        return "\n", end + 1
    return " " if tag in _CELLS and source[start + 1] != "/" else "", end + 1


def _skip(source: str, start: int, tag: str) -> int:
    closing = re.compile(f"</{tag}", re.IGNORECASE).search(source, start)
    end = source.find(">", closing.start()) if closing else -1
    return end + 1 if end >= 0 else -1
