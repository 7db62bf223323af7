"""
Every variable that fe-mail reads, documented once.

One frozen class per area; each attribute is one variable: its name in ``.env``, its default, how
it is read, and one sentence. ``--help``, ``conf/env.example`` and ``docs/variables.rst`` are
generated from here; those of the listeners come from ``edge_table.py``. Names that the reference's
product has mean the same here.
"""

import re
import secrets
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import attrs

from fe_mail.app.edge_table import edges
from fe_mail.app.networks import collapsed, is_too_wide, trusted_network
from fe_mail.http.origins import origin_of
from fe_mail.model.address import normalize_domain
from fe_mail.model.errors import Invalid
from fe_mail.model.network import parse_ip

__all__ = [
    "AREAS",
    "REFERENCE_ONLY",
    "Keys",
    "Limits",
    "Listen",
    "Listening",
    "Names",
    "Operation",
    "Storage",
    "Variable",
    "Web",
    "Webhooks",
    "variables",
]

Reader = Callable[[str], Any]


@attrs.frozen(kw_only=True)
class Variable:
    """One variable: ``read`` raises ValueError with the end of the sentence "NAME must ..."."""

    name: str
    default: str
    text: str
    read: Reader
    secret: Callable[[], str] | None = None  # makes one when it is missing


def _var(
    name: str, default: str, text: str, read: Reader, secret: Callable[[], str] | None = None
) -> Any:
    variable = Variable(name=name, default=default, text=text, read=read, secret=secret)
    return attrs.field(metadata={"variable": variable}, repr=secret is None)


# Readers ---------------------------------------------------------------------------------------

_TRUE = {"true", "t", "yes", "y", "on", "1"}
_FALSE = {"false", "f", "no", "n", "off", "0", ""}
_UNITS = {"": 1, "b": 1, "kb": 1024, "mb": 1024**2, "gb": 1024**3, "tb": 1024**4}
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def _text(value: str) -> str:
    return value


def _flag(value: str) -> bool:
    if value.lower() in _TRUE:
        return True
    if value.lower() in _FALSE:
        return False
    raise ValueError("be true or false")


def _host(value: str) -> str:
    try:
        return normalize_domain(value)
    except Invalid:
        raise ValueError("be a host name such as mail.example.org") from None


def _hosts(value: str) -> tuple[str, ...]:
    return tuple(_host(part) for part in _words(value))


def _words(value: str) -> tuple[str, ...]:
    return tuple(part for part in re.split(r"[\s,]+", value) if part)


def _endpoints(value: str) -> tuple[str, ...]:
    return tuple(value.split())


def _port(value: str) -> int:
    if not value.isdecimal() or int(value) > 65535:
        raise ValueError("be a port number from 1 to 65535, or 0 for off")
    return int(value)


def _octets(value: str) -> int:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]*)", value.strip().lower())
    if not match or match[2] not in _UNITS:
        raise ValueError("be a size such as 50MB or 10GB")
    return int(float(match[1]) * _UNITS[match[2]])


def _seconds(value: str) -> int:
    match = re.fullmatch(r"(\d+)\s*([a-z]?)", value.strip().lower())
    if not match or match[2] not in _SECONDS:
        raise ValueError("be a duration such as 30s, 10m, 12h or 7d")
    return int(match[1]) * _SECONDS[match[2]]


def _count(value: str) -> int:
    if not value.isdecimal() or not 1 <= int(value) <= 1_000_000:
        raise ValueError("be a whole number from 1 to 1000000")
    return int(value)


def _key(value: str) -> str:
    if len(value) < 32:
        raise ValueError("have at least 32 characters (leave it out, and one is made)")
    return value


def _key_list(value: str) -> tuple[str, ...]:
    return tuple(_key(part) for part in _words(value))


def _scheme(value: str) -> str:
    if value not in ("https", "http"):
        raise ValueError("be https or http")
    return value


