"""Record how much each mailbox uses, for the lists of the web UI and the API."""

from functools import partial

from fe_mail.model.page import every
from fe_mail.ports import AccountStore, MailboxStore

__all__ = ["record_storage"]


async def record_storage(accounts: AccountStore, mailboxes: MailboxStore, now: float) -> None:
    """Write ``storage_used`` of every alias with a mailbox whose size changed."""
    async for domain in every(partial(accounts.domains, None)):
        async for alias in every(partial(accounts.aliases, domain.id)):
            if not alias.sealing_key:
                continue
            used = await mailboxes.used_octets(alias.id)
            if used != alias.storage_used:
                await accounts.update_alias(alias.id, now, storage_used=used)
