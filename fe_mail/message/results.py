"""
Authentication-Results that claim to be ours.

Whoever reads such a field trusts the server that it names, so one in our name that came from
outside is a forgery, whatever it says, and goes (RFC 8601 §5). Those of other servers stay. A
field that cannot be read and yet names us goes as well: a reader may be more lenient than we.
RFC 8601 §2.2 (syntax), §2.5 (authserv-id).
"""

import re
from collections.abc import Collection
from itertools import count

from fe_mail.message.comments import comment_end
from fe_mail.model.address import normalize_domain
from fe_mail.model.errors import Invalid

__all__ = ["without_results"]

# This is done on the reactor's thread, to headers of strangers.
MAX_READ_OCTETS = 1024  # of a field; one that names nobody in them cannot be read
MAX_RESULTS = 50  # no way of a message has so many servers; what is behind them goes

_FIELD = re.compile(
    rb"^authentication-results[ \t]*:([^\n]*(?:\n[ \t][^\n]*)*)(?:\n|\Z)",
    re.IGNORECASE | re.MULTILINE,
)
_ID = re.compile(rb'"((?:[^"\\]|\\.)*)"|([^\s()<>@,;:\\"/\[\]?=]+)', re.DOTALL)
_ESCAPE = re.compile(rb"\\(.)", re.DOTALL)


def without_results(header: bytes, names: Collection[str]) -> bytes:
    """The header without the results of servers of these names (lower case)."""
    numbers = count(1)

    def kept(field: re.Match[bytes]) -> bytes:
        goes = next(numbers) > MAX_RESULTS or _is_of(field[1], names)
        return b"" if goes else field[0]

    return _FIELD.sub(kept, header)


def _is_of(body: bytes, names: Collection[str]) -> bool:
    server = _server(body[:MAX_READ_OCTETS])
    if server is not None:
        return server in names
    claim = body.partition(b";")[0].decode("utf-8", "replace").lower()
    return any(name in claim for name in names)


def _server(body: bytes) -> str | None:
    """The authserv-id; None if there is none to be seen."""
    match = _ID.match(body, _behind_comments(body))
    if match is None:
        return None
    octets = match[2] or _ESCAPE.sub(rb"\1", match[1])
    text = octets.decode("utf-8", "replace").strip()
    try:
        return normalize_domain(text)
    except Invalid:
        return text.lower()


def _behind_comments(body: bytes) -> int:
    """The position behind white space, folding and comments."""
    position = 0
    while True:
        while position < len(body) and body[position] in b" \t\r\n":
            position += 1
        if body[position : position + 1] != b"(":
            return position
        position = comment_end(body, position)
        if position < 0:
            return len(body)
