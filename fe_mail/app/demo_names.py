"""
The demo's DNS: every hosted domain looks as if its owner had published what the web UI shows.

So its MX is this server, the check of a new domain passes, and mail between hosted domains is
delivered for real. No other name exists, and nothing is asked of the network.
"""

from fe_mail.accounts.dns_records import domain_records
from fe_mail.accounts.site import Site
from fe_mail.adapters.memory.resolver import TableResolver
from fe_mail.model.dns import MX, Answer
from fe_mail.ports import DomainStore

__all__ = ["DemoResolver"]

LOOPBACK = "127.0.0.1"
TTL_SECONDS = 60


class DemoResolver(TableResolver):
    """Answers for the domains of the store; the table holds only this server's own address."""

    def __init__(self, accounts: DomainStore, site: Site) -> None:
        super().__init__({(name, "A"): [LOOPBACK] for name in (site.hostname, "localhost")})
        self._accounts = accounts
        self._site = site

    async def mx(self, name: str) -> Answer[MX]:
        """This server, for hosted domains."""
        hosts = await self._published(name, "MX")
        if not hosts:
            return await super().mx(name)
        return Answer(records=tuple(MX(10, host) for host in hosts), ttl=TTL_SECONDS)

    async def txt(self, name: str) -> Answer[str]:
        """Ownership, SPF, DKIM and DMARC."""
        texts = await self._published(name, "TXT")
        return Answer(records=texts, ttl=TTL_SECONDS) if texts else await super().txt(name)

    async def cname(self, name: str) -> Answer[str]:
        """The Return-Path."""
        targets = await self._published(name, "CNAME")
        return Answer(records=targets, ttl=TTL_SECONDS) if targets else await super().cname(name)

    async def _published(self, name: str, kind: str) -> tuple[str, ...]:
        """The values of the records that a hosted domain has at this name."""
        labels = name.lower().rstrip(".").split(".")
        for cut in range(len(labels) - 1):
            below, parent = ".".join(labels[:cut]) or "@", ".".join(labels[cut:])
            for domain in await self._accounts.domains_named(parent):
                return tuple(
                    record.value
                    for record in domain_records(domain, self._site)
                    if (record.type, record.name) == (kind, below)
                )
        return ()
