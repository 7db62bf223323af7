"""
Every invariant of the stores, each alone and between them: what ``fe-mail verify`` checks.

Nothing is made, changed or upgraded by looking, also while a server runs. What must be there is
known from the manifest and from the rows of the accounts; what is not there, or cannot be looked
into, is named with its file and the next step, and the rest is checked all the same.

The promises are those of ``docs/architecture.rst``: nothing acknowledged is lost, nothing is kept
that nobody needs, no key is missing.
"""

import math
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial

import attrs

from fe_mail.accounts.domains import DKIM_PURPOSE
from fe_mail.accounts.webhook_keys import WEBHOOK_PURPOSE
from fe_mail.app.stores import Stores
from fe_mail.model.errors import MailError
from fe_mail.model.ids import AliasId
from fe_mail.model.page import every
from fe_mail.model.queue import DeliveryState

__all__ = ["Findings", "broken_invariants", "examine"]

_ID = re.compile(r"\b[0-9a-f]{24}\b")
_OPEN = (DeliveryState.WAITING, DeliveryState.HELD)


@attrs.define
class Findings:
    """One sentence for each thing that is wrong, and what was counted, by name, in order."""

    problems: list[str] = attrs.field(factory=list)
    counts: dict[str, int] = attrs.field(factory=dict)


async def examine(stores: Stores) -> Findings:
    """Look at everything; ``stores`` are opened for it, and may be stopped afterwards."""
    found = Findings(await stores.look())
    closed = stores.closed
    found.problems += await broken_invariants(stores, closed)
    for store, count in (
        ("accounts", _count_accounts),
        ("sealed", _count_mailboxes),
        ("queue", _count_queued),
    ):
        if store not in closed:
            try:
                found.counts.update(await count(stores))
            except MailError as error:
                found.problems.append(f"{store}: nothing can be counted: {error.message}")
    return found


async def broken_invariants(stores: Stores, closed: frozenset[str] = frozenset()) -> list[str]:
    """One sentence for each thing that is broken; the stores that are closed are not asked."""
    checks: Sequence[tuple[str, set[str], Callable[[], Awaitable[Sequence[str]]]]] = (
        ("accounts", {"accounts"}, stores.accounts.check),
        ("queue", {"queue"}, stores.queue.check),
        ("mailboxes", {"mailboxes", "sealed"}, stores.mailboxes.check),
    )
    problems: list[str] = []
    for name, needed, check in checks:
        if not needed & closed:
            problems += [f"{name}: {text}" for text in await _asked(check)]
    if "sealed" in closed and "mailboxes" not in closed:
        problems += [f"mailboxes: {text}" for text in await _asked(stores.mailboxes.faults)]
    if "accounts" in closed:
        return problems
    if not {"mailboxes", "sealed"} & closed:
        problems += await _asked(partial(_mailboxes, stores))
    if "queue" not in closed:  # else it is told that the key is another one
        problems += await _asked(partial(_secrets, stores))
    return await _with_addresses(stores, problems)


async def _with_addresses(stores: Stores, problems: list[str]) -> list[str]:
    """Files of mailboxes are named by the ids of their aliases, which say nothing to a person."""
    if not any(map(_ID.search, problems)):
        return problems
    addresses: dict[str, str] = {}
    async for domain in every(partial(stores.accounts.domains, None)):
        async for alias in every(partial(stores.accounts.aliases, domain.id)):
            addresses[alias.id] = alias.address
    return [_with_address(problem, addresses) for problem in problems]


def _with_address(problem: str, addresses: Mapping[str, str]) -> str:
    ids = dict.fromkeys(_ID.findall(problem))
    found = [addresses[each] for each in ids if each in addresses]
    return f"{problem} (It is the mailbox of {', '.join(found)}.)" if found else problem


async def _asked(check: Callable[[], Awaitable[Sequence[str]]]) -> Sequence[str]:
    """What is damaged may not even be checked: that is its problem then."""
    try:
        return await check()
    except MailError as error:
        cause = f" ({error.__cause__})" if error.__cause__ is not None else ""
        return [f"{error.message.rstrip('.')}{cause}."]


# Counts ----------------------------------------------------------------------------------------


async def _count_accounts(stores: Stores) -> dict[str, int]:
    users = [user async for user in every(stores.accounts.users)]
    domains = [domain async for domain in every(partial(stores.accounts.domains, None))]
    return {
        "accounts": len(users),
        "domains": len(domains),
        "aliases": sum(domain.alias_count for domain in domains),
    }


async def _count_mailboxes(stores: Stores) -> dict[str, int]:
    mailboxes, sealed = await stores.mailboxes.counts()
    return {"mailboxes": mailboxes, "sealed": sealed}


async def _count_queued(stores: Stores) -> dict[str, int]:
    entries = await stores.queue.counts()
    return {"queued": sum(entries[state] for state in _OPEN)}


# Between the stores ----------------------------------------------------------------------------


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
