"""
Folders: names, counts, and what a session needs to begin.

Every parent of a folder has a row; one that was deleted while it had children stays as \\Noselect
under a new id, and goes with its last child. Ids and UIDVALIDITY values are never used twice, so
a name that is used again is never taken for the old folder. RFC 9051 §6.3.

New folders are subscribed by the way, and that goes with them. A subscription that somebody asked
for stays when its folder is deleted or gets another name (RFC 3501 §6.3.6): as a row that cannot
be selected and has no children, which is a *name* and no folder.
"""

from array import array
from typing import Any

from fe_mail.adapters.mailbox_rules import (
    FOLDERS_MAX,
    INBOX,
    child_prefix,
    folder_name,
    folder_order,
    parents,
    special_use_name,
    wanted_folder,
)
from fe_mail.adapters.sqlite.mailbox.contents import remove_unused
from fe_mail.adapters.sqlite.mailbox.flags import FlagSets
from fe_mail.adapters.sqlite.mailbox.transaction import Transaction
from fe_mail.model.change import ChangeKind
from fe_mail.model.errors import AlreadyExists, Invalid, NotFound, TooBig
from fe_mail.model.mailbox import Folder, FolderStatus, FolderView

__all__ = [
    "add",
    "add_parents",
    "by_id",
    "check_new",
    "claim_recent",
    "create",
    "delete",
    "everything",
    "existing",
    "exists",
    "named",
    "rename",
    "select",
    "status",
    "subscribe",
    "subscriptions",
]

_FOLDER = (
    "SELECT id, name, uidvalidity, special_use, subscribed, selectable,"
    " EXISTS (SELECT 1 FROM folder AS child"
    " WHERE child.name > folder.name || '/' AND child.name < folder.name || '0'"
    " AND child.selectable),"
    " (SELECT object_prefix FROM mailbox) FROM folder"
)  # "0" is the character after "/"

_UNSUBSCRIBED, _BY_THE_WAY, _ASKED_FOR = 0, 1, 2  # values of folder.subscribed


def _value(row: tuple[Any, ...]) -> Folder:
    return Folder(
        id=row[0],
        name=row[1],
        uidvalidity=row[2],
        special_use=row[3],
        subscribed=bool(row[4]),
        selectable=bool(row[5]),
        has_children=bool(row[6]),
        object_id=f"F{row[7]}-{row[0]}",
    )


def everything(tx: Transaction) -> tuple[Folder, ...]:
    """All folders, INBOX first."""
    found = filter(_is_folder, map(_value, tx.rows(_FOLDER)))
    return tuple(sorted(found, key=lambda folder: folder_order(folder.name)))


def subscriptions(tx: Transaction) -> tuple[str, ...]:
    """All names that are subscribed, INBOX first."""
    rows = tx.rows("SELECT name FROM folder WHERE subscribed")
    return tuple(sorted((row[0] for row in rows), key=folder_order))


def _is_folder(value: Folder) -> bool:
    return value.selectable or value.has_children


def _any(tx: Transaction, name: str) -> Folder | None:
    row = tx.row(f"{_FOLDER} WHERE name = ?", name)
    found = None if row is None else _value(row)
    return found if found is not None and _is_folder(found) else None


def exists(tx: Transaction, name: str) -> bool:
    """Is there a folder of this name, selectable or not?"""
    return _any(tx, name) is not None


def named(tx: Transaction, name: str) -> Folder:
    """A selectable folder by name; ``NotFound``."""
    folder = _any(tx, wanted_folder(name))
    if folder is None or not folder.selectable:
        raise NotFound("There is no such folder.")
    return folder


def by_id(tx: Transaction, folder_id: int) -> Folder | None:
    """A selectable folder by id, None if it is gone."""
    row = tx.row(f"{_FOLDER} WHERE id = ? AND selectable", folder_id)
    return None if row is None else _value(row)


def existing(tx: Transaction, folder_id: int) -> Folder:
    """A selectable folder by id; ``NotFound`` if it is gone."""
    folder = by_id(tx, folder_id)
    if folder is None:
        raise NotFound("The folder was deleted.")
    return folder


