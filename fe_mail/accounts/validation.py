"""
The rules for what people type: domains, recipients, sizes, ports.

Pure functions: a value in, the value to store out, or ``Invalid`` with one plain sentence, the
name of the field and the reference's message key where it has one. Numbers may come as text and
lists as text with commas, blanks or line ends, since forms know nothing else. The rules for the
name of an alias are a chapter of their own: ``alias_names``; they are offered here with the others.
"""

import datetime
import ipaddress
import re
import urllib.parse
from collections.abc import Sequence

from fe_mail.accounts.alias_names import alias_name, refuse_reserved
from fe_mail.model.address import Address, folded, normalize_domain, parse_address
from fe_mail.model.errors import Invalid
from fe_mail.model.network import parse_ip
from fe_mail.model.sentence import Sentence
from fe_mail.model.web import Reach

__all__ = [
    "MAX_DESCRIPTION_LENGTH",
    "MAX_LABELS",
    "MAX_LIST_ENTRIES",
    "MAX_NAME_LENGTH",
    "MAX_RECIPIENTS",
    "MAX_URL_LENGTH",
    "alias_name",
    "boolean",
    "catchall_recipients",
    "date",
    "description",
    "domain_name",
    "entry_list",
    "error_code",
    "labels",
    "long_text",
    "octets",
    "person_name",
    "plain_text",
    "plan",
    "recipients",
    "refuse_reserved",
    "split_list",
    "user_email",
    "web_url",
    "whole_number",
]

MAX_DESCRIPTION_LENGTH = 150
MAX_LABEL_LENGTH = 150
MAX_LABELS = 50
MAX_LIST_ENTRIES = 1000
MAX_NAME_LENGTH = 35
MAX_RECIPIENTS = 1000  # of any alias, whatever its domain allows
MAX_TEXT_LENGTH = 200_000  # of a list before it is split
MAX_URL_LENGTH = 2000
PLANS = ("free", "enhanced_protection", "team")
_YES = frozenset({"true", "t", "yes", "y", "on", "1"})
_NO = frozenset({"false", "f", "no", "n", "off", "0"})
CATCHALL_LABEL = "catch-all"

_TAG = re.compile(r"<[^<>]{0,1000}>")
_SPLIT = re.compile(r"[\s,]+")
_TLD = re.compile(r"(?:[a-z]{2,63}|xn--[a-z0-9\-]{1,59})\Z")
_SIZE = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,6})?)\s*(b|kb|mb|gb|tb|pb)?\Z", re.IGNORECASE)
_UNITS = {"": 1, "b": 1, "kb": 1 << 10, "mb": 1 << 20, "gb": 1 << 30, "tb": 1 << 40, "pb": 1 << 50}


def domain_name(value: object) -> str:
    """A-labels of a domain with at least two labels, or an address literal."""
    text = value.strip() if isinstance(value, str) else ""
    wrong = Invalid("The domain name is not valid.", field="domain", code="INVALID_DOMAIN")
    try:
        ip = _ip_address(text.strip("[]").removeprefix("IPv6:"))
        return f"[IPv6:{ip}]" if ip.version == 6 else f"[{ip}]"
    except ValueError:
        pass  # not an address: a name, then
    try:
        name = normalize_domain(text)
    except Invalid:
        raise wrong from None
    if name.startswith("[") or "." not in name or not _TLD.match(name.rpartition(".")[2]):
        raise wrong
    return name


def _ip_address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """``ValueError`` for others, and with a scope: Python takes any text for one."""
    if "%" in text:
        raise ValueError(text)
    return ipaddress.ip_address(text)


def user_email(value: object) -> str:
    """The address of a web account, lower case."""
    try:
        address = parse_address(value.strip() if isinstance(value, str) else "")
        domain_name(address.domain)
    except Invalid as error:
        raise Invalid(
            "The e-mail address is not valid.", field="email", code="INVALID_EMAIL"
        ) from error
    return address.key


def person_name(value: object, field: str) -> str:
    """A given or family name."""
    return plain_text(value, field, MAX_NAME_LENGTH)


def split_list(value: object, field: str) -> tuple[str, ...]:
    """A list, or text split at commas, blanks and line ends; without repetitions."""
    if value is None:
        return ()
    if isinstance(value, str) and len(value) <= MAX_TEXT_LENGTH:
        parts: Sequence[object] = _SPLIT.split(value)
    elif isinstance(value, list | tuple):
        parts = value
    else:
        raise Invalid("This must be a list.", field=field)
    if not all(isinstance(part, str) for part in parts) or len(parts) > MAX_LIST_ENTRIES * 2:
        raise Invalid("This must be a list of texts.", field=field)
    found = tuple(dict.fromkeys(text for part in parts if (text := str(part).strip())))
    if not all(text.isprintable() for text in found):
        raise Invalid("The list has characters that cannot be seen.", field=field)
    return found


