"""DNS answers as the Resolver port gives them (RFC 1035; AD bit: RFC 4035 §3.2.3)."""

from typing import Generic, TypeVar

import attrs

__all__ = ["MX", "Answer"]

T = TypeVar("T")


@attrs.frozen
class MX:
    """One MX record; ``host`` lower case without the final dot, empty for a null MX (RFC 7505)."""

    preference: int
    host: str


@attrs.frozen(kw_only=True)
class Answer(Generic[T]):
    """
    The records of one question. No records and ``exists`` False: NXDOMAIN; True: no data.

    ``ttl`` in seconds; ``authentic`` is the AD bit of a validating resolver.
    """

    records: tuple[T, ...]
    ttl: int = 0
    authentic: bool = False
    exists: bool = True