def add(
    tx: Transaction,
    name: str,
    special_use: str = "",
    selectable: bool = True,
    subscribed: int = _BY_THE_WAY,
) -> int:
    """A new folder with an id and a UIDVALIDITY that were never used before."""
    subscribed = max(subscribed, _take_name(tx, name))
    uidvalidity = tx.value(
        "UPDATE mailbox SET last_uidvalidity = max(last_uidvalidity + 1, ?)"
        " RETURNING last_uidvalidity",
        int(tx.now),
    )
    folder_id: int = tx.value(
        "INSERT INTO folder (name, uidvalidity, special_use, selectable, subscribed,"
        " highest_modseq) VALUES (?, ?, ?, ?, ?, ?) RETURNING id",
        name,
        uidvalidity,
        special_use,
        int(selectable),
        subscribed,
        tx.modseq(),
    )
    tx.touched.add((ChangeKind.FOLDER, folder_id))
    return folder_id


def _take_name(tx: Transaction, name: str) -> int:
    """The name is free for a folder now; how it was subscribed."""
    sql = "DELETE FROM folder WHERE name = ? AND NOT selectable RETURNING subscribed"
    return tx.value(sql, name) or _UNSUBSCRIBED


def _leave_name(tx: Transaction, name: str, subscribed: int) -> None:
    """The folder has gone; what was asked for stays."""
    if subscribed == _ASKED_FOR:
        add(tx, name, selectable=False, subscribed=subscribed)


def check_new(tx: Transaction, names: tuple[str, ...]) -> None:
    """``TooBig`` when those of the names that are missing do not fit."""
    missing = sum(_any(tx, name) is None for name in names)
    if tx.value("SELECT count(*) FROM folder") + missing > FOLDERS_MAX:
        raise TooBig("There are too many folders.")


def add_parents(tx: Transaction, name: str) -> None:
    """Create the parents that are missing."""
    for parent in parents(name):
        if _any(tx, parent) is None:
            add(tx, parent)


def _prune_parents(tx: Transaction, name: str) -> None:
    for parent in reversed(parents(name)):
        folder = _any(tx, parent)
        if folder is not None:
            return
        sql = "DELETE FROM folder WHERE name = ? AND NOT selectable AND subscribed < ?"
        tx.run(sql, parent, _ASKED_FOR)


def create(tx: Transaction, name: str, special_use: str = "") -> Folder:
    """Create with missing parents. ``AlreadyExists``, ``Invalid``, ``TooBig``."""
    name = folder_name(name.removesuffix("/"))
    use = special_use_name(special_use)
    old = _any(tx, name)
    if old is not None and old.selectable:
        raise AlreadyExists("The folder exists already.")
    if use and tx.row("SELECT 1 FROM folder WHERE special_use = ?", use):
        raise AlreadyExists("Another folder has this special use.")
    check_new(tx, (*parents(name), name))
    add_parents(tx, name)
    return existing(tx, add(tx, name, special_use=use))


def delete(tx: Transaction, name: str) -> None:
    """Delete with its messages; one with children stays as \\Noselect."""
    name = wanted_folder(name)
    if name == INBOX:
        raise Invalid("INBOX cannot be deleted.", field="name")
    folder = _any(tx, name)
    if folder is None:
        raise NotFound("There is no such folder.")
    if not folder.selectable:
        raise Invalid("The folder is only there for its children.", field="name")
    tx.run("DELETE FROM message WHERE folder_id = ?", folder.id)
    subscribed = tx.value("DELETE FROM folder WHERE id = ? RETURNING subscribed", folder.id)
    tx.modseq()
    tx.touched.add((ChangeKind.FOLDER, folder.id))
    remove_unused(tx)
    if folder.has_children:
        add(tx, name, selectable=False, subscribed=subscribed)
    else:
        _leave_name(tx, name, subscribed)
    _prune_parents(tx, name)


def rename(tx: Transaction, old: str, new: str) -> None:
    """Rename a folder other than INBOX with its children (RFC 9051 §6.3.6)."""
    folder = _any(tx, old)
    if folder is None:
        raise NotFound("There is no such folder.")
    if _any(tx, new) is not None:
        raise AlreadyExists("The folder exists already.")
    if new.startswith(child_prefix(old)):
        raise Invalid("A folder cannot move below itself.", field="name")
    check_new(tx, parents(new))
    rows = tx.rows(f"{_FOLDER} WHERE name > ? || '/' AND name < ? || '0'", old, old)
    moving = [folder, *filter(_is_folder, map(_value, rows))]
    names = [(each, folder_name(new + each.name[len(old) :])) for each in moving]
    add_parents(tx, new)
    for each, name in names:
        _rename_one(tx, each, name)
    _prune_parents(tx, old)
    tx.modseq()
    tx.touched.add((ChangeKind.FOLDER, folder.id))


