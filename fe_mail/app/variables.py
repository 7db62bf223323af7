"""
Every variable that fe-mail reads, documented once.

One frozen class per area; each attribute is one variable: its name in ``.env``, its default, how
it is read, and one sentence. ``--help``, ``conf/env.example`` and ``docs/variables.rst`` are
generated from here; those of the listeners come from ``edge_table.py``. Names that the reference's
product has mean the same here.
"""

import re
from collections.abc import Callable
from typing import Any

import attrs

from fe_mail.app import readers
from fe_mail.app.edge_table import edges

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


@attrs.frozen(kw_only=True)
class Names:
    """Who this server is."""

    domain: str = _var(
        "DOMAIN", "", "The server's own domain, such as example.org. Must be set.", readers.host
    )
    app_name: str = _var("APP_NAME", "fe-mail", "Name shown in the web UI.", readers.text)
    web_host: str = _var("WEB_HOST", "{{DOMAIN}}", "Host name of the web UI.", readers.host)
    api_host: str = _var("API_HOST", "api.{{DOMAIN}}", "Host name of the REST API.", readers.host)
    mx_host: str = _var(
        "MX_HOST",
        "mx.{{DOMAIN}}",
        "Host name of the MX; also used in EHLO and Received.",
        readers.host,
    )
    smtp_host: str = _var(
        "SMTP_HOST", "smtp.{{DOMAIN}}", "Submission host for clients.", readers.host
    )
    imap_host: str = _var("IMAP_HOST", "imap.{{DOMAIN}}", "IMAP host for clients.", readers.host)
    pop3_host: str = _var("POP3_HOST", "pop3.{{DOMAIN}}", "POP3 host for clients.", readers.host)
    exchange_domains: tuple[str, ...] = _var(
        "SMTP_EXCHANGE_DOMAINS",
        "{{MX_HOST}}",
        "Hosts that a hosted domain's MX records must name.",
        readers.hosts,
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
        fields[name.lower()] = _var(name, str(edge.port), edge.text, readers.port)
    taking = [edge for edge in _EDGES.values() if edge.takes_endpoints]
    for edge in taking:
        text = f"Endpoint strings instead of {edge.port_variable}"
        text += ", separated by blanks." if edge is taking[0] else "."
        fields[edge.listen_variable.lower()] = _var(
            edge.listen_variable, "", text, readers.endpoints
        )
    fields["proxy_networks"] = _var(
        "PROXY_PROTOCOL_FROM",
        "",
        "Networks of load balancers that must speak the PROXY protocol to us.",
        readers.networks,
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
        "HTTP_PROTOCOL",
        "https",
        "What browsers use to reach the web UI: https or http.",
        readers.scheme,
    )
    url: str = _var(
        "WEB_URL",
        "{{HTTP_PROTOCOL}}://{{WEB_HOST}}",
        "Address that people type for the web UI, with its port if that is not the usual one.",
        readers.url,
    )
    api_url: str = _var(
        "API_URL", "{{HTTP_PROTOCOL}}://{{API_HOST}}", "Address of the API, likewise.", readers.url
    )
    trusted_proxies: tuple[str, ...] = _var(
        "TRUSTED_PROXIES",
        "127.0.0.1, ::1",
        "Networks of reverse proxies whose X-Forwarded-For and -Proto count.",
        readers.networks,
    )
    auth_basic_enabled: bool = _var(
        "AUTH_BASIC_ENABLED",
        "true",
        "Ask for a password before the first account exists.",
        readers.flag,
    )
    auth_basic_username: str = _var(
        "AUTH_BASIC_USERNAME", "admin", "User name of that.", readers.text
    )
    auth_basic_password: str = _var(
        "AUTH_BASIC_PASSWORD",
        "",
        "Password of that; made if missing.",
        readers.text,
        readers.web_password,
    )
    auth_basic_always: bool = _var(
        "AUTH_BASIC_ALWAYS", "false", "Keep asking when an admin exists.", readers.flag
    )


@attrs.frozen(kw_only=True)
class Keys:
    """Secrets. Made at the first start, written to ``.env``, and never made again over data."""

    helper: str = _var(
        "HELPER_ENCRYPTION_KEY",
        "",
        "Encrypts secrets and waiting mail at rest. Lose it, and they are lost.",
        readers.key,
        readers.alphanumeric_32,
    )
    srs: tuple[str, ...] = _var(
        "SRS_SECRET",
        "",
        "Signs rewritten senders; the first signs, further ones (after a comma) still verify.",
        readers.key_list,
        readers.alphanumeric_32,
    )


@attrs.frozen(kw_only=True)
class Limits:
    """How much is too much."""

    message_octets: int = _var("SMTP_MESSAGE_MAX_SIZE", "50MB", "Largest message.", readers.octets)
    recipients: int = _var("MAX_RECIPIENTS", "100", "Recipients of one message.", readers.count)
    forwarded: int = _var(
        "MAX_FORWARDED_ADDRESSES", "10", "Targets that one address may forward to.", readers.count
    )
    quota_octets: int = _var("DEFAULT_QUOTA", "10GB", "Quota of a mailbox.", readers.octets)
    outbound_daily: int = _var(
        "SMTP_DAILY_LIMIT", "300", "Messages a day that an alias may send.", readers.count
    )


@attrs.frozen(kw_only=True)
class Webhooks:
    """Where messages and reports may be posted to: web addresses that users choose."""

    ports: tuple[int, ...] = _var(
        "WEBHOOK_PORTS", "80, 443, 8080, 8443", "Ports that webhooks may go to.", readers.web_ports
    )
    networks: tuple[str, ...] = _var(
        "WEBHOOK_NETWORKS",
        "",
        "Networks that webhooks may go to, on any port, although they are private or this server.",
        readers.networks,
    )


@attrs.frozen(kw_only=True)
class Storage:
    """Where data lives; relative paths are below the server's directory."""

    sqlite_path: str = _var(
        "SQLITE_STORAGE_PATH", "sqlite-data", "Mailboxes, accounts, queue and spool.", readers.text
    )
    ssl_path: str = _var(
        "SSL_PATH",
        "ssl",
        "Holds privkey.pem and fullchain.pem; reloaded when they change.",
        readers.text,
    )
    log_retention_seconds: int = _var(
        "LOG_RETENTION", "7d", "How long logs are kept.", readers.seconds
    )


@attrs.frozen(kw_only=True)
class Operation:
    """How it runs."""

    log_level: str = _var("LOG_LEVEL", "info", "debug, info, warn or error.", readers.level)
    log_format: str = _var(
        "LOG_FORMAT", "auto", "human, json, or auto: human on a terminal.", readers.log_format
    )
    dns_servers: tuple[str, ...] = _var(
        "DNS_SERVERS",
        "",
        "Resolvers to ask, each an IP address, with #port if it is not 53; "
        "empty: those of /etc/resolv.conf.",
        readers.resolvers,
    )
    server_addresses: tuple[str, ...] = _var(
        "SERVER_ADDRESSES",
        "",
        "IP addresses under which the Internet sees this server; needed behind NAT.",
        readers.addresses,
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