def _level(value: str) -> str:
    if value not in ("debug", "info", "warn", "error"):
        raise ValueError("be debug, info, warn or error")
    return value


def _log_format(value: str) -> str:
    if value not in ("auto", "human", "json"):
        raise ValueError("be auto, human or json")
    return value


def _networks(value: str) -> tuple[str, ...]:
    """As few as say the same, so that halves of the world are seen to be the whole."""
    try:
        found = [trusted_network(word) for word in _words(value)]
    except ValueError:
        raise ValueError("be a list of networks such as 10.0.0.0/8, ::1") from None
    if any(is_too_wide(network) for network in collapsed(found)):
        raise ValueError("not contain the whole internet, nor a great part of it")
    return tuple(dict.fromkeys(map(str, found)))


def _url(value: str) -> str:
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


def _resolvers(value: str) -> tuple[str, ...]:
    for word in _words(value):
        host, sign, port = word.partition("#")
        is_port = port.isascii() and port.isdecimal() and 1 <= int(port[:6]) <= 65535
        if parse_ip(host) is None or "%" in host or (sign and not is_port):
            raise ValueError("be a list of IP addresses such as 192.0.2.53, 127.0.0.1#5353")
    return _words(value)


def _web_ports(value: str) -> tuple[int, ...]:
    try:
        ports = tuple(_port(word) for word in _words(value))
    except ValueError:
        ports = (0,)
    if 0 in ports:
        raise ValueError("be a list of port numbers such as 80, 443")
    return ports


def _addresses(value: str) -> tuple[str, ...]:
    found = [parse_ip(word) for word in _words(value)]
    if any(ip is None or ip.is_unspecified or ip.is_multicast for ip in found):
        raise ValueError("be a list of IP addresses such as 192.0.2.25, 2001:db8::25")
    return tuple(str(ip) for ip in found)


def _alphanumeric_32() -> str:
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
    return "".join(secrets.choice(alphabet) for _ in range(32))


def _web_password() -> str:
    return secrets.token_urlsafe(16)


# Areas -----------------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class Names:
    """Who this server is."""

    domain: str = _var(
        "DOMAIN", "", "The server's own domain, such as example.org. Must be set.", _host
    )
    app_name: str = _var("APP_NAME", "fe-mail", "Name shown in the web UI.", _text)
    web_host: str = _var("WEB_HOST", "{{DOMAIN}}", "Host name of the web UI.", _host)
    api_host: str = _var("API_HOST", "api.{{DOMAIN}}", "Host name of the REST API.", _host)
    mx_host: str = _var(
        "MX_HOST", "mx.{{DOMAIN}}", "Host name of the MX; also used in EHLO and Received.", _host
    )
    smtp_host: str = _var("SMTP_HOST", "smtp.{{DOMAIN}}", "Submission host for clients.", _host)
    imap_host: str = _var("IMAP_HOST", "imap.{{DOMAIN}}", "IMAP host for clients.", _host)
    pop3_host: str = _var("POP3_HOST", "pop3.{{DOMAIN}}", "POP3 host for clients.", _host)
    exchange_domains: tuple[str, ...] = _var(
        "SMTP_EXCHANGE_DOMAINS",
        "{{MX_HOST}}",
        "Hosts that a hosted domain's MX records must name.",
        _hosts,
    )

    @property
    def hosts(self) -> tuple[str, ...]:
        """The domain and every host name, each once."""
        named = (field.name for field in attrs.fields(type(self)) if field.name.endswith("_host"))
        return tuple(dict.fromkeys((self.domain, *(getattr(self, name) for name in named))))

    @property
    def trusted(self) -> tuple[str, ...]:
        """Every name that is ours in the header of a message."""
        return tuple(dict.fromkeys((*self.hosts, *self.exchange_domains)))