def recipients(
    value: object, limit: int, *, emails_only: bool = False, webhooks: Reach | None = None
) -> tuple[str, ...]:
    """
    E-mail addresses, hosts, IP addresses and URLs; at most ``limit`` different ones. A URL where
    ``webhooks`` may not go is refused now, since its mail would be.
    """
    found = tuple(dict.fromkeys(_recipient(text) for text in split_list(value, "recipients")))
    found = _within(found, min(limit, MAX_RECIPIENTS), "recipients")
    if emails_only and not all("@" in text and "://" not in text for text in found):
        raise Invalid(
            "With recipient verification, every recipient must be an e-mail address.",
            field="recipients",
            code="INVALID_RECIPIENT",
        )
    for text in found:
        if "://" in text and webhooks is not None:
            _refuse_out_of_reach(text, webhooks)
    return found


def _within(found: tuple[str, ...], limit: int, field: str) -> tuple[str, ...]:
    if len(found) > limit:
        raise Invalid(
            Sentence("An alias may have at most %(limit)s recipients.", limit=limit),
            field=field,
            code="EXCEEDED_UNIQUE_COUNT",
        )
    return found


def _refuse_out_of_reach(url: str, webhooks: Reach) -> None:
    """What a name leads to is seen when mail comes."""
    parts = urllib.parse.urlsplit(url)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    is_address = parse_ip(host) is not None
    if is_address and webhooks.is_excepted(host):
        return
    if is_address and not webhooks.allows(host):
        raise Invalid(
            Sentence("“%(text)s” leads to no public address of another host.", text=url[:100]),
            field="recipients",
            code="INVALID_RECIPIENT",
        )
    if port not in webhooks.ports and not webhooks.networks:
        raise Invalid(
            Sentence("“%(text)s” leads to a port that webhooks may not use.", text=url[:100]),
            field="recipients",
            code="INVALID_RECIPIENT",
        )


def _recipient(text: str) -> str:
    if text.lower().startswith(("http://", "https://")):
        return web_url(text, "recipients")
    try:
        if "@" in text:
            return _address_text(parse_address(text))
        return str(_ip_address(text.strip("[]")))
    except Invalid:
        raise _bad_recipient(text) from None
    except ValueError:
        pass  # neither an address nor an IP: a host, then
    try:
        return domain_name(text)
    except Invalid:
        raise _bad_recipient(text) from None


def _address_text(address: Address) -> str:
    return f"{folded(address.local)}@{address.domain}"


def _bad_recipient(text: str) -> Invalid:
    return Invalid(
        Sentence("“%(text)s” is no e-mail address, host name, IP address or URL.", text=text[:100]),
        field="recipients",
        code="INVALID_RECIPIENT",
    )


def catchall_recipients(value: str, limit: int) -> tuple[str, ...]:
    """The e-mail addresses in a list; what is none is left out, but one must be."""
    found = []
    for text in split_list(value, "catchall"):
        try:
            found.append(_address_text(parse_address(text)))
        except Invalid:
            continue
    if not found:
        raise Invalid(
            "A catch-all needs at least one e-mail address.",
            field="catchall",
            code="ALIAS_MUST_HAVE_ONE_RECIPIENT",
        )
    return _within(tuple(dict.fromkeys(found)), limit, "catchall")


def web_url(value: object, field: str) -> str:
    """An http or https URL with a host."""
    text = value.strip() if isinstance(value, str) else ""
    wrong = Invalid("The address must be an http or https URL.", field=field, code="INVALID_URL")
    if len(text) > MAX_URL_LENGTH or not text.isprintable() or " " in text:
        raise wrong
    try:
        parts = urllib.parse.urlsplit(text)
        has_host = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        raise wrong from None
    if parts.scheme.lower() not in ("http", "https") or not has_host:
        raise wrong
    return text


