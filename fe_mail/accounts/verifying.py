"""
Checking a domain: what was found becomes its state.

A check stores what it found, unless the DNS failed to answer a question that counts: then
everything stays as it was. So does the state of a record of which nothing can be told. The domains
of the server's own admins may send as soon as the sending records are right; those of other
accounts wait for an admin's approval.
"""

from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Protocol

import attrs
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from fe_mail.accounts.dns_checks import DNSChecks
from fe_mail.accounts.dns_findings import RecordCheck, Verdict
from fe_mail.accounts.dns_records import SENDING, DNSRecord
from fe_mail.model.account import Domain
from fe_mail.model.ids import DomainId
from fe_mail.ports import DomainStore, UserStore
from fe_mail.waiting import together

__all__ = ["SERVER_CHECK_SECONDS", "Verification", "Verifier"]

# How long what was found of the server's own records serves the checks of all its domains.
SERVER_CHECK_SECONDS = 900.0

# By the name in ``has_…_record``: the purpose of the record.
_FLAGS: Mapping[str, str] = MappingProxyType(
    {
        "mx": "mx",
        "txt": "verification",
        "spf": "spf",
        "dkim": "dkim",
        "return_path": "return_path",
        "dmarc": "dmarc",
    }
)


@attrs.frozen(kw_only=True)
class Verification:
    """
    A check of the DNS: the domain as it is stored now, every result about its own records, and
    those about the server's.
    """

    domain: Domain
    results: tuple[RecordCheck, ...]
    server: tuple[RecordCheck, ...] = ()

    @property
    def all_results(self) -> tuple[RecordCheck, ...]:
        """Those of the domain, then those of the server."""
        return (*self.results, *self.server)

    @property
    def is_silent(self) -> bool:
        """The DNS did not answer about a record that counts, so nothing was stored."""
        return any(
            result.verdict is Verdict.SILENT and result.record.required for result in self.results
        )

    @property
    def leads_elsewhere(self) -> bool:
        """Where mail should come in, another server answered."""
        return any(
            result.purpose == "reach" and result.verdict is Verdict.WRONG for result in self.server
        )

    @property
    def wanting(self) -> tuple[RecordCheck, ...]:
        """What must be mended, or asked again, before mail comes and goes."""
        return tuple(
            result
            for result in self.all_results
            if result.counts
            and not result.passed
            and not (result in self.server and result.is_undecided)
        )


class VerifiedRecords(DomainStore, UserStore, Protocol):
    """Domains, and whether their owners are admins of the server."""


class Verifier:
    """Checks domains."""

    log = Logger()

    def __init__(
        self,
        accounts: VerifiedRecords,
        checks: DNSChecks,
        clock: IReactorTime,
        ask_to_send: Callable[[Domain], Awaitable[None]],
    ) -> None:
        self._accounts = accounts
        self._ask_to_send = ask_to_send
        self._checks = checks
        self._clock = clock
        self._server: tuple[RecordCheck, ...] = ()
        self._server_checked_at = 0.0

    def server_records(self) -> tuple[DNSRecord, ...]:
        """Those of the server itself."""
        return self._checks.server_records()

    async def verify(self, domain_id: DomainId, server_age: float = 0.0) -> Verification:
        """
        Look every record up, and store what was found.

        The server's own records may have been looked up ``server_age`` seconds ago.
        """
        domain = await self._accounts.domain(domain_id)
        results, server = await together(
            (self._checks.of_domain(domain), self._of_server(server_age))
        )
        verification = Verification(domain=domain, results=results, server=server)
        if verification.is_silent:
            return verification
        changes = await self._found(domain, verification)
        now = self._clock.seconds()
        domain = await self._accounts.update_domain(domain.id, now, **changes)
        if domain.has_txt_record:
            await self._end_other_claims(domain)
        if domain.smtp_verified_at and not domain.has_smtp:
            await self._ask_to_send(domain)
        return attrs.evolve(verification, domain=domain)

    async def _of_server(self, max_age: float) -> tuple[RecordCheck, ...]:
        """What was found of the server's own records, not longer ago than this."""
        age = self._clock.seconds() - self._server_checked_at
        if not self._server or not 0 <= age < max_age:
            self._server = await self._checks.of_server()
            self._server_checked_at = self._clock.seconds()
        return self._server

    async def _found(self, domain: Domain, verification: Verification) -> dict[str, object]:
        now = self._clock.seconds()
        results = {each.purpose: each for each in verification.results}
        flags = {
            f"has_{name}_record": results[purpose].passed
            for name, purpose in _FLAGS.items()
            if not results[purpose].is_undecided
        }
        if verification.leads_elsewhere and not domain.ignore_mx_check:
            flags["has_mx_record"] = False
        sending = (f"has_{purpose}_record" for purpose in SENDING)
        may_send = all(flags.get(flag, getattr(domain, flag)) for flag in sending)
        changes: dict[str, object] = {
            **flags,
            "last_checked_at": now,
            "smtp_verified_at": (domain.smtp_verified_at or now) if may_send else 0.0,
        }
        if may_send and not domain.has_smtp and await self.is_of_server_admin(domain):
            changes["has_smtp"] = True
            self.log.info("The domain {domain} may send from now on.", domain=domain.name)
        return changes

    async def is_of_server_admin(self, domain: Domain) -> bool:
        for member in domain.members:
            if member.group != "admin":
                continue
            if (await self._accounts.user(member.user_id)).group == "admin":
                return True
        return False

    async def _end_other_claims(self, domain: Domain) -> None:
        """The one record names this account, so no other claim can be verified any more."""
        for other in await self._accounts.domains_named(domain.name):
            if other.id != domain.id and other.has_txt_record:
                now = self._clock.seconds()
                await self._accounts.update_domain(other.id, now, has_txt_record=False)
