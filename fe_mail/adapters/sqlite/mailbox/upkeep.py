"""
What a mailbox file needs now and then, when it has been quiet for a moment: a table of chores.

Each call of a chore is one bounded transaction, so that nobody who writes meanwhile waits long;
it is called again as long as it is due and gets something done. What is forgotten here (UIDs
that vanished, items that are gone, ids of deliveries) has a horizon or an age: whoever looks
from further back is told so, or compares everything (``messages.changes``, ``records.changes``).
"""

from collections.abc import Callable
from typing import Final

import attrs

from fe_mail.adapters.sqlite.mailbox import contents, searching
from fe_mail.adapters.sqlite.mailbox.transaction import Transaction

__all__ = ["CHORES", "DELIVERIES_REMEMBERED_SECONDS", "Chore"]

DELIVERIES_REMEMBERED_SECONDS: Final = 7 * 86_400.0  # longer than any sender tries
DELIVERIES_BATCH: Final = 1_000
VANISHED_KEPT: Final = 10_000  # of one folder, the latest
VANISHED_SLACK: Final = 1_000  # more before any are forgotten
VANISHED_BATCH: Final = 2_000
FLAG_SETS_KEPT: Final = 1_000  # unused ones included


@attrs.frozen
class Chore:
    """Looked for in a snapshot, done in a transaction; it returns how much was done."""

    is_due: Callable[[Transaction], bool]
    work: Callable[[Transaction], int]


def _exists(condition: str) -> Callable[[Transaction], bool]:
    return lambda tx: tx.row(f"SELECT 1 FROM {condition} LIMIT 1") is not None  # noqa: S608  # our own


def _has_old_deliveries(tx: Transaction) -> bool:
    before = tx.now - DELIVERIES_REMEMBERED_SECONDS
    return tx.row("SELECT 1 FROM delivery WHERE arrived_at < ? LIMIT 1", before) is not None


def _forget_deliveries(tx: Transaction) -> int:
    return len(
        tx.rows(
            "DELETE FROM delivery WHERE id IN"
            " (SELECT id FROM delivery WHERE arrived_at < ? LIMIT ?) RETURNING 1",
            tx.now - DELIVERIES_REMEMBERED_SECONDS,
            DELIVERIES_BATCH,
        )
    )


def _much_vanished(tx: Transaction) -> int | None:
    """A folder with more than is kept."""
    folder_id: int | None = tx.value(
        "SELECT folder_id FROM vanished GROUP BY folder_id HAVING count(*) > ? LIMIT 1",
        VANISHED_KEPT + VANISHED_SLACK,
    )
    return folder_id


def _forget_vanished(tx: Transaction) -> int:
    """The horizon moves first: from then on nobody relies on what is below it."""
    folder_id = _much_vanished(tx)
    if folder_id is None:
        return 0
    horizon = tx.value(
        "SELECT modseq FROM vanished WHERE folder_id = ? ORDER BY modseq DESC LIMIT 1 OFFSET ?",
        folder_id,
        VANISHED_KEPT,
    )
    tx.run("UPDATE folder SET vanished_horizon = ? WHERE id = ?", horizon, folder_id)
    return len(
        tx.rows(
            "DELETE FROM vanished WHERE folder_id = ?1 AND uid IN (SELECT uid FROM vanished"
            " WHERE folder_id = ?1 AND modseq <= ?2 ORDER BY modseq LIMIT ?3) RETURNING 1",
            folder_id,
            horizon,
            VANISHED_BATCH,
        )
    )


def _much_gone(tx: Transaction) -> int | None:
    """A collection with more than is kept."""
    collection_id: int | None = tx.value(
        "SELECT collection_id FROM gone GROUP BY collection_id HAVING count(*) > ? LIMIT 1",
        VANISHED_KEPT + VANISHED_SLACK,
    )
    return collection_id


def _forget_gone(tx: Transaction) -> int:
    """Like what vanished."""
    collection_id = _much_gone(tx)
    if collection_id is None:
        return 0
    horizon = tx.value(
        "SELECT modseq FROM gone WHERE collection_id = ? ORDER BY modseq DESC LIMIT 1 OFFSET ?",
        collection_id,
        VANISHED_KEPT,
    )
    tx.run("UPDATE collection SET gone_horizon = ? WHERE id = ?", horizon, collection_id)
    return len(
        tx.rows(
            "DELETE FROM gone WHERE collection_id = ?1 AND name IN (SELECT name FROM gone"
            " WHERE collection_id = ?1 AND modseq <= ?2 ORDER BY modseq LIMIT ?3) RETURNING 1",
            collection_id,
            horizon,
            VANISHED_BATCH,
        )
    )


_UNUSED_FLAGS = "id NOT IN (SELECT flagset_id FROM message)"


def _has_unused_flag_sets(tx: Transaction) -> bool:
    if tx.value("SELECT count(*) FROM flagset") <= FLAG_SETS_KEPT:
        return False
    return tx.row(f"SELECT 1 FROM flagset WHERE {_UNUSED_FLAGS} LIMIT 1") is not None  # noqa: S608


def _forget_flag_sets(tx: Transaction) -> int:
    """Their numbers are never used again: what somebody remembers of them is never wrong."""
    return len(tx.rows(f"DELETE FROM flagset WHERE {_UNUSED_FLAGS} RETURNING 1"))  # noqa: S608


CHORES: Final = (
    Chore(_exists("content WHERE refs = 0"), contents.remove_unused),
    Chore(_exists("content WHERE is_digested = 0"), contents.digest_some),
    Chore(_exists("content WHERE is_indexed = 0"), searching.index_some),
    Chore(_has_old_deliveries, _forget_deliveries),
    Chore(lambda tx: _much_vanished(tx) is not None, _forget_vanished),
    Chore(lambda tx: _much_gone(tx) is not None, _forget_gone),
    Chore(_has_unused_flag_sets, _forget_flag_sets),
)
