"""
What the accounts must know of the server that they live on: names, addresses, limits.

A frozen value that the application fills from its configuration; nothing here reads it itself.
"""

import attrs

from fe_mail.model.account import Alias, Domain
from fe_mail.model.web import Reach

__all__ = [
    "DEFAULT_QUOTA_OCTETS",
    "DEFAULT_RECIPIENTS",
    "MAX_QUOTA_OCTETS",
    "ServerHost",
    "Site",
    "quota_of",
    "quota_within",
]

GIB = 1 << 30
DEFAULT_QUOTA_OCTETS = 10 * GIB
DEFAULT_RECIPIENTS = 10  # of an alias
MAX_QUOTA_OCTETS = 100 * GIB


@attrs.frozen
class ServerHost:
    """A host name under which this server does something: ``services`` are names of roles."""

    name: str
    services: tuple[str, ...]


@attrs.frozen(kw_only=True)
class Site:
    """
    ``hostname`` names this server in SMTP. ``exchange_domains`` are the hosts that a domain's MX
    records must name, ``web_host`` is where the Return-Path CNAME of a domain leads. ``hosts`` are
    those that people and their programs connect to. ``is_demo``: the DNS is only pretended.
    """

    hostname: str
    exchange_domains: tuple[str, ...]
    web_host: str
    txt_prefix: str = "forward-email"  # of the TXT records that prove ownership
    return_path: str = "fe-bounces"  # label of the Return-Path CNAME
    hosts: tuple[ServerHost, ...] = ()
    is_demo: bool = False
    dkim_bits: int = 2048
    default_quota_octets: int = DEFAULT_QUOTA_OCTETS
    max_quota_octets: int = MAX_QUOTA_OCTETS
    max_forwarded: int = (
        DEFAULT_RECIPIENTS  # recipients of an alias, unless its domain says otherwise
    )
    webhooks: Reach = Reach()  # where messages may be posted to
    max_domains: int = 50  # of one account
    max_aliases: int = 10_000  # of one domain


def quota_of(alias: Alias, domain: Domain, site: Site) -> int:
    """Octets that the alias's mailbox may hold: its own limit, its domain's, the server's."""
    return quota_within(alias, domain, site.default_quota_octets)


def quota_within(alias: Alias, domain: Domain, default_octets: int) -> int:
    """The same where only the server's default is known."""
    limit = domain.max_quota_per_alias or default_octets
    return min(alias.max_quota, limit) if alias.max_quota else limit
