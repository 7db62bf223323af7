"""
Values with parameters: Content-Type, Content-Disposition.

Parameters come out raw, names in lower case; RFC 2231 continuations are joined into one value,
which keeps its ``name*`` when any piece was percent-encoded. ``decoded_parameter`` gives the
text, also of the encoded words that many programs put there against the rules.

RFC 2045 §5.1; RFC 2183 §2; RFC 2231 §3, §4, §4.1.
"""

import re
from collections.abc import Iterable, Sequence
from urllib.parse import unquote_to_bytes

from fe_mail.message.words import decode_octets, decode_words

__all__ = ["MAX_CONTINUATIONS", "MAX_PARAMETERS", "decoded_parameter", "parse_parameterized"]

# Parameters beyond these are ignored.
MAX_PARAMETERS = 100
MAX_CONTINUATIONS = 200
MAX_VALUE_OCTETS = 64 * 1024

Params = tuple[tuple[bytes, bytes], ...]

_PARAMETER = re.compile(
    rb";\s*([^\s=;\"]{1,200})\s*=\s*"
    rb'(?:"([^"\\]*(?:\\.[^"\\]*)*)"?|([^;\s]*(?:(?:[ \t]+[^;\s=]+)+(?=[ \t]*(?:;|\Z)))?))',
    re.DOTALL,
)
_ESCAPE = re.compile(rb"\\(.)", re.DOTALL)
_SECTION = re.compile(rb"([^*]+)\*(\d{1,4})(\*?)\Z")


def parse_parameterized(value: bytes) -> tuple[bytes, Params]:
    """The lower-case main value and the parameters of an unfolded value."""
    value = _without_comment(value[:MAX_VALUE_OCTETS])
    main = value.partition(b";")[0].strip().lower()
    plain: dict[bytes, bytes] = {}
    sections: dict[bytes, dict[int, tuple[bool, bytes]]] = {}
    for match in _PARAMETER.finditer(value):
        name = match[1].lower()
        quoted, token = match[2], match[3]
        text = token.strip() if quoted is None else _ESCAPE.sub(rb"\1", quoted)
        section = _SECTION.match(name)
        if section and len(sections) < MAX_PARAMETERS:
            pieces = sections.setdefault(section[1], {})
            if len(pieces) < MAX_CONTINUATIONS:
                pieces.setdefault(int(section[2]), (bool(section[3]), text))
        elif not section and len(plain) < MAX_PARAMETERS:
            plain.setdefault(name, text)
    joined = (_join(name, pieces) for name, pieces in sections.items())
    for name, text in joined:
        plain.setdefault(name, text)
    return main, tuple(plain.items())


def _without_comment(value: bytes) -> bytes:
    """Drop one trailing comment, the only kind that is ever seen."""
    if value.endswith(b")") and b"(" in value and b'"' not in value[value.rindex(b"(") :]:
        return value[: value.rindex(b"(")]
    return value


def _join(name: bytes, pieces: dict[int, tuple[bool, bytes]]) -> tuple[bytes, bytes]:
    """Continuations in order, up to the first gap (RFC 2231 §3)."""
    present: list[tuple[bool, bytes]] = []
    while (piece := pieces.get(len(present))) is not None:
        present.append(piece)
    if not any(encoded for encoded, _ in present):
        return name, b"".join(text for _, text in present)
    texts = [text if encoded else text.replace(b"%", b"%25") for encoded, text in present]
    if not present[0][0]:
        texts.insert(0, b"''")
    return name + b"*", b"".join(texts)


def decoded_parameter(params: Sequence[tuple[bytes, bytes]], name: bytes) -> str | None:
    """A parameter as text: ``name*`` of RFC 2231 first, then ``name``."""
    found = _lookup(params, name + b"*")
    if found is not None:
        charset, quote, rest = found.partition(b"'")
        text = rest.partition(b"'")[2] if quote and b"'" in rest else found
        if text is found:
            charset = b""
        return decode_words(
            decode_octets(unquote_to_bytes(text), charset.decode("ascii", "replace")).encode()
        )
    found = _lookup(params, name)
    return None if found is None else decode_words(found)


def _lookup(params: Iterable[tuple[bytes, bytes]], name: bytes) -> bytes | None:
    return next((value for key, value in params if key == name), None)
