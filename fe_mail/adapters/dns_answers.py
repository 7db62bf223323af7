"""
Reading DNS responses: whatever the octets are, a value of ours or None.

RFC 1035 §7.3 (matching responses); RFC 2308 (negative answers); RFC 5452 (forged ones).
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype

from fe_mail.model.dns import (
    AAAA,
    CAA,
    CNAME,
    MX,
    NS,
    PTR,
    SOA,
    SRV,
    TLSA,
    TXT,
    A,
    Answer,
    Record,
)

__all__ = ["is_same_case", "matching", "read_answer"]

MAX_CNAMES = 8
MAX_RECORDS = 256
MAX_TTL_SECONDS = 86_400
MAX_NEGATIVE_TTL_SECONDS = 900
DEFAULT_NEGATIVE_TTL_SECONDS = 60


def matching(query: dns.message.Message, wire: bytes) -> dns.message.Message | None:
    """The response if it answers this question, None for anything else, whatever the octets."""
    try:
        response = dns.message.from_wire(wire, ignore_trailing=True)
        matches = query.is_response(response) and bool(response.question)
    except (dns.exception.DNSException, ValueError, IndexError):
        return None
    return response if matches else None


def is_same_case(query: dns.message.Message, response: dns.message.Message) -> bool:
    """True if the name came back with the letter case that was sent."""
    return query.question[0].name.labels == response.question[0].name.labels


def read_answer(
    response: dns.message.Message, kind: type[Record], trusts: bool
) -> Answer[Any] | None:
    """The records behind at most ``MAX_CNAMES`` aliases; None for SERVFAIL and nonsense."""
    if response.rcode() not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
        return None
    if not isinstance(response, dns.message.QueryMessage):
        return None
    try:
        chain = response.resolve_chaining()
    except dns.exception.DNSException:
        return None
    if len(chain.cnames) > MAX_CNAMES:
        return None
    found = tuple(chain.answer)[:MAX_RECORDS] if chain.answer is not None else ()
    records = [_READERS[kind](rdata) for rdata in found]
    if kind in _ORDERS:
        records.sort(key=_ORDERS[kind])
    return Answer(
        records=tuple(records),
        ttl=_ttl(response, chain.minimum_ttl, bool(records)),
        authentic=trusts and bool(response.flags & dns.flags.AD),
        exists=response.rcode() == dns.rcode.NOERROR,
    )


def _ttl(response: dns.message.Message, minimum: int, has_records: bool) -> int:
    if has_records:
        return min(minimum, MAX_TTL_SECONDS)
    has_soa = any(rrset.rdtype == dns.rdatatype.SOA for rrset in response.authority)
    return min(minimum if has_soa else DEFAULT_NEGATIVE_TTL_SECONDS, MAX_NEGATIVE_TTL_SECONDS)


def _text(name: dns.name.Name) -> str:
    return name.to_text(omit_final_dot=True).lower() if name != dns.name.root else ""


def _decoded(octets: bytes) -> str:
    return octets.decode("utf-8", "replace")


def _soa(rdata: Any) -> SOA:
    return SOA(
        _text(rdata.mname),
        _text(rdata.rname),
        rdata.serial,
        rdata.refresh,
        rdata.retry,
        rdata.expire,
        rdata.minimum,
    )


_READERS: Mapping[type[Record], Callable[[Any], Any]] = MappingProxyType(
    {
        A: lambda rdata: A(rdata.address),
        AAAA: lambda rdata: AAAA(rdata.address),
        TXT: lambda rdata: TXT(_decoded(b"".join(rdata.strings))),
        CNAME: lambda rdata: CNAME(_text(rdata.target)),
        PTR: lambda rdata: PTR(_text(rdata.target)),
        NS: lambda rdata: NS(_text(rdata.target)),
        MX: lambda rdata: MX(rdata.preference, _text(rdata.exchange)),
        SRV: lambda rdata: SRV(rdata.priority, rdata.weight, rdata.port, _text(rdata.target)),
        TLSA: lambda rdata: TLSA(rdata.usage, rdata.selector, rdata.mtype, bytes(rdata.cert)),
        CAA: lambda rdata: CAA(rdata.flags, _decoded(rdata.tag), _decoded(rdata.value)),
        SOA: _soa,
    }
)
_ORDERS: Mapping[type[Record], Callable[[Any], int]] = MappingProxyType(
    {MX: lambda record: int(record.preference), SRV: lambda record: int(record.priority)}
)
