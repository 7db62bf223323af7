"""
Text in headers: encoded words and character sets, in both directions.

Decoding never raises and never yields line ends or other controls: what cannot be decoded
becomes U+FFFD. Raw octets are read as UTF-8, else as Windows-1252, which is what people mean
by them. Character sets of Python that are no character sets of mail (or are slow on hostile
input) are refused. Encoding yields ASCII lines that fold.

RFC 2047 §2, §4, §5, §6.2; RFC 2231 §5 (language suffix); RFC 6532.
"""

import base64
import binascii
import codecs
import re

__all__ = ["decode_octets", "decode_words", "encode_phrase", "encode_unstructured"]

# An encoded word may have 75 octets (RFC 2047 §2); longer ones are common and harmless.
MAX_WORD_OCTETS = 4096
# Octets of text in one encoded word of ours: 45 octets are 60 of base64, 72 with the frame.
_CHUNK_OCTETS = 45
_PIECE_OCTETS = 1 << 16

_WORD = re.compile(
    rb"=\?([^?\s*=]{1,64})(?:\*[^?\s]{1,64})?\?([bBqQ])\?([^?\r\n]{0,%d})\?=" % MAX_WORD_OCTETS,
    re.ASCII,
)
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_Q_ESCAPE = re.compile(rb"=([0-9A-Fa-f]{2})")
_SURROGATES = re.compile(r"[\ud800-\udfff]")
_ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\- ]+\Z")
_PRINTABLE = re.compile(r"[\x20-\x7e]*\Z")

_ALIASES = {
    "ascii": "utf-8",
    "us-ascii": "utf-8",
    "ansi_x3.4-1968": "utf-8",
    "utf8": "utf-8",
    "unknown-8bit": "utf-8",
    "x-unknown": "utf-8",
    "iso-8859-1": "cp1252",
    "iso8859-1": "cp1252",
    "latin1": "cp1252",
    "latin-1": "cp1252",
    "iso-8859-8-i": "iso-8859-8",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "ks_c_5601-1987": "cp949",
    "euc-kr": "cp949",
    "x-sjis": "cp932",
    "shift_jis": "cp932",
    "x-mac-roman": "mac-roman",
    "macintosh": "mac-roman",
}
_REFUSED = frozenset(
    {"idna", "punycode", "unicode-escape", "raw-unicode-escape", "undefined", "mbcs", "oem"}
)


def decode_octets(octets: bytes, charset: str = "utf-8") -> str:
    """Octets in a character set as text, whatever the octets and whatever the name."""
    name = charset.strip().lower().strip("\"'")
    name = _ALIASES.get(name, name)
    if name in ("utf-8", ""):
        return _utf8_or_western(octets)
    try:
        known = codecs.lookup(name).name if name.isascii() and "\0" not in name else ""
        if known and known.replace("_", "-") not in _REFUSED:
            b"x".decode(known, "replace")  # LookupError for zlib, base64 and the like
            return _decode(octets, known)
    except (LookupError, UnicodeError, ValueError):
        pass  # an unknown name, or a codec that is none of text: guess below
    return _utf8_or_western(octets)


def _utf8_or_western(octets: bytes) -> str:
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError:
        return _decode(octets, "cp1252")


def _decode(octets: bytes, codec: str) -> str:
    """
    Decode in pieces: replacing is slow, and no call may keep other threads waiting.

    UTF-7 can spell lone surrogates, which nothing can encode again.
    """
    if len(octets) <= _PIECE_OCTETS:
        return _SURROGATES.sub("\ufffd", octets.decode(codec, "replace"))
    decoder = codecs.getincrementaldecoder(codec)("replace")
    starts = range(0, len(octets), _PIECE_OCTETS)
    pieces = [decoder.decode(octets[start : start + _PIECE_OCTETS]) for start in starts]
    pieces.append(decoder.decode(b"", True))
    return "".join([_SURROGATES.sub("\ufffd", piece) for piece in pieces])


def decode_words(value: bytes) -> str:
    """An unfolded header value as text: encoded words decoded, controls made spaces."""
    if b"=?" not in value:
        return _CONTROLS.sub(" ", _utf8_or_western(value))
    pieces: list[str] = []
    pending: list[bytes] = []  # adjacent words of one charset may split a character
    charset = ""
    position = 0
    for match in _WORD.finditer(value):
        between = value[position : match.start()]
        name = match[1].decode("ascii", "replace").lower()
        adjacent = position > 0 and not between.strip(b" \t")
        if not adjacent or name != charset:
            pieces.append(decode_octets(b"".join(pending), charset) if pending else "")
            pending.clear()
        if not adjacent:
            pieces.append(_utf8_or_western(between))
        charset = name
        pending.append(_word_octets(match[2], match[3]))
        position = match.end()
    if pending:
        pieces.append(decode_octets(b"".join(pending), charset))
    pieces.append(_utf8_or_western(value[position:]))
    return _CONTROLS.sub(" ", "".join(pieces))


def _word_octets(encoding: bytes, text: bytes) -> bytes:
    if encoding in b"qQ":
        return _Q_ESCAPE.sub(_unescape, text.replace(b"_", b" "))
    clean = text.rstrip(b"=").replace(b" ", b"")
    try:
        return base64.b64decode(clean + b"=" * (-len(clean) % 4))
    except (binascii.Error, ValueError):
        return text


def _unescape(match: re.Match[bytes]) -> bytes:
    return bytes((int(match[1], 16),))


def encode_unstructured(text: str) -> str:
    """
    Text for an unstructured field (Subject): ASCII, on one or more folded lines.

    Anything but printable ASCII, so also CR and LF, leaves only as an encoded word of a space:
    no text can end its line.
    """
    clean = _CONTROLS.sub(" ", text).strip()
    if _PRINTABLE.match(clean) and "=?" not in clean:
        return _fold(clean)
    return _encoded_words(clean)


def encode_phrase(text: str) -> str:
    """Text for a display name: an atom or quoted string if ASCII, else encoded words."""
    clean = _CONTROLS.sub(" ", text).strip()
    if not _PRINTABLE.match(clean) or "=?" in clean:
        return _encoded_words(clean)
    if _ATOMS.match(clean):
        return clean
    escaped = clean.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _encoded_words(text: str) -> str:
    words: list[str] = []
    chunk = b""
    for character in text:
        octets = character.encode("utf-8", "replace")
        if len(chunk) + len(octets) > _CHUNK_OCTETS:
            words.append(_encoded_word(chunk))
            chunk = b""
        chunk += octets
    words.append(_encoded_word(chunk))
    return "\r\n ".join(words)


def _encoded_word(octets: bytes) -> str:
    return f"=?utf-8?B?{base64.b64encode(octets).decode('ascii')}?="


def _fold(text: str, width: int = 66, limit: int = 900) -> str:
    lines: list[str] = []
    line = ""
    for word in text.split(" "):
        if line.strip() and len(line) + 1 + len(word) > width and word:
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}" if line else word
    lines.append(line)
    if max(map(len, lines)) > limit:  # a "word" no line may hold (RFC 5322 §2.1.1)
        return _encoded_words(text)
    return "\r\n ".join(lines)
