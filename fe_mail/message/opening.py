"""
The top of a message that comes in, where our own fields will stand.

A message may begin with what is no field: the separator of an mbox file, or white space, which
would continue the last field that we put above it. The first is dropped, as it was never part of
the message; the second gets a name of its own, so that it continues nothing of ours and no octet
that may be signed is lost. RFC 5322 §2.2.3 (folding); RFC 4155 (mbox).
"""

import re
from collections.abc import Collection

from fe_mail.message.results import without_results

__all__ = ["opened", "without_mbox_line"]

# "From alice@example.org Thu Jan  1 00:00:00 1970", quoted by some; "From : x" is a field.
_MBOX_LINES = re.compile(rb"(?:>?From[ \t]+[^\s:][^\n]*(?:\n|\Z))+")
_NAME = b"X-Malformed-Line:"


def opened(header: bytes, names: Collection[str]) -> bytes:
    """A header as it may stand below ours; ``names`` are those by which we sign results."""
    header = without_mbox_line(header)
    if header.startswith((b" ", b"\t")):
        header = _NAME + header
    return without_results(header, names)


def without_mbox_line(header: bytes) -> bytes:
    """The header without the separators of mbox files above it."""
    match = _MBOX_LINES.match(header)
    return header[match.end() :] if match else header
