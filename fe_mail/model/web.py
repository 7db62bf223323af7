"""
A web request of ours, and what came back. RFC 9110.

The body is a sequence of pieces, because it can be big: no call ever has to copy all of it.
"""

from collections.abc import Mapping, Sequence

import attrs

__all__ = ["Posting", "WebAnswer"]


@attrs.frozen(kw_only=True)
class Posting:
    """A POST to ``url`` (http or https). ``headers`` are those beyond Host and Content-Length."""

    url: str = attrs.field(repr=False)
    headers: Mapping[str, str] = attrs.field(factory=dict)
    body: Sequence[bytes] = attrs.field(default=(), repr=False)

    @property
    def size_octets(self) -> int:
        """Of the body."""
        return sum(map(len, self.body))


@attrs.frozen(kw_only=True)
class WebAnswer:
    """The status code, and the start of the body, as it came."""

    status: int
    body: bytes = attrs.field(default=b"", repr=False)
    ip: str = ""  # who said so

    @property
    def is_success(self) -> bool:
        """2xx (RFC 9110 §15.3)."""
        return 200 <= self.status < 300