class Listening:
    """What ``Listen`` is able to do; its variables derive from the table of edges."""

    proxy_networks: tuple[str, ...]

    def port(self, name: str) -> int:
        """The port of a listener, 0 if it is off."""
        return int(getattr(self, _EDGES[name].port_variable.lower()))

    def endpoints(self, name: str) -> tuple[str, ...]:
        """The endpoint strings that were given for a listener instead of its port."""
        if not _EDGES[name].takes_endpoints:
            return ()
        return tuple(getattr(self, _EDGES[name].listen_variable.lower()))


def _listen_fields() -> dict[str, Any]:
    """First every port, then every list of endpoint strings."""
    fields = {}
    for edge in _EDGES.values():
        name = edge.port_variable
        fields[name.lower()] = _var(name, str(edge.port), edge.text, _port)
    taking = [edge for edge in _EDGES.values() if edge.takes_endpoints]
    for edge in taking:
        text = f"Endpoint strings instead of {edge.port_variable}"
        text += ", separated by blanks." if edge is taking[0] else "."
        fields[edge.listen_variable.lower()] = _var(edge.listen_variable, "", text, _endpoints)
    fields["proxy_networks"] = _var(
        "PROXY_PROTOCOL_FROM",
        "",
        "Networks of load balancers that must speak the PROXY protocol to us.",
        _networks,
    )
    return fields


_EDGES = {edge.name: edge for edge in edges()}
Listen: type[Listening] = attrs.make_class(
    "Listen",
    _listen_fields(),
    bases=(Listening,),
    class_body={"__doc__": "Where connections come in. A port of 0 switches a listener off."},
    frozen=True,
    kw_only=True,
)


@attrs.frozen(kw_only=True)
class Web:
    """The web UI."""

    http_protocol: str = _var(
        "HTTP_PROTOCOL", "https", "What browsers use to reach the web UI: https or http.", _scheme
    )
    url: str = _var(
        "WEB_URL",
        "{{HTTP_PROTOCOL}}://{{WEB_HOST}}",
        "Address that people type for the web UI, with its port if that is not the usual one.",
        _url,
    )
    api_url: str = _var(
        "API_URL", "{{HTTP_PROTOCOL}}://{{API_HOST}}", "Address of the API, likewise.", _url
    )
    trusted_proxies: tuple[str, ...] = _var(
        "TRUSTED_PROXIES",
        "127.0.0.1, ::1",
        "Networks of reverse proxies whose X-Forwarded-For and -Proto count.",
        _networks,
    )
    auth_basic_enabled: bool = _var(
        "AUTH_BASIC_ENABLED", "true", "Ask for a password before the first account exists.", _flag
    )
    auth_basic_username: str = _var("AUTH_BASIC_USERNAME", "admin", "User name of that.", _text)
    auth_basic_password: str = _var(
        "AUTH_BASIC_PASSWORD", "", "Password of that; made if missing.", _text, _web_password
    )
    auth_basic_always: bool = _var(
        "AUTH_BASIC_ALWAYS", "false", "Keep asking when an admin exists.", _flag
    )


@attrs.frozen(kw_only=True)
class Keys:
    """Secrets. Made at the first start, written to ``.env``, and never made again over data."""

    helper: str = _var(
        "HELPER_ENCRYPTION_KEY",
        "",
        "Encrypts secrets and waiting mail at rest. Lose it, and they are lost.",
        _key,
        _alphanumeric_32,
    )
    srs: tuple[str, ...] = _var(
        "SRS_SECRET",
        "",
        "Signs rewritten senders; the first signs, further ones (after a comma) still verify.",
        _key_list,
        _alphanumeric_32,
    )


@attrs.frozen(kw_only=True)
class Limits:
    """How much is too much."""

    message_octets: int = _var("SMTP_MESSAGE_MAX_SIZE", "50MB", "Largest message.", _octets)
    recipients: int = _var("MAX_RECIPIENTS", "100", "Recipients of one message.", _count)
    forwarded: int = _var(
        "MAX_FORWARDED_ADDRESSES", "10", "Targets that one address may forward to.", _count
    )
    quota_octets: int = _var("DEFAULT_QUOTA", "10GB", "Quota of a mailbox.", _octets)
    outbound_daily: int = _var(
        "SMTP_DAILY_LIMIT", "300", "Messages a day that an alias may send.", _count
    )


