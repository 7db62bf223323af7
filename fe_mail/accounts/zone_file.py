"""
The records of a domain as a zone file that a DNS server or a DNS company can take in.

What does not belong into the zone (the names of addresses, records of the server in another domain)
and what nobody here knows is there as a comment. RFC 1035 §5.1 (the format), §3.3.14 (strings of
255 octets).
"""

from collections.abc import Iterable, Iterator

from fe_mail.accounts.dns_records import DNSRecord
from fe_mail.model.account import Domain
from fe_mail.model.network import parse_ip

__all__ = ["zone_file"]

TTL_SECONDS = 3600
MAX_STRING_OCTETS = 255


def zone_file(
    domain: Domain, records: Iterable[DNSRecord], server_records: Iterable[DNSRecord]
) -> str:
    """``server_records`` are those that the domain relies on."""
    ours = [record for record in server_records if record.type]
    inside = [record for record in ours if record.value and _is_inside(record)]
    outside = [record for record in ours if not (record.value and _is_inside(record))]
    lines = [f"$ORIGIN {domain.name}.", f"$TTL {TTL_SECONDS}"]
    lines += [_line(record) for record in (*records, *inside)]
    if outside:
        lines += ["", *_comments(outside)]
    return "\n".join(lines) + "\n"


def _is_inside(record: DNSRecord) -> bool:
    return record.type != "PTR" and not record.name.endswith(".")


def _line(record: DNSRecord) -> str:
    value = record.value
    if record.type == "TXT":
        value = _strings(value)
    elif record.type in ("MX", "CNAME", "PTR"):
        value = f"{value}."
    if record.priority is not None:
        value = f"{record.priority} {value}"
    return f"{record.name:<24} IN {record.type:<5} {value}"


def _strings(text: str) -> str:
    """Quoted, in pieces that fit."""
    octets = text.encode()
    pieces = [
        octets[start : start + MAX_STRING_OCTETS]
        for start in range(0, len(octets), MAX_STRING_OCTETS)
    ]
    return " ".join(f'"{_escaped(piece)}"' for piece in pieces)


def _escaped(piece: bytes) -> str:
    return piece.decode("ascii", "replace").replace("\\", "\\\\").replace('"', '\\"')


def _comments(records: Iterable[DNSRecord]) -> Iterator[str]:
    yield "; Not in this zone, or not known here; whoever runs the server publishes:"
    for record in records:
        ip = parse_ip(record.name)
        name = f"{ip.reverse_pointer}." if ip is not None else record.name or "(reverse)"
        value = record.value or "(the address of this server)"
        yield f"; {name} IN {record.type} {value}"
