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


@attrs.frozen
class _Departed:
    """A table of what has left an owner, of which the latest are kept for those who ask later."""

    table: str
    key: str
    owner: str  # its table; ``<owner>_id`` refers to it, ``<table>_horizon`` stands in it

    def overfull(self, tx: Transaction) -> int | None:
        """An owner of more than is kept."""
        owner_id: int | None = tx.value(
            f"SELECT {self.owner}_id FROM {self.table}"  # noqa: S608  # our own names
            f" GROUP BY {self.owner}_id HAVING count(*) > ? LIMIT 1",
            VANISHED_KEPT + VANISHED_SLACK,
        )
        return owner_id

    def is_due(self, tx: Transaction) -> bool:
        """Is there such an owner?"""
        return self.overfull(tx) is not None

    def forget(self, tx: Transaction) -> int:
        """The horizon moves first: from then on nobody relies on what is below it."""
        table, owner = self.table, self.owner
        owner_id = self.overfull(tx)
        if owner_id is None:
            return 0
        horizon = tx.value(
            f"SELECT modseq FROM {table} WHERE {owner}_id = ?"  # noqa: S608  # our own names
            " ORDER BY modseq DESC LIMIT 1 OFFSET ?",
            owner_id,
            VANISHED_KEPT,
        )
        tx.run(f"UPDATE {owner} SET {table}_horizon = ? WHERE id = ?", horizon, owner_id)  # noqa: S608
        return len(
            tx.rows(
                f"DELETE FROM {table} WHERE {owner}_id = ?1 AND {self.key} IN"  # noqa: S608
                f" (SELECT {self.key} FROM {table} WHERE {owner}_id = ?1 AND modseq <= ?2"
                " ORDER BY modseq LIMIT ?3) RETURNING 1",
                owner_id,
                horizon,
                VANISHED_BATCH,
            )
        )


_VANISHED: Final = _Departed("vanished", "uid", "folder")
_GONE: Final = _Departed("gone", "name", "collection")

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
    Chore(contents.is_outdated, contents.outdate),
    Chore(_exists("content WHERE is_digested = 0"), contents.digest_some),
    Chore(_exists("content WHERE is_indexed = 0"), searching.index_some),
    Chore(_has_old_deliveries, _forget_deliveries),
    Chore(_VANISHED.is_due, _VANISHED.forget),
    Chore(_GONE.is_due, _GONE.forget),
    Chore(_has_unused_flag_sets, _forget_flag_sets),
)
