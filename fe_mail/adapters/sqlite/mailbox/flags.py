"""
Flags: each combination that occurs has one row, and each message only its number.

Rows of ``flagset`` never change and their numbers are never used again, so what a snapshot saw
may be kept for good. What an open write transaction sees may not: it can still be rolled back.
"""

from collections.abc import Iterable

from fe_mail.adapters.mailbox_rules import KEYWORDS_MAX, canonical_flags
from fe_mail.adapters.sqlite.mailbox.transaction import Transaction
from fe_mail.model.errors import TooBig

__all__ = ["FlagSets", "flagset_id", "spelled"]


class FlagSets:
    """The combinations of flags by their numbers; equal ones are one object."""

    def __init__(self) -> None:
        self._known: dict[int, frozenset[str]] = {}

    def of(self, tx: Transaction, ids: Iterable[int]) -> dict[int, frozenset[str]]:
        """The flags of these numbers at least."""
        known = self._known
        if not known.keys() >= set(ids):
            numbers, texts = tx.columns(("id", "flags"), "FROM flagset")
            known = dict(zip(numbers, map(_parse, texts), strict=True))
            self._known = known  # without those that went meanwhile
        return known


def _parse(text: str) -> frozenset[str]:
    return frozenset(text.split())


def spelled(tx: Transaction, flags: frozenset[str], lenient: bool = False) -> frozenset[str]:
    """Flags as this mailbox spells them; ``lenient`` drops those that it cannot keep."""
    result = set()
    for flag in canonical_flags(flags, lenient):
        known = flag if flag.startswith("\\") else _keyword(tx, flag)
        if known:
            result.add(known)
        elif not lenient:
            raise TooBig("There are too many different keywords.")
    return frozenset(result)


def _keyword(tx: Transaction, flag: str) -> str | None:
    spelling: str | None = tx.value("SELECT spelling FROM keyword WHERE folded = ?", flag.lower())
    if spelling is not None:
        return spelling
    if tx.value("SELECT count(*) FROM keyword") >= KEYWORDS_MAX:
        return None
    tx.run("INSERT INTO keyword VALUES (?, ?)", flag.lower(), flag)
    return flag


def flagset_id(tx: Transaction, flags: frozenset[str]) -> int:
    """The number of a combination, new or old."""
    text = " ".join(sorted(flags))
    known: int | None = tx.value("SELECT id FROM flagset WHERE flags = ?", text)
    if known is not None:
        return known
    created: int = tx.value(
        "INSERT INTO flagset (flags, is_seen, is_deleted) VALUES (?, ?, ?) RETURNING id",
        text,
        int("\\Seen" in flags),
        int("\\Deleted" in flags),
    )
    return created