def plain_text(value: object, field: str, limit: int) -> str:
    """Text without markup and control characters."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise Invalid("This must be text.", field=field)
    text = "".join(c if c.isprintable() else " " for c in _TAG.sub("", value)).strip()
    if len(text) > limit:
        raise _too_long(limit, field)
    return text


def long_text(value: object, field: str, limit: int) -> str:
    """The same with line ends kept, as LF."""
    if not isinstance(value, str):
        return plain_text(value, field, limit)
    lines = [plain_text(line, field, limit) for line in value.splitlines()]
    text = "\n".join(lines).strip()
    if len(text) > limit:
        raise _too_long(limit, field)
    return text


def _too_long(limit: int, field: str) -> Invalid:
    return Invalid(Sentence("This may have at most %(limit)s characters.", limit=limit), field)


def description(value: object) -> str:
    """The description of an alias."""
    return plain_text(value, "description", MAX_DESCRIPTION_LENGTH)


def labels(value: object, name: str) -> tuple[str, ...]:
    """Slugs; ``*`` has the label ``catch-all`` in front, and nothing else has it."""
    slugs = [_slug(text) for text in split_list(value, "labels")]
    found = [slug for slug in dict.fromkeys(slugs) if slug and slug != CATCHALL_LABEL]
    if len(found) > MAX_LABELS or any(len(slug) > MAX_LABEL_LENGTH for slug in found):
        raise Invalid("These are too many or too long labels.", field="labels")
    return (CATCHALL_LABEL, *found) if name == "*" else tuple(found)


def _slug(text: str) -> str:
    return re.sub(r"[^\w]+", "-", text.lower()).strip("-_")


def boolean(value: object, field: str) -> bool:
    """Yes or no, as JSON and forms say it; anything else is neither."""
    text = str(value).strip().lower() if isinstance(value, str | int) else ""
    if text in _YES:
        return True
    if text in _NO:
        return False
    raise Invalid(Sentence("The field %(name)s must be true or false.", name=field), field=field)


def whole_number(value: object, field: str, low: int, high: int, code: str = "") -> int:
    """A number between two others, both included."""
    text = str(value).strip() if isinstance(value, str | int) else ""
    if not re.fullmatch(r"[0-9]{1,12}", text) or not low <= int(text) <= high:
        wrong = Sentence(
            "The field %(name)s must be a number from %(low)s to %(high)s.",
            name=field,
            low=low,
            high=high,
        )
        raise Invalid(wrong, field=field, code=code)
    return int(text)


def error_code(value: object) -> int:
    """What a disabled alias answers."""
    if str(value).strip() not in ("250", "421", "550"):
        raise Invalid(
            "The answer of a disabled alias must be 250, 421 or 550.",
            field="error_code_if_disabled",
            code="INVALID_ERROR_CODE",
        )
    return int(str(value))


def octets(value: object, field: str, limit: int) -> int:
    """A size like ``5 GB``; empty: 0, the default."""
    text = str(value).strip() if isinstance(value, str | int) else "?"
    if not text:
        return 0
    match = _SIZE.match(text)
    if match is None:
        raise Invalid("Write a size like “5 GB”.", field=field, code="INVALID_BYTES")
    size = int(float(match[1]) * _UNITS[(match[2] or "").lower()])
    if size > limit:
        raise Invalid(
            Sentence("The size may be at most %(size)s GB.", size=f"{limit / (1 << 30):g}"),
            field=field,
            code="INVALID_BYTES",
        )
    return size


def plan(value: object) -> str:
    """One of the reference's plans; on one's own server they are all the same."""
    if value not in PLANS:
        raise Invalid("There is no such plan.", field="plan", code="INVALID_PLAN")
    return str(value)


def entry_list(value: object, field: str) -> tuple[str, ...]:
    """Entries of an allowlist or denylist: hosts (``*.tld`` too), IP and e-mail addresses."""
    found = tuple(dict.fromkeys(_entry(text, field) for text in split_list(value, field)))
    if len(found) > MAX_LIST_ENTRIES:
        raise Invalid(
            Sentence("At most %(limit)s entries are possible.", limit=MAX_LIST_ENTRIES), field
        )
    return found


def _entry(text: str, field: str) -> str:
    if text.startswith("*.") and _TLD.match(text[2:].lower()):
        return text.lower()
    try:
        if "@" in text:
            return _address_text(parse_address(text))
        return domain_name(text).strip("[]").removeprefix("IPv6:")
    except Invalid:
        raise Invalid(
            Sentence("“%(text)s” is no host name, IP address or e-mail address.", text=text[:100]),
            field=field,
        ) from None


def date(value: object, field: str) -> str:
    """A date or a moment (RFC 3339); empty: none."""
    text = "" if value is None else value.strip() if isinstance(value, str) else "?"
    if not text:
        return ""
    try:
        datetime.datetime.fromisoformat(text)
    except ValueError:
        raise Invalid("Write a date like 2026-12-24.", field=field, code="INVALID_DATE") from None
    return text
