"""
Origins: scheme, host and port of an address, spelled in one way so that equal ones compare equal.

A default port may be named or not, a host may be written in capitals, in Unicode or with the dot of
the DNS root behind it. RFC 6454 §4 (what an origin is), §5 (comparing); RFC 3986 §6.2.3.
"""

import ipaddress
from urllib.parse import urlsplit

from fe_mail.model.address import normalize_domain
from fe_mail.model.errors import Invalid

__all__ = ["origin_of"]

_PORTS = {"http": 80, "https": 443}


def origin_of(url: str) -> str | None:
    """``https://mail.example.org:443`` of any http URL; None of what is none, such as ``null``."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return None
    if parts.scheme not in _PORTS or not host or port == 0:
        return None
    return f"{parts.scheme}://{_host(host)}:{port or _PORTS[parts.scheme]}"


def _host(name: str) -> str:
    """Names inside one's own network may have underscores, which no domain has."""
    try:
        ip = ipaddress.ip_address(name)
        return f"[{ip}]" if ip.version == 6 else str(ip)
    except ValueError:
        pass  # not an address: a name, then
    try:
        return normalize_domain(name)
    except Invalid:
        return name.lower().rstrip(".")
