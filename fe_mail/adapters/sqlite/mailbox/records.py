"""
``fe_mail.ports.Records`` in a mailbox file: each method is one transaction.

Items and messages share the ModSeq counter and the quota. What went leaves a tombstone until
there are many (``upkeep``); the collection's horizon says from where on the list is complete.
RFC 6578; RFC 8620 §5.2, §5.3.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fe_mail.adapters.record_rules import (
    COLLECTIONS_MAX,
    ITEMS_MAX,
    PAGE_MAX,
    READ_OCTETS_MAX,
    check_properties,
    check_ranges,
    check_update,
    record_name,
)
from fe_mail.adapters.sqlite.mailbox.file import MailboxFile
from fe_mail.adapters.sqlite.mailbox.messages import check_quota
from fe_mail.adapters.sqlite.mailbox.transaction import Transaction
from fe_mail.model.change import ChangeKind
from fe_mail.model.errors import AlreadyExists, Conflict, Invalid, NotFound, TooBig
from fe_mail.model.records import (
    Collection,
    Item,
    NewItem,
    Range,
    RecordChanges,
    Removal,
    Updated,
)

__all__ = ["SQLiteRecords"]

_COLLECTION = (
    "SELECT id, kind, name, properties, highest_modseq, items, size_octets FROM collection"
)
_ITEM = ("name", "etag", "modseq", "size_octets")


class SQLiteRecords:
    """The records of one open mailbox; ``file`` raises ``Locked`` when it was given back."""

    def __init__(self, file: Callable[[], MailboxFile]) -> None:
        self._file = file

    async def collections(self, kind: str = "") -> tuple[Collection, ...]:
        """All of a kind, or all, by kind and name."""
        sql = f"{_COLLECTION} WHERE ?1 IN ('', kind) ORDER BY kind, name"
        return await self._file().read(lambda tx: tuple(map(_collection, tx.rows(sql, kind))))

    async def create(
        self, kind: str, name: str, properties: Mapping[str, str] | None = None
    ) -> Collection:
        """An empty collection. ``AlreadyExists``, ``Invalid``, ``TooBig`` (count, size)."""
        kind, name, more = record_name(kind), record_name(name), dict(properties or {})
        check_properties(more)
        return await self._file().write(lambda tx: _create(tx, kind, name, more))

    async def change(
        self,
        collection_id: int,
        name: str | None = None,
        properties: Mapping[str, str] | None = None,
    ) -> Collection:
        """Rename, or replace all properties. ``AlreadyExists``, ``Invalid``, ``TooBig``."""
        name = None if name is None else record_name(name)
        more = None if properties is None else dict(properties)
        check_properties(more or {})
        return await self._file().write(lambda tx: _change(tx, collection_id, name, more))

    async def delete(self, collection_id: int) -> None:
        """Delete with its items."""
        await self._file().write(lambda tx: _delete(tx, collection_id))

    async def update(
        self,
        collection_id: int,
        put: Sequence[NewItem] = (),
        remove: Sequence[Removal] = (),
    ) -> Updated:
        """Put and remove items, all or none. ``Conflict``, ``OverQuota``, ``NotFound``."""
        check_update(put, remove)
        return await self._file().write(lambda tx: _update(tx, collection_id, put, remove))

    async def get(
        self, collection_id: int, names: Sequence[str], octets: bool = True
    ) -> tuple[Item, ...]:
        """The items that exist, by name; of very much only the first have their octets."""
        if len(names) > PAGE_MAX:
            raise TooBig("Too many items at once.")
        normal = [record_name(name) for name in names]
        return await self._file().read(lambda tx: _get(tx, collection_id, normal, octets))

    async def list(
        self, collection_id: int, after: str = "", limit: int = 1000
    ) -> tuple[Item, ...]:
        """The next items by name, without their octets."""
        source = "name > ? ORDER BY name LIMIT ?"
        values = (after, _limit(limit))
        return await self._file().read(lambda tx: _items(tx, collection_id, source, *values))

    async def changes(self, collection_id: int, since: int) -> RecordChanges:
        """What happened in the collection after ModSeq ``since``."""
        return await self._file().read(lambda tx: _changes(tx, collection_id, since))

    async def query(
        self, collection_id: int, ranges: Sequence[Range], limit: int = 1000
    ) -> tuple[Item, ...]:
        """The items that are in all of the ranges, by name, without their octets."""
        check_ranges(ranges)
        values: tuple[object, ...] = ()
        source = ""
        for each in ranges:
            condition, bounds = _within(each)
            source += condition + " AND "
            values += (collection_id, *bounds)
        source += "1 ORDER BY name LIMIT ?"
        values += (_limit(limit),)
        return await self._file().read(lambda tx: _items(tx, collection_id, source, *values))


def _limit(limit: int) -> int:
    if not 0 < limit <= PAGE_MAX:
        raise Invalid("The limit is out of range.", field="limit")
    return limit


def _within(bounds: Range) -> tuple[str, tuple[str, ...]]:
    condition = "collection_id = ? AND key = ?"
    values: tuple[str, ...] = (bounds.key,)
    for comparison, value in ((">=", bounds.low), ("<=", bounds.high)):
        if value is not None:
            condition, values = f"{condition} AND value {comparison} ?", (*values, value)
    return f"id IN (SELECT item_id FROM item_value WHERE {condition})", values  # noqa: S608


def _collection(row: tuple[Any, ...]) -> Collection:
    return Collection(
        id=row[0],
        kind=row[1],
        name=row[2],
        properties=json.loads(row[3]),
        modseq=row[4],
        items=row[5],
        size_octets=row[6],
    )


def _existing(tx: Transaction, collection_id: int) -> Collection:
    row = tx.row(f"{_COLLECTION} WHERE id = ?", collection_id)
    if row is None:
        raise NotFound("There is no such collection.")
    return _collection(row)


def _refuse_taken(tx: Transaction, kind: str, name: str) -> None:
    if tx.row("SELECT 1 FROM collection WHERE kind = ? AND name = ?", kind, name):
        raise AlreadyExists("The collection exists already.")


def _create(tx: Transaction, kind: str, name: str, properties: dict[str, str]) -> Collection:
    _refuse_taken(tx, kind, name)
    if tx.value("SELECT count(*) FROM collection") >= COLLECTIONS_MAX:
        raise TooBig("There are too many collections.")
    collection_id: int = tx.value(
        "INSERT INTO collection (kind, name, properties, highest_modseq) VALUES (?, ?, ?, ?)"
        " RETURNING id",
        kind,
        name,
        json.dumps(properties),
        tx.modseq(),
    )
    tx.touch_collection(collection_id)
    return _existing(tx, collection_id)


def _change(
    tx: Transaction, collection_id: int, name: str | None, properties: dict[str, str] | None
) -> Collection:
    old = _existing(tx, collection_id)
    if name is not None and name != old.name:
        _refuse_taken(tx, old.kind, name)
        tx.run("UPDATE collection SET name = ? WHERE id = ?", name, collection_id)
        tx.touch_collection(collection_id)
    if properties is not None and properties != old.properties:
        text = json.dumps(properties)
        tx.run("UPDATE collection SET properties = ? WHERE id = ?", text, collection_id)
        tx.touch_collection(collection_id)
    return _existing(tx, collection_id)


def _delete(tx: Transaction, collection_id: int) -> None:
    _existing(tx, collection_id)
    tx.modseq()
    tx.touched.add((ChangeKind.COLLECTION, collection_id))
    tx.run("DELETE FROM item WHERE collection_id = ?", collection_id)
    tx.run("DELETE FROM collection WHERE id = ?", collection_id)


def _update(
    tx: Transaction, collection_id: int, put: Sequence[NewItem], remove: Sequence[Removal]
) -> Updated:
    _existing(tx, collection_id)
    for removal in remove:
        _remove(tx, collection_id, removal)
    items = tuple(_put(tx, collection_id, item) for item in put)
    after = _existing(tx, collection_id)
    if after.items > ITEMS_MAX:
        raise TooBig("There are too many items.")
    return Updated(modseq=after.modseq, items=items)


def _stored(tx: Transaction, collection_id: int, name: str) -> tuple[int, Item] | None:
    row = tx.row(
        "SELECT id, name, etag, modseq, size_octets FROM item WHERE collection_id = ? AND name = ?",
        collection_id,
        name,
    )
    if row is None:
        return None
    return row[0], Item(name=row[1], etag=row[2], modseq=row[3], size_octets=row[4])


def _put(tx: Transaction, collection_id: int, item: NewItem) -> Item:
    name, octets = record_name(item.name), item.octets
    found = _stored(tx, collection_id, name)
    _check_precondition(item, None if found is None else found[1])
    etag = hashlib.blake2b(octets, digest_size=16).hexdigest()
    if found is not None and found[1].etag == etag:
        _index(tx, collection_id, found[0], item.values)
        return found[1]
    check_quota(tx, len(octets) - (found[1].size_octets if found else 0))
    modseq = tx.touch_collection(collection_id)
    values = (etag, modseq, len(octets), octets, collection_id, name)
    if found is None:
        tx.run(
            "INSERT INTO item (etag, modseq, size_octets, octets, collection_id, name)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            *values,
        )
        tx.run("DELETE FROM gone WHERE collection_id = ? AND name = ?", collection_id, name)
    else:
        tx.run(
            "UPDATE item SET etag = ?, modseq = ?, size_octets = ?, octets = ?"
            " WHERE collection_id = ? AND name = ?",
            *values,
        )
    item_id = tx.value(
        "SELECT id FROM item WHERE collection_id = ? AND name = ?", collection_id, name
    )
    _index(tx, collection_id, item_id, item.values)
    return Item(name=name, etag=etag, modseq=modseq, size_octets=len(octets))


def _check_precondition(item: NewItem, found: Item | None) -> None:
    if item.if_absent and found is not None:
        raise Conflict("The item is there already.")
    if item.if_match is not None and (found is None or found.etag != item.if_match):
        raise Conflict("The item was changed meanwhile.")


def _index(
    tx: Transaction, collection_id: int, item_id: int, values: Sequence[tuple[str, str]]
) -> None:
    tx.run("DELETE FROM item_value WHERE item_id = ?", item_id)
    rows = [(collection_id, key, value, item_id) for key, value in set(values)]
    tx.cursor.executemany("INSERT INTO item_value VALUES (?, ?, ?, ?)", rows)


def _remove(tx: Transaction, collection_id: int, removal: Removal) -> None:
    found = _stored(tx, collection_id, record_name(removal.name))
    if found is None:
        raise NotFound("There is no such item.")
    item_id, item = found
    if removal.if_match not in (None, item.etag):
        raise Conflict("The item was changed meanwhile.")
    modseq = tx.touch_collection(collection_id)
    tx.run("DELETE FROM item WHERE id = ?", item_id)
    tx.run("INSERT INTO gone VALUES (?, ?, ?)", collection_id, item.name, modseq)


def _items(tx: Transaction, collection_id: int, condition: str, *values: Any) -> tuple[Item, ...]:
    _existing(tx, collection_id)
    source = f"FROM item WHERE collection_id = ? AND {condition}"
    columns = tx.columns(_ITEM, source, collection_id, *values)
    return tuple(
        Item(name=name, etag=etag, modseq=modseq, size_octets=size)
        for name, etag, modseq, size in zip(*columns, strict=True)
    )


def _get(
    tx: Transaction, collection_id: int, names: Sequence[str], with_octets: bool
) -> tuple[Item, ...]:
    among = "name IN (SELECT value FROM json_each(?)) ORDER BY name"
    items = _items(tx, collection_id, among, json.dumps(names))
    if not with_octets:
        return items
    fitting, total = list[str](), 0
    for item in items:
        total += item.size_octets
        if total > READ_OCTETS_MAX and fitting:
            break
        fitting.append(item.name)
    source = f"FROM item WHERE collection_id = ? AND {among}"
    found = tx.table(_ITEM, ("octets",), source, collection_id, json.dumps(fitting))
    whole = tuple(
        Item(name=name, etag=etag, modseq=modseq, size_octets=size, octets=octets)
        for name, etag, modseq, size, octets in zip(*found, strict=True)
    )
    return whole + items[len(whole) :]


def _changes(tx: Transaction, collection_id: int, since: int) -> RecordChanges:
    collection = _existing(tx, collection_id)
    horizon = tx.value("SELECT gone_horizon FROM collection WHERE id = ?", collection_id)
    (gone,) = tx.columns(
        ("name",),
        "FROM gone WHERE collection_id = ? AND modseq > ? ORDER BY name",
        collection_id,
        since,
    )
    return RecordChanges(
        modseq=collection.modseq,
        changed=_items(tx, collection_id, "modseq > ? ORDER BY name", since),
        gone=tuple(gone),
        is_complete=since >= horizon,
    )
