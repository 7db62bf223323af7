"""
The demo's DNS: every hosted domain looks as if its owner had published what the web UI shows.

So its MX is this server, the check of a new domain passes, and mail between hosted domains is
delivered for real. No other name exists, and nothing is asked of the network, neither by the server
nor by ``fe-mail`` in a demo's directory.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, TypeVar

from fe_mail.accounts.dns_records import domain_records, server_records
from fe_mail.accounts.site import Site
from fe_mail.adapters.memory.resolver import TableResolver
from fe_mail.adapters.memory.vantage import TableVantage
from fe_mail.app.wiring import Pretended
from fe_mail.model.dns import CNAME, MX, TXT, Answer, Record
from fe_mail.model.vantage import OwnAddresses
from fe_mail.ports import DomainStore

__all__ = ["DemoResolver", "pretend"]

LOOPBACK = "127.0.0.1"
_OWN = OwnAddresses(known=(LOOPBACK,))
TTL_SECONDS = 60
PREFERENCE = 10

R = TypeVar("R", bound=Record)

_PUBLISHED: Mapping[type[Record], Callable[[str], Any]] = MappingProxyType(
    {MX: lambda host: MX(PREFERENCE, host), TXT: TXT, CNAME: CNAME}
)


def pretend(accounts: DomainStore, site: Site) -> Pretended:
    """A world in which everything is as it should be."""
    greeting = f"220 {site.hostname} ESMTP"
    return Pretended(
        DemoResolver(accounts, site), TableVantage(_OWN, dict.fromkeys(_OWN.known, greeting))
    )


class DemoResolver(TableResolver):
    """Answers for the domains of the store; the table holds this server's own records."""

    def __init__(self, accounts: DomainStore, site: Site) -> None:
        table = {("localhost", "A"): [LOOPBACK]}
        for record in server_records(site, _OWN):
            if record.type:
                table[record.name, record.type] = [record.value]
        super().__init__(table)
        self._accounts = accounts
        self._site = site

    async def query(self, name: str, kind: type[R]) -> Answer[R]:
        """What the web UI shows for hosted domains; the rest from the table."""
        make = _PUBLISHED.get(kind)
        values = await self._published(name, kind.__name__) if make else ()
        if make is None or not values:
            return await super().query(name, kind)
        return Answer(records=tuple(make(value) for value in values), ttl=TTL_SECONDS)

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
