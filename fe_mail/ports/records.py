"""Records beside the messages of an open mailbox."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from fe_mail.model.records import (
    Collection,
    Item,
    NewItem,
    Range,
    RecordChanges,
    Removal,
    Updated,
)

__all__ = ["Records"]


class Records(Protocol):
    """
    Collections of items in one mailbox, part of its quota.

    Every mutation publishes a ``model.change.Change`` of its collection after its commit.
    ``NotFound`` wherever a collection is named that does not exist.
    """

    async def collections(self, kind: str = "") -> tuple[Collection, ...]:
        """All of a kind, or all, by kind and name."""

    async def create(
        self, kind: str, name: str, properties: Mapping[str, str] | None = None
    ) -> Collection:
        """An empty collection. ``AlreadyExists``, ``Invalid``, ``TooBig`` (count, size)."""

    async def change(
        self,
        collection_id: int,
        name: str | None = None,
        properties: Mapping[str, str] | None = None,
    ) -> Collection:
        """Rename, or replace all properties. ``AlreadyExists``, ``Invalid``, ``TooBig``."""

    async def delete(self, collection_id: int) -> None:
        """Delete with its items."""

    async def update(
        self,
        collection_id: int,
        put: Sequence[NewItem] = (),
        remove: Sequence[Removal] = (),
    ) -> Updated:
        """
        Put and remove items, all or none.

        ``Conflict`` when a precondition fails, ``NotFound`` when an item to be removed is not
        there, ``OverQuota``, ``TooBig``, ``Invalid``. An item whose octets are as wished already
        keeps its ModSeq.
        """

    async def get(
        self, collection_id: int, names: Sequence[str], octets: bool = True
    ) -> tuple[Item, ...]:
        """
        The items that exist, by name. Of very much only the first have their octets: ask again
        for the others.
        """

    async def list(
        self, collection_id: int, after: str = "", limit: int = 1000
    ) -> tuple[Item, ...]:
        """The next items by name, without their octets."""

    async def changes(self, collection_id: int, since: int) -> RecordChanges:
        """What happened in the collection after ModSeq ``since``."""

    async def query(
        self, collection_id: int, ranges: Sequence[Range], limit: int = 1000
    ) -> tuple[Item, ...]:
        """The items that are in all of the ranges, by name, without their octets."""
