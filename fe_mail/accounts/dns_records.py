"""
The DNS records that a hosted domain needs: one list for the set-up page, the API and the check.

``name`` is as zone files have it: relative to the domain, ``@`` for the domain itself, a whole name
if it ends with a dot. Receiving needs ``mx`` and ``verification``, sending ``dkim`` and ``dmarc``;
``spf`` is good advice, and nothing uses ``return_path`` yet. The records of the server itself
(``host``, ``helo``, ``ptr``) stand in its own domain and in the zone of whoever gave it its
addresses, and every domain on it relies on them.

RFC 5321 §5 (MX), §4.1.4 (the name of EHLO); RFC 6376 §3.6 (DKIM key); RFC 7489 §6.3 (DMARC);
RFC 7208 §2.3 (SPF of the HELO name), §3; RFC 1912 §2.1 (PTR).
"""

from collections.abc import Iterator

import attrs

from fe_mail.accounts.site import ServerHost, Site
from fe_mail.model.account import Domain
from fe_mail.model.network import parse_ip
from fe_mail.model.vantage import OwnAddresses

__all__ = [
    "MX_PRIORITY",
    "RECEIVING",
    "SENDING",
    "DNSRecord",
    "dkim_name",
    "domain_records",
    "full_name",
    "in_zone",
    "server_hosts",
    "server_records",
    "spf_mechanism",
    "verification_value",
]

MX_PRIORITY = 10
RECEIVING = ("mx", "verification")
SENDING = ("dkim", "dmarc")


@attrs.frozen(kw_only=True)
class DNSRecord:
    """
    One record to publish. ``priority`` is None for all but MX. An empty ``value`` is an address of
    this server that nothing here knows. ``type`` is empty for what is no record, but tried.
    """

    purpose: str
    type: str
    name: str
    value: str
    priority: int | None = None
    required: bool = True


def domain_records(domain: Domain, site: Site) -> tuple[DNSRecord, ...]:
    """What the owner of ``domain`` publishes for it, in the order of a set-up page."""
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
        DNSRecord(
            purpose="dmarc",
            type="TXT",
            name="_dmarc",
            value=f"v=DMARC1; p=none; rua=mailto:postmaster@{domain.name}",
        ),
        DNSRecord(
            purpose="return_path",
            type="CNAME",
            name=site.return_path,
            value=site.web_host,
            required=False,
        ),
    )


def server_records(site: Site, own: OwnAddresses) -> tuple[DNSRecord, ...]:
    """What whoever runs the server publishes for it, each under its whole name."""
    helo = DNSRecord(
        purpose="helo",
        type="TXT",
        name=f"{site.hostname}.",
        value="v=spf1 a -all",
        required=False,
    )
    reach = [
        DNSRecord(purpose="reach", type="", name=f"{host}.", value="")
        for host in site.exchange_domains
    ]
    pointers = [
        DNSRecord(purpose="ptr", type="PTR", name=ip, value=site.hostname, required=False)
        for ip in own.known or ("",)
    ]
    return (*_addresses(site, own), *reach, helo, *pointers)


def _addresses(site: Site, own: OwnAddresses) -> Iterator[DNSRecord]:
    """A and AAAA of every host; those of the MX hosts must be there."""
    addresses = list(own.known)
    if not own.known or 4 in own.hidden:
        addresses.insert(0, "")
    for host in server_hosts(site):
        for address in addresses:
            ip = parse_ip(address)
            yield DNSRecord(
                purpose="host",
                type="AAAA" if ip is not None and ip.version == 6 else "A",
                name=f"{host.name}.",
                value=address,
                required="mx" in host.services,
            )


def server_hosts(site: Site) -> tuple[ServerHost, ...]:
    """Every host name of the server, each once, those of the MX first."""
    services: dict[str, list[str]] = {}
    exchanges = [ServerHost(name, ("mx",)) for name in site.exchange_domains]
    for host in (*exchanges, ServerHost(site.hostname, ("helo",)), *site.hosts):
        services.setdefault(host.name, []).extend(host.services)
    return tuple(ServerHost(name, tuple(does)) for name, does in services.items())


def in_zone(record: DNSRecord, domain: Domain) -> DNSRecord:
    """The record as the zone of ``domain`` has it: relative if its name lies there."""
    whole = record.name.removesuffix(".")
    if record.name == whole:
        return record
    if whole == domain.name:
        return attrs.evolve(record, name="@")
    if whole.endswith(f".{domain.name}"):
        return attrs.evolve(record, name=whole.removesuffix(f".{domain.name}"))
    return record


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
    if record.name.endswith(".") or record.purpose == "ptr":
        return record.name.removesuffix(".")
    return domain.name if record.name == "@" else f"{record.name}.{domain.name}"
