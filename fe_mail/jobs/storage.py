"""Record how much each mailbox uses, for the lists of the web UI and the API."""

from fe_mail.model.ids import DomainId
from fe_mail.model.page import Query
from fe_mail.ports import AccountStore, MailboxStore

__all__ = ["record_storage"]

PAGE_SIZE = 500


async def record_storage(accounts: AccountStore, mailboxes: MailboxStore, now: float) -> None:
    """Write ``storage_used`` of every alias with a mailbox whose size changed."""
    page = 1
    while True:
        domains = await accounts.domains(None, Query(page=page, limit=PAGE_SIZE))
        for domain in domains.items:
            await _record_domain(accounts, mailboxes, domain.id, now)
        if page >= domains.page_count:
            return
        page += 1


async def _record_domain(
    accounts: AccountStore, mailboxes: MailboxStore, domain_id: str, now: float
) -> None:
    page = 1
    while True:
        aliases = await accounts.aliases(DomainId(domain_id), Query(page=page, limit=PAGE_SIZE))
        for alias in aliases.items:
            if not alias.sealing_key:
                continue
            used = await mailboxes.used_octets(alias.id)
            if used != alias.storage_used:
                await accounts.update_alias(alias.id, now, storage_used=used)
        if page >= aliases.page_count:
            return
        page += 1
