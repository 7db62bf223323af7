"""
Every invariant of the stores, each alone and between them: what ``fe-mail verify`` checks.

RFC-less by nature; the promises are those of ``docs/architecture.rst``: nothing acknowledged is
lost, nothing is kept that nobody needs, no key is missing.
"""

from functools import partial

from fe_mail.app.wiring import Stores
from fe_mail.model.errors import MailError
from fe_mail.model.page import every

__all__ = ["broken_invariants"]

READ_OCTETS = 1 << 20


async def broken_invariants(stores: Stores) -> list[str]:
    """One sentence for each thing that is broken; empty if nothing is."""
    problems = [f"accounts: {text}" for text in await stores.accounts.check()]
    problems += [f"queue: {text}" for text in await stores.queue.check()]
    problems += [f"mailboxes: {text}" for text in await stores.mailboxes.check()]
    problems += await _spool(stores)
    problems += await _secrets(stores)
    return problems


async def _spool(stores: Stores) -> list[str]:
    """Every queued message has its body, whole and readable."""
    problems = []
    stored = {blob for blob, _ in await stores.blobs.list()}
    for blob in sorted(await stores.queue.blobs()):
        if blob not in stored:
            problems.append(f"spool: a queued message needs the body {blob}, which is missing.")
            continue
        try:
            reader = await stores.blobs.open(blob)
            while await reader.read(READ_OCTETS):
                pass
            await reader.close()
        except MailError as error:
            problems.append(f"spool: the body {blob} cannot be read: {error.message}")
    return problems


async def _secrets(stores: Stores) -> list[str]:
    """The server's key opens what it protected."""
    problems = []
    async for domain in every(partial(stores.accounts.domains, None)):
        if not domain.dkim_private_key:
            continue
        try:
            stores.keyring.reveal(domain.dkim_private_key, "dkim")
        except MailError:
            problems.append(
                f"keys: HELPER_ENCRYPTION_KEY does not open the DKIM key of {domain.name}."
            )
    return problems
