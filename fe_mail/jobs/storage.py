"""
Record how much each mailbox uses, for the lists of the web UI and the API, and tell it its quota.

A new quota reaches the mailbox when it is set. This makes good what failed then, and what the
server's default was changed to. An alias that goes meanwhile, or a mailbox that cannot be read,
does not stop the others.
"""

from functools import partial
from typing import Protocol

from twisted.logger import Logger

from fe_mail.accounts.site import Site, quota_of
from fe_mail.model.errors import MailError
from fe_mail.model.page import every
from fe_mail.ports import AliasStore, DomainStore, MailboxStore

__all__ = ["record_storage"]

log = Logger()


class StorageRecords(AliasStore, DomainStore, Protocol):
    """What the walk through all mailboxes asks."""


async def record_storage(
    accounts: StorageRecords, mailboxes: MailboxStore, site: Site, now: float
) -> None:
    """Write ``storage_used`` of every alias with a mailbox whose size changed; set its quota."""
    async for domain in every(partial(accounts.domains, None)):
        async for alias in every(partial(accounts.aliases, domain.id)):
            if not alias.sealing_key:
                continue
            try:
                used = await mailboxes.used_octets(alias.id)
                if used != alias.storage_used:
                    await accounts.update_alias(alias.id, now, storage_used=used)
                await mailboxes.set_quota(alias.id, quota_of(alias, domain, site))
            except MailError as error:
                log.warn(
                    "The storage of {alias_id} could not be recorded: {reason}",
                    alias_id=alias.id,
                    reason=error.message,
                )
