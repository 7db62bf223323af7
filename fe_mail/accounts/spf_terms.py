"""
The grammar of SPF records: terms, networks and macros, as values.

What a receiver refuses to read as a whole (a permerror) is ``Broken``: a term that does not exist,
an address of the wrong family, a length that is none. A macro whose value depends on the single
message (the sender's local part, the name of the client) is ``Unknowable``.

RFC 7208 §4.6.1 (terms), §5 (mechanisms), §6 (modifiers), §7 (macros), §12 (the grammar).
"""

import ipaddress
import re
from collections.abc import Mapping

import attrs

from fe_mail.model.network import IPAddress

__all__ = ["Broken", "Policy", "Term", "Unknowable", "expand", "read_policy"]

MAX_TERMS = 100
MAX_NAME_CHARS = 253

_WITH_NAME = ("include", "exists")
_MAY_HAVE_NAME = ("a", "mx", "ptr")
_MODIFIER = re.compile(r"([A-Za-z][A-Za-z0-9_.-]*)=(.*)\Z")
_MECHANISM = re.compile(r"([+\-~?]?)([A-Za-z][A-Za-z0-9]*)(?::([^/]+|ip.*))?((?:/.*)?)\Z")
_LENGTHS = re.compile(r"(?:/(\d{1,2}))?(?://(\d{1,3}))?\Z")
_MACRO = re.compile(r"%(?:\{([A-Za-z])(\d*)(r?)([-.+,/_=]*)\}|([%_\-])|())", re.IGNORECASE)
_LITERALS = {"%": "%", "_": " ", "-": "%20"}


class Broken(Exception):
    """Receivers refuse to read the record: a permerror."""


class Unknowable(Exception):
    """It depends on the message."""


@attrs.frozen(kw_only=True)
class Term:
    """A mechanism: ``argument`` is a name with macros, or the network of ``ip4`` and ``ip6``."""

    qualifier: str
    name: str
    argument: str = ""
    length4: int = 32
    length6: int = 128


@attrs.frozen
class Policy:
    """A record that makes sense; ``redirect`` is empty if it has none."""

    terms: tuple[Term, ...]
    redirect: str = ""


def read_policy(record: str) -> Policy:
    """``Broken``."""
    words = record.split()[1:]
    if len(words) > MAX_TERMS:
        raise Broken
    terms, redirects = [], []
    for word in words:
        modifier = _MODIFIER.match(word)
        if modifier is None:
            terms.append(_mechanism(word))
        elif modifier[1].lower() == "redirect":
            redirects.append(modifier[2])
    if len(redirects) > 1 or not all(redirects):
        raise Broken
    return Policy(tuple(terms), redirects[0] if redirects else "")


def _mechanism(word: str) -> Term:
    match = _MECHANISM.match(word)
    if match is None:
        raise Broken
    qualifier, name, argument, tail = match[1] or "+", match[2].lower(), match[3] or "", match[4]
    if name in ("ip4", "ip6"):
        return Term(qualifier=qualifier, name=name, argument=_network(name, argument + tail))
    if name == "all" and not argument and not tail:
        return Term(qualifier=qualifier, name=name)
    is_named = name in _WITH_NAME and argument and not tail
    if not is_named and (name not in _MAY_HAVE_NAME or (word.find(":") > 0 and not argument)):
        raise Broken
    four, six = _lengths(name, tail)
    return Term(qualifier=qualifier, name=name, argument=argument, length4=four, length6=six)


def _lengths(name: str, tail: str) -> tuple[int, int]:
    match = _LENGTHS.match(tail)
    if match is None or (tail and name not in ("a", "mx")):
        raise Broken
    four, six = int(match[1] or 32), int(match[2] or 128)
    if four > 32 or six > 128:
        raise Broken
    return four, six


def _network(name: str, text: str) -> str:
    kind = ipaddress.IPv4Network if name == "ip4" else ipaddress.IPv6Network
    try:
        return str(kind(text, strict=False))
    except ValueError:
        raise Broken from None


def expand(text: str, ip: IPAddress, domain: str, sender_domain: str, helo: str) -> str:
    """
    A name with its macros filled in for a message from ``ip``; the record is that of ``domain``.

    ``Broken``; ``Unknowable`` for the sender's address, its local part, and the client's name.
    """
    known = {
        "i": _dotted(ip),
        "d": domain,
        "o": sender_domain,
        "v": "in-addr" if ip.version == 4 else "ip6",
    }
    if helo:
        known["h"] = helo
    name = _MACRO.sub(lambda match: _filled(match, known), text).rstrip(".")
    while len(name) > MAX_NAME_CHARS and "." in name:
        name = name.partition(".")[2]  # whole labels from the left (RFC 7208 §7.3)
    return name


def _filled(match: "re.Match[str]", known: Mapping[str, str]) -> str:
    letter, digits, reverse, delimiters, literal = match.groups()[:5]
    if literal:
        return _LITERALS[literal]
    if letter is None:
        raise Broken  # a % that begins no macro
    letter = letter.lower()
    if letter not in "slphidov" or digits == "0":
        raise Broken
    if letter not in known:
        raise Unknowable
    parts = re.split(f"[{re.escape(delimiters or '.')}]", known[letter])
    if reverse:
        parts.reverse()
    kept = parts[-int(digits) :] if digits else parts
    return ".".join(kept)


def _dotted(ip: IPAddress) -> str:
    """IPv6 as nibbles (RFC 7208 §7.3)."""
    return str(ip) if ip.version == 4 else ".".join(ip.exploded.replace(":", ""))
