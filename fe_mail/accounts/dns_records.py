"""
The DNS records that a hosted domain needs: one list for the set-up page, the API and the check.

``name`` is relative to the domain (``@`` is the domain itself). Receiving needs ``mx`` and
``verification``, sending ``dkim``, ``return_path`` and ``dmarc``; ``spf`` is good advice.

RFC 5321 §5 (MX), RFC 6376 §3.6 (DKIM key), RFC 7489 §6.3 (DMARC), RFC 7208 §3 (SPF).
"""

import attrs

from fe_mail.accounts.site import Site
from fe_mail.model.account import Domain

__all__ = [
    "MX_PRIORITY",
    "RECEIVING",
    "SENDING",
    "DNSRecord",
    "dkim_name",
    "domain_records",
    "full_name",
    "spf_mechanism",
    "verification_value",
]

MX_PRIORITY = 10
RECEIVING = ("mx", "verification")
SENDING = ("dkim", "return_path", "dmarc")


@attrs.frozen(kw_only=True)
class DNSRecord:
    """One record to publish. ``priority`` is None for all but MX."""

    purpose: str
    type: str
    name: str
    value: str
    priority: int | None = None
    required: bool = True


def domain_records(domain: Domain, site: Site) -> tuple[DNSRecord, ...]:
    """Everything to publish for ``domain``, in the order of a set-up page."""
    receiving = [
        DNSRecord(purpose="mx", type="MX", name="@", value=host, priority=MX_PRIORITY)
        for host in site.exchange_domains
    ]
    ownership = DNSRecord(
        purpose="verification", type="TXT", name="@", value=verification_value(domain, site)
    )
    return (*receiving, ownership, *_sending(domain, site))


def _sending(domain: Domain, site: Site) -> tuple[DNSRecord, ...]:
    return (
        DNSRecord(
            purpose="spf",
            type="TXT",
            name="@",
            value=f"v=spf1 {spf_mechanism(domain, site)} ~all",
            required=False,
        ),
        DNSRecord(
            purpose="dkim",
            type="TXT",
            name=dkim_name(domain),
            value=f"v=DKIM1; k=rsa; p={domain.dkim_public_key};",
        ),
        DNSRecord(purpose="return_path", type="CNAME", name=site.return_path, value=site.web_host),
        DNSRecord(purpose="dmarc", type="TXT", name="_dmarc", value="v=DMARC1; p=reject; pct=100;"),
    )


def verification_value(domain: Domain, site: Site) -> str:
    """The text that proves that the DNS and the account belong together."""
    return f"{site.txt_prefix}-site-verification={domain.verification_record}"


def dkim_name(domain: Domain) -> str:
    """Where the domain's public key stands."""
    return f"{domain.dkim_selector}._domainkey"


def spf_mechanism(domain: Domain, site: Site) -> str:
    """What lets this server send: its MX records, unless they lead elsewhere."""
    return f"a:{site.hostname}" if domain.ignore_mx_check else "mx"


def full_name(record: DNSRecord, domain: Domain) -> str:
    """The record's name as a resolver is asked for it."""
    return domain.name if record.name == "@" else f"{record.name}.{domain.name}"
