"""
Structured fields of MIME: Content-Type, -Transfer-Encoding, -Disposition, -Language.

One lenient reading of what is sent. Comments are no part of any value, wherever they stand; only
in the middle of a value without quotes they are its text, because ``name=report (1).pdf`` is a
name. Quotes are no part of a value either. White space or a comma may stand where ``;`` should,
and a comment or quoted string that is never closed ends at the next ``;``.

Parameters come out raw, names in lower case, the first of a name; RFC 2231 continuations are
joined into one value, which keeps its ``name*`` when any piece was percent-encoded.
``decoded_parameter`` gives the text, also of the encoded words that many programs put there
against the rules. The time is linear.

RFC 2045 §5.1, §6.1; RFC 2183 §2; RFC 2231 §3, §4, §4.1; RFC 5322 §3.2.2 (comments).
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from fe_mail.message.charsets import codec_of, decode_octets
from fe_mail.message.words import decode_words

__all__ = [
    "MAX_CONTINUATIONS",
    "MAX_PARAMETERS",
    "Params",
    "decoded_parameter",
    "parse_list",
    "parse_parameterized",
]

# Parameters beyond these are ignored.
MAX_PARAMETERS = 100
MAX_CONTINUATIONS = 200
# No more than this of one value is read.
MAX_VALUE_OCTETS = 64 * 1024
MAX_TOKENS = 10_000

Params = tuple[tuple[bytes, bytes], ...]

_PIECE = re.compile(
    rb'"(?P<quoted>[^"\\]*(?:\\.[^"\\]*)*)"'
    rb"|(?P<space>\s+)|(?P<special>[;(,])|(?P<equals>=)"
    rb'|(?P<text>(?:\\.|[^\s";(,=\\])+|\\)|(?P<stray>")',
    re.DOTALL,
)
# What is written as it should be, without comments, escapes and pieces, needs none of that.
_PARAMETER = rb'\s*;\s*(%s)=(?:"([^"\\]*)"|(%s))'
_WORD = rb"[!#$%&'+\-.0-9A-Z^_`a-z{|}~]{1,200}"
_STRICT_PARAMETER = re.compile(_PARAMETER % (_WORD, _WORD))
_STRICT = re.compile(
    rb"\s*(%s(?:/%s)?)(?:%s){0,20}\s*(?:;\s*)?\Z" % (_WORD, _WORD, _PARAMETER % (_WORD, _WORD))
)
_PARENTHESES = re.compile(rb"\\.|[()]", re.DOTALL)
_ESCAPE = re.compile(rb"\\(.)", re.DOTALL)
_SECTION = re.compile(rb"([^*]+)\*(\d{1,4})(\*?)\Z")
_SEPARATORS = frozenset({"space", "comment", ",", "quoted"})
_IGNORED = frozenset({"space", "comment"})
_FILE_NAMES = frozenset({b"name", b"filename"})
_NAME = re.compile(rb"[!#$%&'*+\-.0-9A-Z^_`a-z{|}~]{1,200}\Z")


class _Token(NamedTuple):
    """``kind``: ``quoted`` (unescaped), ``comment`` (raw), ``space``, ``text``, or a special."""

    kind: str
    text: bytes


def _tokens(value: bytes) -> Iterator[_Token]:
    """As much of a value as is read."""
    return islice(_all_tokens(value[:MAX_VALUE_OCTETS]), MAX_TOKENS)


def _all_tokens(value: bytes) -> Iterator[_Token]:
    closing = _closing(value)
    position = 0
    while match := _PIECE.match(value, position):
        kind, text = match.lastgroup or "", match[match.lastgroup or 0]
        start, position = match.start(), match.end()
        if text == b"(" and kind == "special":
            position = closing.get(start) or _next_semicolon(value, start)
            kind, text = "comment", value[start:position]
        elif kind == "quoted":
            text = _ESCAPE.sub(rb"\1", text)
        elif kind == "stray":
            position = _next_semicolon(value, position)
            kind, text = "quoted", _ESCAPE.sub(rb"\1", value[start + 1 : position]).strip()
        yield _Token(text.decode() if kind == "special" else kind, text)


def _closing(value: bytes) -> dict[int, int]:
    """The end of the comment that each parenthesis would begin, of those that are closed."""
    if b"(" not in value:
        return {}
    opened: list[int] = []
    found: dict[int, int] = {}
    for match in _PARENTHESES.finditer(value):
        if match[0] == b"(":
            opened.append(match.start())
        elif match[0] == b")" and opened:
            found[opened.pop()] = match.end()
    return found


def _next_semicolon(value: bytes, start: int) -> int:
    end = value.find(b";", start)
    return len(value) if end < 0 else end


def parse_parameterized(value: bytes) -> tuple[bytes, Params]:
    """The lower-case main value, with single spaces if any, and the parameters of a value."""
    if len(value) <= MAX_VALUE_OCTETS and (strict := _STRICT.match(value)):
        main, params = strict[1].lower(), dict[bytes, bytes]()
        for match in _STRICT_PARAMETER.finditer(value, strict.end(1)):
            params.setdefault(match[1].lower(), match[2] or match[3] or b"")
        return main, tuple(params.items())
    segments: list[list[_Token]] = [[]]
    for token in _tokens(value):
        if token.kind == ";":
            segments.append([])
        else:
            segments[-1].append(token)
    begins = _parameter_at(segments[0], 0)
    main = b" ".join(_text(segments[0][:begins]).lower().split())
    segments[0] = segments[0][begins:]
    collected = _Collected()
    for segment in segments:
        for name, text in _parameters(segment):
            collected.add(name, text)
    return main, collected.joined()


def _parameter_at(tokens: Sequence[_Token], start: int) -> int:
    """Where a name and an equals sign stand, from ``start`` on, behind a token that ends a word."""
    candidate = -1
    for at in range(start, len(tokens)):
        kind = tokens[at].kind
        if kind == "text":
            is_word = at == 0 or tokens[at - 1].kind in _SEPARATORS
            candidate = at if is_word and _NAME.match(tokens[at].text) else -1
        elif kind == "equals" and candidate >= 0:
            return candidate
        elif kind not in _IGNORED:
            candidate = -1
    return len(tokens)


def _parameters(tokens: Sequence[_Token]) -> Iterator[tuple[bytes, bytes]]:
    """Those of what stands between two semicolons: one, unless some are missing."""
    at = _parameter_at(tokens, 0)
    while at < len(tokens):
        name = tokens[at].text.lower()
        while tokens[at].kind != "equals":
            at += 1
        at += 1
        while at < len(tokens) and tokens[at].kind in _IGNORED:
            at += 1
        following = _parameter_at(tokens, at + 1)
        yield name, _parameter_text(name, tokens[at:following])
        at = following


def _parameter_text(name: bytes, tokens: Sequence[_Token]) -> bytes:
    """What a value says; ``tokens`` do not begin with white space or a comment."""
    end = len(tokens)
    while end and (tokens[end - 1].kind in _IGNORED or tokens[end - 1].kind == ","):
        if _is_open_comment(tokens[end - 1]) and name.partition(b"*")[0] in _FILE_NAMES:
            break
        end -= 1
    tokens = tokens[:end]
    if not tokens or tokens[0].kind != "quoted":
        return b"".join([token.text for token in tokens])
    # Quotes in quotes that nobody escaped: "a "b" c". Anything else behind a quote is junk.
    if tokens[-1].kind == "quoted" and len(tokens) > 1 and tokens[1].kind == "text":
        return _text(tokens)
    return tokens[0].text


def _is_open_comment(token: _Token) -> bool:
    return token.kind == "comment" and not token.text.endswith(b")")


def _text(tokens: Iterable[_Token]) -> bytes:
    return b"".join([token.text for token in tokens if token.kind != "comment"])


def parse_list(value: bytes) -> tuple[bytes, ...]:
    """The words of a list (RFC 3282 §2)."""
    if not value:
        return ()
    words = [b""]
    for token in _tokens(value):
        if token.kind in ("space", "comment", ",", ";"):
            words.append(b"")
        else:
            words[-1] += token.text
    return tuple(filter(None, words))


class _Collected:
    """Parameters as they are found."""

    def __init__(self) -> None:
        self._plain: dict[bytes, bytes] = {}
        self._sections: dict[bytes, dict[int, tuple[bool, bytes]]] = {}

    def add(self, name: bytes, text: bytes) -> None:
        """One parameter, or one piece of it."""
        section = _SECTION.match(name)
        if not section:
            if len(self._plain) < MAX_PARAMETERS:
                self._plain.setdefault(name, text)
        elif section[1] in self._sections or len(self._sections) < MAX_PARAMETERS:
            pieces = self._sections.setdefault(section[1], {})
            if len(pieces) < MAX_CONTINUATIONS:
                pieces.setdefault(int(section[2]), (bool(section[3]), text))

    def joined(self) -> Params:
        """All of them; what comes in pieces says more than a short form beside it."""
        found = dict(self._plain)
        for name, pieces in self._sections.items():
            key, text = _join(name, pieces)
            if text and len(found) < 2 * MAX_PARAMETERS:
                found[key] = text
        return tuple(found.items())


def _join(name: bytes, pieces: dict[int, tuple[bool, bytes]]) -> tuple[bytes, bytes]:
    """Continuations in order, up to the first gap (RFC 2231 §3); some programs count from 1."""
    present: list[tuple[bool, bytes]] = []
    first = 0 if 0 in pieces else 1
    while (piece := pieces.get(first + len(present))) is not None:
        present.append(piece)
    if not any(encoded for encoded, _ in present):
        return name, b"".join(text for _, text in present)
    texts = [text if encoded else text.replace(b"%", b"%25") for encoded, text in present]
    if not present[0][0]:
        texts.insert(0, b"''")
    return name + b"*", b"".join(texts)


def decoded_parameter(
    params: Sequence[tuple[bytes, bytes]], name: bytes, charset: str = ""
) -> str | None:
    """
    A parameter as text: ``name*`` of RFC 2231 first, then ``name``.

    ``charset`` is that of octets that nobody labeled, as for ``decode_words``.
    """
    plain = _lookup(params, name)
    label, text = _extended(_lookup(params, name + b"*") or b"")
    if text:
        return decode_words(decode_octets(unquote_to_bytes(text), label).encode(), charset)
    return None if plain is None else decode_words(plain, charset)


def _extended(value: bytes) -> tuple[str, bytes]:
    """The character set and the encoded text of ``charset'language'text`` (RFC 2231 §4)."""
    charset, quote, rest = value.partition(b"'")
    label = charset.decode("ascii", "replace")
    if quote and b"'" in rest:
        return label, rest.partition(b"'")[2]
    if quote and codec_of(label):  # one of the two is missing
        return label, rest
    return "", value


def _lookup(params: Iterable[tuple[bytes, bytes]], name: bytes) -> bytes | None:
    return next((value for key, value in params if key == name), None)