def _rename_one(tx: Transaction, folder: Folder, name: str) -> None:
    asked = max(_BY_THE_WAY, _take_name(tx, name))
    before = tx.value("SELECT subscribed FROM folder WHERE id = ?", folder.id)
    subscribed = asked if before or asked == _ASKED_FOR else _UNSUBSCRIBED
    sql = "UPDATE folder SET name = ?, subscribed = ? WHERE id = ?"
    tx.run(sql, name, subscribed, folder.id)
    _leave_name(tx, folder.name, before)


def subscribe(tx: Transaction, name: str, subscribed: bool) -> None:
    """Set the subscription; ``NotFound`` for a name that is neither a folder nor subscribed."""
    if not subscribed:
        _unsubscribe(tx, name)
        return
    sql = "UPDATE folder SET subscribed = ? WHERE name = ? RETURNING 1"
    if not tx.rows(sql, _ASKED_FOR, wanted_folder(name)):
        raise NotFound("There is no such folder.")


def _unsubscribe(tx: Transaction, name: str) -> None:
    """Nobody minds if it was not (RFC 3501 §6.3.7)."""
    try:
        name = wanted_folder(name)
    except NotFound:
        return
    if exists(tx, name):
        tx.run("UPDATE folder SET subscribed = ? WHERE name = ?", _UNSUBSCRIBED, name)
    else:
        _take_name(tx, name)


def status(tx: Transaction, name: str) -> FolderStatus | None:
    """The counts of a folder, None if there is none of this name."""
    try:
        folder = named(tx, name)
    except NotFound:
        return None
    row = tx.row(
        "SELECT messages, unseen, deleted, uidnext, highest_modseq, size_octets,"
        " (SELECT count(*) FROM message WHERE folder_id = folder.id AND uid >= recent_from)"
        " FROM folder WHERE id = ?",
        folder.id,
    )
    messages, unseen, deleted, uidnext, highest_modseq, size_octets, recent = row or (0,) * 7
    return FolderStatus(
        folder=folder,
        messages=messages,
        unseen=unseen,
        recent=recent,
        deleted=deleted,
        uidnext=uidnext,
        highest_modseq=highest_modseq,
        size_octets=size_octets,
    )


def select(tx: Transaction, name: str, flagsets: FlagSets) -> FolderView:
    """A whole folder, with what is \\Recent as long as nobody claims it."""
    folder = named(tx, name)
    row = tx.row("SELECT uidnext, highest_modseq, recent_from FROM folder WHERE id = ?", folder.id)
    uidnext, highest_modseq, recent_from = row or (1, 1, 1)
    uids, flagset_ids, modseqs = tx.columns(
        ("uid", "flagset_id", "modseq"), "FROM message WHERE folder_id = ? ORDER BY uid", folder.id
    )
    known = flagsets.of(tx, flagset_ids)
    used = sorted(set(flagset_ids))
    place = {number: index for index, number in enumerate(used)}
    return FolderView(
        folder=folder,
        uidnext=uidnext,
        highest_modseq=highest_modseq,
        uids=array("I", uids),
        flags=array("I", map(place.__getitem__, flagset_ids)),
        flag_sets=tuple(known[number] for number in used),
        modseqs=array("Q", modseqs),
        recent_from=recent_from,
    )


def claim_recent(tx: Transaction, folder_id: int, uidnext: int) -> int:
    """What is below ``uidnext`` is \\Recent for nobody else; the first UID that nobody had."""
    recent_from: int | None = tx.value("SELECT recent_from FROM folder WHERE id = ?", folder_id)
    if recent_from is None:
        raise NotFound("The folder was deleted.")
    tx.run("UPDATE folder SET recent_from = max(recent_from, ?) WHERE id = ?", uidnext, folder_id)
    return recent_from
