"""
The form of a header that we are asked to send: what no other program could misread.

Programs disagree about a line that is no field (some end the header there), about a blank before
the colon, and about which of two fields counts; whoever signs such a header signs what others
read differently. So it is refused, with the reason, while its author is still there to mend it.
RFC 5322 §2.2, §3.6 (numbers of fields); RFC 2045 §3; RFC 6409 §6.3, §8.
"""

import re

from fe_mail.message.headers import MAX_FIELDS

__all__ = ["header_fault"]

MAX_SHOWN_OCTETS = 60

_NAME = re.compile(rb"[!-9;-~]+\Z")
_UNPRINTABLE = re.compile(r"[^ -~]")
_ONCE = frozenset(
    (
        *(b"date", b"from", b"sender", b"reply-to", b"to", b"cc", b"message-id", b"in-reply-to"),
        *(b"references", b"subject", b"mime-version", b"content-type"),
        *(b"content-transfer-encoding", b"content-disposition", b"content-id"),
    )
)


def header_fault(header: bytes) -> str:
    """What is wrong with a header of up to ``MAX_FIELDS``, as a sentence; empty if nothing is."""
    if header.startswith((b" ", b"\t")):
        return "The message begins with white space instead of a header field."
    seen: set[bytes] = set()
    count = 0
    for line in header.split(b"\n"):
        if line.startswith((b" ", b"\t")):
            continue
        count += 1
        if line in (b"", b"\r") or count > MAX_FIELDS:
            break
        name, colon, _ = line.partition(b":")
        if not colon:
            return f"A line of the header is no field, for it has no colon: {_shown(line)}"
        if name.endswith((b" ", b"\t")):
            return f"The name of a header field is followed by white space: {_shown(name)}"
        if not _NAME.match(name):
            return f"A line of the header does not begin with the name of a field: {_shown(line)}"
        key = name.lower()
        if key in _ONCE and key in seen:
            return f"The header has more than one field of this name: {_shown(name)}"
        seen.add(key)
    return ""


def _shown(octets: bytes) -> str:
    text = octets[:MAX_SHOWN_OCTETS].decode("ascii", "replace").strip()
    return _UNPRINTABLE.sub("?", text)
