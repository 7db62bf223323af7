"""
Every invariant of the stores, each alone and between them: what ``fe-mail verify`` checks.

RFC-less by nature; the promises are those of ``docs/architecture.rst``: nothing acknowledged is
lost, nothing is kept that nobody needs, no key is missing.
"""

from functools import partial

from fe_mail.accounts.domains import DKIM_PURPOSE
from fe_mail.accounts.webhook_keys import WEBHOOK_PURPOSE
from fe_mail.app.wiring import Stores
from fe_mail.model.errors import MailError
from fe_mail.model.page import every

__all__ = ["broken_invariants"]


async def broken_invariants(stores: Stores) -> list[str]:
    """One sentence for each thing that is broken; empty if nothing is."""
    problems = [f"accounts: {text}" for text in await stores.accounts.check()]
    problems += [f"queue: {text}" for text in await stores.queue.check()]
    problems += [f"mailboxes: {text}" for text in await stores.mailboxes.check()]
    problems += await _secrets(stores)
    return problems


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
