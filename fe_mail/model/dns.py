"""
What DNS answers, as the Resolver port gives it: the class of a record is the kind of the question.

Records of one text (an address, a name, a text) are strings; the others have fields. RFC 1035;
RFC 7505 (null MX); RFC 2782 (SRV); RFC 6698 (TLSA); RFC 8659 (CAA); AD bit: RFC 4035 §3.2.3.
"""

from typing import Generic, TypeVar

import attrs

__all__ = [
    "AAAA",
    "CAA",
    "CNAME",
    "MX",
    "NS",
    "PTR",
    "SOA",
    "SRV",
    "TLSA",
    "TXT",
    "A",
    "Answer",
    "HostAddress",
    "Record",
]


class Record:
    """What may be asked for. Host names in it are lower case without the final dot."""

    __slots__ = ()


class HostAddress(str, Record):
    """An address as text; asked for itself: those of both families."""

    __slots__ = ()


class A(HostAddress):
    """An IPv4 address."""

    __slots__ = ()


class AAAA(HostAddress):
    """An IPv6 address."""

    __slots__ = ()


class TXT(str, Record):
    """A text, its strings joined (RFC 7208 §3.3)."""

    __slots__ = ()


class CNAME(str, Record):
    """The canonical name; asked for itself it is not followed."""

    __slots__ = ()


class PTR(str, Record):
    """The name of an address; the address as text is what is asked."""

    __slots__ = ()


class NS(str, Record):
    """A name server."""

    __slots__ = ()


@attrs.frozen
class MX(Record):
    """One MX record; ``host`` is empty for a null MX."""

    preference: int
    host: str


@attrs.frozen
class SRV(Record):
    """Where a service is; ``target`` is empty when it is decidedly not available."""

    priority: int
    weight: int
    port: int
    target: str


@attrs.frozen
class TLSA(Record):
    """What the certificate of a TLS server must match."""

    usage: int
    selector: int
    matching: int
    data: bytes


@attrs.frozen
class CAA(Record):
    """Who may issue certificates."""

    flags: int
    tag: str
    value: str


@attrs.frozen
class SOA(Record):
    """The start of a zone."""

    primary: str
    mailbox: str
    serial: int
    refresh: int
    retry: int
    expire: int
    minimum: int


T = TypeVar("T")


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
