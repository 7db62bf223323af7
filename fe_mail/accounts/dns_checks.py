"""
Are the DNS records right, those of a domain and those of the server? Looks each up and says in one
sentence what was found.

Every failing check tells what stands in the DNS now and what should stand there instead. When the
DNS does not answer, or when what would have to be known cannot be known from here, a check is
undecided: nobody may conclude anything from it, and nothing is right on a guess.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from types import MappingProxyType

import attrs
from twisted.internet.interfaces import IReactorTime

from fe_mail.accounts import dns_hosts, dns_receiving, dns_sending, dns_signing
from fe_mail.accounts.dns_findings import Finding, Question, RecordCheck, Verdict
from fe_mail.accounts.dns_records import DNSRecord, domain_records, server_records
from fe_mail.accounts.site import Site
from fe_mail.model.account import Domain
from fe_mail.model.errors import Invalid, Unavailable
from fe_mail.model.sentence import Sentence
from fe_mail.ports import Resolver, Vantage
from fe_mail.waiting import TookTooLong, together, within

__all__ = ["CHECK_SECONDS", "DNSChecks"]

CHECK_SECONDS = 20.0  # of one check, all its questions together


@attrs.frozen(kw_only=True)
class DNSChecks:
    """Everything that is asked, of whom, and for how long."""

    resolver: Resolver
    vantage: Vantage
    clock: IReactorTime
    site: Site

    def server_records(self) -> tuple[DNSRecord, ...]:
        """Those of the server itself."""
        return server_records(self.site, self.vantage.addresses())

    async def of_domain(self, domain: Domain) -> tuple[RecordCheck, ...]:
        """One result for each purpose, in the order of the domain's records."""
        return await self._check(domain_records(domain, self.site), domain)

    async def of_server(self) -> tuple[RecordCheck, ...]:
        """One result for each purpose and name."""
        return await self._check(self.server_records(), None)

    async def _check(
        self, records: Iterable[DNSRecord], domain: Domain | None
    ) -> tuple[RecordCheck, ...]:
        first_of_each: dict[tuple[str, str], DNSRecord] = {}
        for record in records:
            first_of_each.setdefault((record.purpose, record.name), record)
        question = Question(
            resolver=self.resolver,
            vantage=self.vantage,
            site=self.site,
            own=self.vantage.addresses(),
            record=next(iter(first_of_each.values())),
            domain=domain,
        )
        asked = [attrs.evolve(question, record=record) for record in first_of_each.values()]
        return tuple(await together(self._ask(each) for each in asked))

    async def _ask(self, question: Question) -> RecordCheck:
        record = question.record
        try:
            verdict, sentence = await within(
                self.clock, CHECK_SECONDS, _finding(_CHECKS[record.purpose], question)
            )
        except (Unavailable, TookTooLong):
            verdict = Verdict.SILENT
            sentence = Sentence(
                "The DNS did not answer when %(name)s was looked up. Nothing was changed; try "
                "again in a few minutes.",
                name=question.name,
            )
        except Invalid:
            verdict = Verdict.WRONG
            sentence = Sentence("%(name)s cannot be looked up in the DNS.", name=question.name)
        return RecordCheck(record=record, verdict=verdict, sentence=sentence)


async def _finding(check: Callable[[Question], Awaitable[Finding]], question: Question) -> Finding:
    return await check(question)


_CHECKS: Mapping[str, Callable[[Question], Awaitable[Finding]]] = MappingProxyType(
    {
        "mx": dns_receiving.mx,
        "verification": dns_receiving.verification,
        "spf": dns_sending.spf,
        "dkim": dns_signing.dkim,
        "dmarc": dns_sending.dmarc,
        "return_path": dns_sending.return_path,
        "host": dns_hosts.host,
        "reach": dns_hosts.reach,
        "helo": dns_sending.helo,
        "ptr": dns_sending.ptr,
    }
)