@attrs.frozen(kw_only=True)
class Webhooks:
    """Where messages and reports may be posted to: web addresses that users choose."""

    ports: tuple[int, ...] = _var(
        "WEBHOOK_PORTS", "80, 443, 8080, 8443", "Ports that webhooks may go to.", _web_ports
    )
    networks: tuple[str, ...] = _var(
        "WEBHOOK_NETWORKS",
        "",
        "Networks that webhooks may go to, on any port, although they are private or this server.",
        _networks,
    )


@attrs.frozen(kw_only=True)
class Storage:
    """Where data lives; relative paths are below the server's directory."""

    sqlite_path: str = _var(
        "SQLITE_STORAGE_PATH", "sqlite-data", "Mailboxes, accounts, queue and spool.", _text
    )
    ssl_path: str = _var(
        "SSL_PATH", "ssl", "Holds privkey.pem and fullchain.pem; reloaded when they change.", _text
    )
    log_retention_seconds: int = _var("LOG_RETENTION", "7d", "How long logs are kept.", _seconds)


@attrs.frozen(kw_only=True)
class Operation:
    """How it runs."""

    log_level: str = _var("LOG_LEVEL", "info", "debug, info, warn or error.", _level)
    log_format: str = _var(
        "LOG_FORMAT", "auto", "human, json, or auto: human on a terminal.", _log_format
    )
    dns_servers: tuple[str, ...] = _var(
        "DNS_SERVERS",
        "",
        "Resolvers to ask, each an IP address, with #port if it is not 53; "
        "empty: those of /etc/resolv.conf.",
        _resolvers,
    )
    server_addresses: tuple[str, ...] = _var(
        "SERVER_ADDRESSES",
        "",
        "IP addresses under which the Internet sees this server; needed behind NAT.",
        _addresses,
    )


AREAS: dict[str, type] = {
    "names": Names,
    "listen": Listen,
    "web": Web,
    "keys": Keys,
    "limits": Limits,
    "webhooks": Webhooks,
    "storage": Storage,
    "operation": Operation,
}

# The reference's names that an imported .env may carry and that fe-mail has no use for.
REFERENCE_ONLY = re.compile(
    r"(SELF_HOSTED|NODE_ENV|TURNSTILE_\w+|IMAGE_TAG|COMPOSE_PROFILES|CACHE_RESPONSES"
    r"|ENABLE_MONITOR_SERVER|TRANSPORT_DEBUG|SEND_EMAIL|PREVIEW_EMAIL|WEBSITE_URL"
    r"|(\w+_)?(MONGO|REDIS)_\w+|SQLITE_(HOST|PORT|RCLONE_ENABLED|FTS5_ENABLED|TMPDIR)"
    r"|(CALDAV|CARDDAV)_(HOST|PORT)|\w+_SSL_(KEY|CERT|CA)_PATH|DKIM_\w+|VANITY_DOMAINS"
    r"|SMTP_TRANSPORT_\w+|SMTP_PISCINA_ENABLED|SMTP_(MAX|MIN)_THREADS|SMTP_IDLE_TIMEOUT"
    r"|API_SECRETS|TXT_ENCRYPTION_KEY|WEBHOOK_SIGNATURE_KEY|EMAIL_\w+|REMOVED_EMAIL_DOMAIN"
    r"|AWS_\w+|BACKUP_BUCKET|ALLOWLIST|DENYLIST|TRUTH_SOURCES|APPLE_\w+|TXT_RECORD_PREFIX)\Z"
)


def variables() -> dict[str, tuple[str, str, Variable]]:
    """Every variable by name, with its area and attribute."""
    return {
        field.metadata["variable"].name: (area, field.name, field.metadata["variable"])
        for area, cls in AREAS.items()
        for field in attrs.fields(cls)
    }
