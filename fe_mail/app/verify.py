"""
Every invariant of the stores, each alone and between them: what ``fe-mail verify`` checks.

RFC-less by nature; the promises are those of ``docs/architecture.rst``: nothing acknowledged is
lost, nothing is kept that nobody needs, no key is missing.
"""

import math
from functools import partial

from fe_mail.accounts.domains import DKIM_PURPOSE
from fe_mail.accounts.webhook_keys import WEBHOOK_PURPOSE
from fe_mail.app.wiring import Stores
from fe_mail.model.errors import MailError
from fe_mail.model.ids import AliasId
from fe_mail.model.page import every

__all__ = ["broken_invariants"]


async def broken_invariants(stores: Stores) -> list[str]:
    """One sentence for each thing that is broken; empty if nothing is."""
    problems = [f"accounts: {text}" for text in await stores.accounts.check()]
    problems += [f"queue: {text}" for text in await stores.queue.check()]
    problems += [f"mailboxes: {text}" for text in await stores.mailboxes.check()]
    problems += await _mailboxes(stores)
    problems += await _secrets(stores)
    return problems


async def _mailboxes(stores: Stores) -> list[str]:
    """
    Every alias with a sealing key has the mailbox of this key, and nobody else has any.

    What changes while we look has a note in the outbox, or is right when we look again.
    """
    for _ in range(2):
        there = await stores.mailboxes.aliases()
        problems = await _wrong_mailboxes(stores, there)
        if not problems:
            break
    return problems


async def _wrong_mailboxes(stores: Stores, there: frozenset[AliasId]) -> list[str]:
    problems, owners = [], set()
    unsettled = await _unsettled(stores)
    async for domain in every(partial(stores.accounts.domains, None)):
        async for alias in every(partial(stores.accounts.aliases, domain.id)):
            if not alias.sealing_key:
                continue
            owners.add(alias.id)
            if not await stores.mailboxes.has_key(alias.id, alias.sealing_key):
                problems.append(f"mailboxes: the mailbox of {alias.address} is missing.")
    left_over = sorted(there - owners - unsettled)
    problems += [f"mailboxes: {alias_id} is the mailbox of no alias." for alias_id in left_over]
    return problems


async def _unsettled(stores: Stores) -> frozenset[AliasId]:
    """Those whose mailboxes a job is about to set right."""
    found: list[AliasId] = []
    while more := await stores.accounts.unsettled(math.inf, found[-1] if found else ""):
        found += more
    return frozenset(found)


async def _secrets(stores: Stores) -> list[str]:
    """The server's key opens what it protected."""
    problems = []
    async for domain in every(partial(stores.accounts.domains, None)):
        for protected, purpose, name in (
            (domain.dkim_private_key, DKIM_PURPOSE, "DKIM key"),
            (domain.webhook_key, WEBHOOK_PURPOSE, "webhook key"),
        ):
            if protected and not _opens(stores, protected, purpose):
                problems.append(
                    f"keys: HELPER_ENCRYPTION_KEY does not open the {name} of {domain.name}."
                )
    return problems


def _opens(stores: Stores, protected: bytes, purpose: str) -> bool:
    try:
        stores.keyring.reveal(protected, purpose)
    except MailError:
        return False
    return True
