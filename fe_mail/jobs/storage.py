"""
Record how much each mailbox uses, for the lists of the web UI and the API, and tell it its quota.

What is used is written often, because people look at it; only what changed is, so that a quiet
server costs two queries. A new quota reaches the mailbox when it is set; telling it again makes
good what failed then, and what the server's default was changed to. An alias that goes meanwhile,
or a mailbox that cannot be told, does not stop the others.
"""

from functools import partial
from typing import Protocol

from twisted.logger import Logger

from fe_mail.accounts.site import Site, quota_of
from fe_mail.model.errors import MailError
from fe_mail.model.page import every
from fe_mail.ports import AliasStore, DomainStore, MailboxStore

__all__ = ["record_storage", "tell_quotas"]

log = Logger()


class StorageRecords(AliasStore, DomainStore, Protocol):
    """What the walk through all mailboxes asks."""


async def record_storage(accounts: AliasStore, mailboxes: MailboxStore) -> None:
    """Write ``storage_used`` of every alias with a mailbox whose size changed."""
    await accounts.note_storage(await mailboxes.usage())


async def tell_quotas(accounts: StorageRecords, mailboxes: MailboxStore, site: Site) -> None:
    """Set the quota of every mailbox."""
    async for domain in every(partial(accounts.domains, None)):
        async for alias in every(partial(accounts.aliases, domain.id)):
            if not alias.sealing_key:
                continue
            try:
                await mailboxes.set_quota(alias.id, quota_of(alias, domain, site))
            except MailError as error:
                log.warn(
                    "The quota of {alias_id} could not be told: {reason}",
                    alias_id=alias.id,
                    reason=error.message,
                )
