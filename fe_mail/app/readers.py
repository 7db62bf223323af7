"""
How the text of a variable becomes a value, or a sentence that says what it must be.

Each reader raises ValueError with the end of the sentence "NAME must ...". Pure, but for the two
that make secrets.
"""

import re
import secrets
from urllib.parse import urlsplit

from fe_mail.app.networks import collapsed, is_too_wide, trusted_network
from fe_mail.http.origins import origin_of
from fe_mail.model.address import normalize_domain
from fe_mail.model.errors import Invalid
from fe_mail.model.network import parse_ip

__all__ = [
    "addresses",
    "alphanumeric_32",
    "count",
    "endpoints",
    "flag",
    "host",
    "hosts",
    "key",
    "key_list",
    "level",
    "log_format",
    "networks",
    "octets",
    "port",
    "resolvers",
    "scheme",
    "seconds",
    "text",
    "url",
    "web_password",
    "web_ports",
    "words",
]

_TRUE = {"true", "t", "yes", "y", "on", "1"}
_FALSE = {"false", "f", "no", "n", "off", "0", ""}
_UNITS = {"": 1, "b": 1, "kb": 1024, "mb": 1024**2, "gb": 1024**3, "tb": 1024**4}
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def text(value: str) -> str:
    """As it is."""
    return value


def flag(value: str) -> bool:
    """Yes or no; empty: no."""
    if value.lower() in _TRUE:
        return True
    if value.lower() in _FALSE:
        return False
    raise ValueError("be true or false")


def host(value: str) -> str:
    """A host name, as A-labels."""
    try:
        return normalize_domain(value)
    except Invalid:
        raise ValueError("be a host name such as mail.example.org") from None


def hosts(value: str) -> tuple[str, ...]:
    """Some of them."""
    return tuple(host(part) for part in words(value))


def words(value: str) -> tuple[str, ...]:
    """What blanks and commas separate."""
    return tuple(part for part in re.split(r"[\s,]+", value) if part)


def endpoints(value: str) -> tuple[str, ...]:
    """What blanks separate: commas are part of an endpoint string."""
    return tuple(value.split())


def port(value: str) -> int:
    """0 is off."""
    if not value.isdecimal() or int(value) > 65535:
        raise ValueError("be a port number from 1 to 65535, or 0 for off")
    return int(value)


def octets(value: str) -> int:
    """A size."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]*)", value.strip().lower())
    if not match or match[2] not in _UNITS:
        raise ValueError("be a size such as 50MB or 10GB")
    return int(float(match[1]) * _UNITS[match[2]])


def seconds(value: str) -> int:
    """A duration."""
    match = re.fullmatch(r"(\d+)\s*([a-z]?)", value.strip().lower())
    if not match or match[2] not in _SECONDS:
        raise ValueError("be a duration such as 30s, 10m, 12h or 7d")
    return int(match[1]) * _SECONDS[match[2]]


def count(value: str) -> int:
    """How many."""
    if not value.isdecimal() or not 1 <= int(value) <= 1_000_000:
        raise ValueError("be a whole number from 1 to 1000000")
    return int(value)


def key(value: str) -> str:
    """A secret that is long enough."""
    if len(value) < 32:
        raise ValueError("have at least 32 characters (leave it out, and one is made)")
    return value


def key_list(value: str) -> tuple[str, ...]:
    """Some of them, the one for new work first."""
    return tuple(key(part) for part in words(value))


def scheme(value: str) -> str:
    """Of a web address."""
    if value not in ("https", "http"):
        raise ValueError("be https or http")
    return value


def level(value: str) -> str:
    """Of the log."""
    if value not in ("debug", "info", "warn", "error"):
        raise ValueError("be debug, info, warn or error")
    return value


def log_format(value: str) -> str:
    """Of the log."""
    if value not in ("auto", "human", "json"):
        raise ValueError("be auto, human or json")
    return value


def networks(value: str) -> tuple[str, ...]:
    """As few as say the same, so that halves of the world are seen to be the whole."""
    try:
        found = [trusted_network(word) for word in words(value)]
    except ValueError:
        raise ValueError("be a list of networks such as 10.0.0.0/8, ::1") from None
    if any(is_too_wide(network) for network in collapsed(found)):
        raise ValueError("not contain the whole internet, nor a great part of it")
    return tuple(dict.fromkeys(map(str, found)))


def url(value: str) -> str:
    """An address of ours: fe-mail is served at the top of a host, never below a path."""
    try:
        parts = urlsplit(value)
        is_top = parts.path in ("", "/") and not (parts.query or parts.fragment)
    except ValueError:
        is_top = False
    if origin_of(value) is None or not value.isprintable() or " " in value:
        raise ValueError("be an address such as https://mail.example.org")
    if not is_top or "@" in parts.netloc:
        raise ValueError(
            "be an address without user, path and query, such as https://mail.example.org: "
            "fe-mail is served at the top of a host of its own"
        )
    return value.rstrip("/")


def resolvers(value: str) -> tuple[str, ...]:
    """IP addresses, each with ``#port`` or without."""
    for word in words(value):
        host, sign, port = word.partition("#")
        is_port = port.isascii() and port.isdecimal() and 1 <= int(port[:6]) <= 65535
        if parse_ip(host) is None or "%" in host or (sign and not is_port):
            raise ValueError("be a list of IP addresses such as 192.0.2.53, 127.0.0.1#5353")
    return words(value)


def web_ports(value: str) -> tuple[int, ...]:
    """Port numbers."""
    try:
        ports = tuple(port(word) for word in words(value))
    except ValueError:
        ports = (0,)
    if 0 in ports:
        raise ValueError("be a list of port numbers such as 80, 443")
    return ports


def addresses(value: str) -> tuple[str, ...]:
    """IP addresses that one host can have."""
    found = [parse_ip(word) for word in words(value)]
    if any(ip is None or ip.is_unspecified or ip.is_multicast for ip in found):
        raise ValueError("be a list of IP addresses such as 192.0.2.25, 2001:db8::25")
    return tuple(str(ip) for ip in found)


def alphanumeric_32() -> str:
    """A new key."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
    return "".join(secrets.choice(alphabet) for _ in range(32))


def web_password() -> str:
    """A new password that a person may type."""
    return secrets.token_urlsafe(16)
