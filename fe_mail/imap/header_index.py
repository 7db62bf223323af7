"""
The header fields that clients ask for, in one blob with an index: no need to read the header.

``index_fields`` is computed when a message arrives; ``pick_indexed`` gives from it exactly what
``sections.pick_fields`` gives from the whole header, as long as all names are among ``COMMON``.
Layout: the number of fields (2 octets), the code of each (1), the length of each (4), the fields.

RFC 9051 §6.4.5.1 (HEADER.FIELDS).
"""

import struct
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from fe_mail.imap.sections import FIELD

__all__ = ["COMMON", "MAX_INDEXED_OCTETS", "are_common", "index_fields", "pick_indexed"]

# What is stored says of a field only its place here: whoever changes the order, or adds a name,
# has every message digested again (message.digest.READING).
COMMON: Final = (
    b"from to cc bcc subject date message-id in-reply-to references reply-to sender newsgroups "
    b"content-type content-transfer-encoding mime-version priority x-priority importance "
    b"x-msmail-priority list-id list-post list-unsubscribe list-archive list-help return-path "
    b"delivered-to user-agent x-mailer organization disposition-notification-to auto-submitted "
    b"precedence resent-from resent-to resent-date resent-message-id followup-to autocrypt "
    b"x-spam-flag x-spam-status content-disposition content-language x-forwarded-message-id"
).split()
MAX_INDEXED_OCTETS: Final = 32 * 1024  # of one message

_CODES: Final = {name: code for code, name in enumerate(COMMON)}


def are_common(names: Iterable[bytes]) -> bool:
    """Can ``pick_indexed`` answer for these lower-case names?"""
    return all(name in _CODES for name in names)


def index_fields(header: bytes) -> bytes | None:
    """The blob for a header; None when its common fields are too big for one."""
    codes = bytearray()
    fields: list[bytes] = []
    for found in FIELD.finditer(header):
        code = _CODES.get(found[1].lower())
        if code is not None:
            codes.append(code)
            fields.append(found[0])
    if sum(map(len, fields)) > MAX_INDEXED_OCTETS:
        return None
    index = struct.pack(f">H{len(codes)}s{len(codes)}I", len(codes), codes, *map(len, fields))
    return index + b"".join(fields)


@lru_cache(maxsize=256)
def _codes(names: tuple[bytes, ...]) -> frozenset[int]:
    return frozenset(_CODES[name] for name in names)


def pick_indexed(blob: bytes, names: tuple[bytes, ...]) -> bytes:
    """The fields of these names, then the empty line."""
    wanted = _codes(names)
    count = blob[0] << 8 | blob[1]
    lengths = struct.unpack_from(f">{count}I", blob, 2 + count)
    picked: list[bytes] = []
    at = 2 + 5 * count
    for code, length in zip(blob[2 : 2 + count], lengths, strict=True):
        if code in wanted:
            picked.append(blob[at : at + length])
        at += length
    if picked and not picked[-1].endswith(b"\n"):
        picked.append(b"\r\n")
    return b"".join(picked) + b"\r\n"
