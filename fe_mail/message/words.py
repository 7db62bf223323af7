"""
Text in headers: encoded words, in both directions.

Decoding never raises and never yields line ends or other controls: what cannot be decoded
becomes U+FFFD (see ``charsets``). Octets that are no encoded word are read in the character set
that the caller gives, if there is a reason for one. Encoding yields ASCII lines that fold.

RFC 2047 §2, §4, §5, §6.2; RFC 2231 §5 (language suffix); RFC 6532.
"""

import base64
import re

from fe_mail.message.charsets import codec_of, decode_octets, is_of_octets
from fe_mail.message.transfer import decode_base64

__all__ = ["ENCODED_WORD", "decode_words", "encode_phrase", "encode_unstructured"]

# An encoded word may have 75 octets (RFC 2047 §2); longer ones are common and harmless.
MAX_WORD_OCTETS = 4096
# Octets of text in one encoded word of ours: 45 octets are 60 of base64, 72 with the frame.
_CHUNK_OCTETS = 45

# A question mark belongs to the text unless what follows ends this word or begins another.
ENCODED_WORD = re.compile(
    rb"=\?([^?\s*=]{1,64})(?:\*[^?\s]{0,64})?\?([bBqQ])\?"
    rb"((?:[^?=\r\n]|=(?!\?)|=(?=\?=)|\?(?!=)){0,%d})\?=" % MAX_WORD_OCTETS,
    re.ASCII,
)
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_Q_ESCAPE = re.compile(rb"=([0-9A-Fa-f]{2})")
_ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\- ]+\Z")
_PRINTABLE = re.compile(r"[\x20-\x7e]*\Z")


def decode_words(value: bytes, charset: str = "") -> str:
    """
    An unfolded header value as text: encoded words decoded, controls made spaces.

    ``charset`` is what octets beyond ASCII are in that nobody labeled, when they are not UTF-8.
    """
    if b"=?" not in value:
        text = _raw(value, charset)
        return text if text.isprintable() else _CONTROLS.sub(" ", text)
    pieces: list[str] = []
    pending: list[bytes] = []  # adjacent words of one character set may split a character
    codec = label = ""
    position = 0
    for match in ENCODED_WORD.finditer(value):
        between = value[position : match.start()]
        name = match[1].decode("ascii", "replace")
        adjacent = position > 0 and not between.strip(b" \t")
        if not adjacent or codec_of(name) != codec:
            pieces.append(decode_octets(b"".join(pending), label) if pending else "")
            pending.clear()
        if not adjacent:
            pieces.append(_raw(between, charset))
        codec, label = codec_of(name), name
        pending.append(_word_octets(match[2], match[3]))
        position = match.end()
    if pending:
        pieces.append(decode_octets(b"".join(pending), label))
    pieces.append(_raw(value[position:], charset))
    return _CONTROLS.sub(" ", "".join(pieces))


def _raw(octets: bytes, charset: str) -> str:
    """Octets outside of encoded words: UTF-8 (RFC 6532), or what the message is in."""
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError:
        return decode_octets(octets, charset if is_of_octets(charset) else "")


def _word_octets(encoding: bytes, text: bytes) -> bytes:
    if encoding in b"qQ":
        return _Q_ESCAPE.sub(_unescape, text.replace(b"_", b" "))
    return decode_base64(text)


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
