"""
Messages: arriving, being flagged, copied, moved and removed; the change log.

Sets of UIDs go to SQLite as one JSON array. Each mutation takes one ModSeq for all messages that
it changes. RFC 9051 §6.4; RFC 7162 §3.1; RFC 6851; RFC 4315.
"""

import json
from collections.abc import Iterable, Sequence

from fe_mail.adapters.mailbox_rules import INBOX, folder_name, parents
from fe_mail.adapters.sqlite.mailbox import contents, folders
from fe_mail.adapters.sqlite.mailbox.contents import Prepared
from fe_mail.adapters.sqlite.mailbox.flags import FlagSets, flagset_id, spelled
from fe_mail.adapters.sqlite.mailbox.transaction import Transaction
from fe_mail.model.errors import AlreadyExists, Conflict, NotFound, OverQuota
from fe_mail.model.mailbox import (
    Appended,
    Changes,
    CopyResult,
    ExpungeResult,
    FlagAction,
    FlagResult,
    Folder,
    Quota,
)

__all__ = [
    "append",
    "changes",
    "check_quota",
    "copy",
    "deliver",
    "expunge",
    "move",
    "quota",
    "remove",
    "rename_inbox",
    "store_flags",
]

_AMONG = "folder_id = ? AND uid IN (SELECT value FROM json_each(?))"


def _json(uids: Iterable[int]) -> str:
    return json.dumps(sorted(set(uids)))


def quota(tx: Transaction) -> Quota:
    """Octets used and allowed."""
    used = tx.value("SELECT used_octets FROM mailbox")
    return Quota(used_octets=used, limit_octets=tx.limit_octets)


def check_quota(tx: Transaction, octets: int) -> None:
    """``OverQuota`` when so much more does not fit."""
    if tx.limit_octets and quota(tx).used_octets + octets > tx.limit_octets:
        raise OverQuota


def append(tx: Transaction, name: str, messages: Sequence[Prepared]) -> Appended:
    """Append all, in order."""
    folder = folders.named(tx, name)
    check_quota(tx, sum(message.size_octets for message in messages))
    flagsets = [flagset_id(tx, spelled(tx, message.flags)) for message in messages]
    return _insert(tx, folder, messages, flagsets)


def deliver(tx: Transaction, delivery_id: str, name: str, message: Prepared) -> bool:
    """Append unless a delivery of this id arrived before; INBOX if there is no such folder."""
    if tx.row("SELECT 1 FROM delivery WHERE id = ?", delivery_id):
        return False
    tx.run("INSERT INTO delivery VALUES (?, ?)", delivery_id, tx.now)
    try:
        folder = folders.named(tx, name)
    except NotFound:
        folder = folders.named(tx, INBOX)
    flags = spelled(tx, message.flags, lenient=True)
    _insert(tx, folder, [message], [flagset_id(tx, flags)])
    return True


def _insert(
    tx: Transaction, folder: Folder, messages: Sequence[Prepared], flagsets: Sequence[int]
) -> Appended:
    first = _take_uids(tx, folder.id, len(messages))
    modseq = tx.touch(folder.id) if messages else _highest_modseq(tx, folder.id)
    for uid, (message, flags) in enumerate(zip(messages, flagsets, strict=True), first):
        tx.run(
            "INSERT INTO message VALUES (?, ?, ?, ?, ?, ?, ?)",
            folder.id,
            uid,
            modseq,
            flags,
            contents.store(tx, message),
            message.size_octets,
            float(message.received_at),
        )
    uids = tuple(range(first, first + len(messages)))
    return Appended(folder=folder, uids=uids, modseq=modseq)


def _take_uids(tx: Transaction, folder_id: int, count: int) -> int:
    """The first of so many fresh UIDs in a row."""
    uidnext: int = tx.value(
        "UPDATE folder SET uidnext = uidnext + ? WHERE id = ? RETURNING uidnext", count, folder_id
    )
    return uidnext - count


def _highest_modseq(tx: Transaction, folder_id: int) -> int:
    modseq: int = tx.value("SELECT highest_modseq FROM folder WHERE id = ?", folder_id)
    return modseq


def store_flags(
    tx: Transaction,
    folder_id: int,
    uids: Sequence[int],
    action: FlagAction,
    flags: frozenset[str],
    unchanged_since: int | None,
) -> FlagResult:
    """Change flags. A message whose flags are as wished already keeps its ModSeq."""
    folders.existing(tx, folder_id)
    since = _highest_modseq(tx, folder_id)
    flags = spelled(tx, flags)
    columns = ("uid", "flagset_id", "modseq")
    asked = zip(
        *tx.columns(columns, f"FROM message WHERE {_AMONG} ORDER BY uid", folder_id, _json(uids)),
        strict=True,
    )
    known, after = FlagSets(), dict[int, tuple[int, frozenset[str]]]()
    changing: dict[int, list[int]] = {}  # new combination: UIDs
    modified: list[int] = []
    changed: list[tuple[int, frozenset[str], int]] = []
    for uid, old, modseq in asked:
        if unchanged_since is not None and modseq > unchanged_since:
            modified.append(uid)
            continue
        if old not in after:
            wished = _changed(known.of(tx, [old])[old], action, flags)
            after[old] = (flagset_id(tx, wished), wished)
        new, wished = after[old]
        if new != old:
            changing.setdefault(new, []).append(uid)
            modseq = tx.touch(folder_id)
        changed.append((uid, wished, modseq))
    for new, uids_of_new in changing.items():
        tx.run(
            "UPDATE message SET flagset_id = ?, modseq = ?"
            " WHERE folder_id = ? AND uid IN (SELECT value FROM json_each(?))",
            new,
            tx.modseq(),
            folder_id,
            _json(uids_of_new),
        )
    return FlagResult(
        since=since,
        modseq=_highest_modseq(tx, folder_id),
        changed=tuple(changed),
        modified=tuple(modified),
    )


def _changed(before: frozenset[str], action: FlagAction, flags: frozenset[str]) -> frozenset[str]:
    if action is FlagAction.ADD:
        return before | flags
    return before - flags if action is FlagAction.REMOVE else flags


def copy(
    tx: Transaction, folder_id: int, uids: Sequence[int], to: str, all_there: bool
) -> CopyResult:
    """Copy with flags and dates."""
    folders.existing(tx, folder_id)
    _check_there(tx, folder_id, uids, all_there)
    target = folders.named(tx, to)
    octets = tx.value(
        f"SELECT coalesce(sum(size_octets), 0) FROM message WHERE {_AMONG}",  # noqa: S608
        folder_id,
        _json(uids),
    )
    check_quota(tx, octets)
    return _copy(tx, folder_id, uids, target)


def _copy(tx: Transaction, folder_id: int, uids: Sequence[int], target: Folder) -> CopyResult:
    source, since = _present(tx, folder_id, uids), _highest_modseq(tx, folder_id)
    first = _take_uids(tx, target.id, len(source))
    if source:
        tx.run(
            "INSERT INTO message SELECT ?, ? + row_number() OVER (ORDER BY uid) - 1, ?,"
            " flagset_id, content_id, size_octets, received_at FROM message"
            " WHERE folder_id = ? AND uid IN (SELECT value FROM json_each(?))",
            target.id,
            first,
            tx.touch(target.id),
            folder_id,
            _json(source),
        )
    return CopyResult(
        folder=target,
        since=since,
        source=tuple(source),
        target=tuple(range(first, first + len(source))),
        modseq=_highest_modseq(tx, target.id),
    )


def _present(tx: Transaction, folder_id: int, uids: Sequence[int]) -> list[int]:
    (present,) = tx.columns(
        ("uid",), f"FROM message WHERE {_AMONG} ORDER BY uid", folder_id, _json(uids)
    )
    return present


def _check_there(tx: Transaction, folder_id: int, uids: Sequence[int], all_there: bool) -> None:
    if all_there and len(_present(tx, folder_id, uids)) < len(set(uids)):
        raise Conflict("Some messages are gone.")


def move(
    tx: Transaction, folder_id: int, uids: Sequence[int], to: str, all_there: bool
) -> CopyResult:
    """Copy and expunge (RFC 6851); needs no quota."""
    folders.existing(tx, folder_id)
    _check_there(tx, folder_id, uids, all_there)
    return _move(tx, folder_id, uids, folders.named(tx, to))


def _move(tx: Transaction, folder_id: int, uids: Sequence[int], target: Folder) -> CopyResult:
    result = _copy(tx, folder_id, uids, target)
    _take_out(tx, folder_id, result.source)
    return result


def rename_inbox(tx: Transaction, new: str) -> None:
    """INBOX gives its messages to a new folder and stays (RFC 9051 §6.3.6)."""
    new = folder_name(new)
    folders.check_new(tx, (*parents(new), new))
    inbox = folders.named(tx, INBOX)
    if folders.exists(tx, new):
        raise AlreadyExists("The folder exists already.")
    folders.add_parents(tx, new)
    target = folders.existing(tx, folders.add(tx, new))
    (uids,) = tx.columns(("uid",), "FROM message WHERE folder_id = ?", inbox.id)
    _move(tx, inbox.id, uids, target)


def _take_out(tx: Transaction, folder_id: int, uids: Sequence[int]) -> None:
    """Remove messages that are there, and remember that they vanished."""
    if not uids:
        return
    modseq = tx.touch(folder_id)
    tx.run(f"DELETE FROM message WHERE {_AMONG}", folder_id, _json(uids))  # noqa: S608
    tx.run(
        "INSERT INTO vanished SELECT ?, value, ? FROM json_each(?)", folder_id, modseq, _json(uids)
    )
    contents.remove_unused(tx)


def expunge(tx: Transaction, folder_id: int, uids: Sequence[int] | None) -> ExpungeResult:
    """Remove messages that have \\Deleted; with ``uids`` only among them."""
    folders.existing(tx, folder_id)
    source = (
        "FROM message JOIN flagset ON flagset.id = flagset_id"
        " WHERE is_deleted AND folder_id = ? ORDER BY uid"
    )
    (deleted,) = tx.columns(("uid",), source, folder_id)
    among = None if uids is None else set(uids)
    return _removed(tx, folder_id, [uid for uid in deleted if among is None or uid in among])


def remove(tx: Transaction, folder_id: int, uids: Sequence[int]) -> ExpungeResult:
    """Remove messages whatever their flags (POP3 QUIT)."""
    folders.existing(tx, folder_id)
    return _removed(tx, folder_id, _present(tx, folder_id, uids))


def _removed(tx: Transaction, folder_id: int, uids: list[int]) -> ExpungeResult:
    since = _highest_modseq(tx, folder_id)
    _take_out(tx, folder_id, uids)
    return ExpungeResult(uids=tuple(uids), since=since, modseq=_highest_modseq(tx, folder_id))


def changes(tx: Transaction, folder_id: int, since: int, flagsets: FlagSets) -> Changes:
    """What happened in the folder after ModSeq ``since``."""
    row = tx.row(
        "SELECT highest_modseq, uidnext, recent_from, vanished_horizon FROM folder"
        " WHERE id = ? AND selectable",
        folder_id,
    )
    if row is None:
        return Changes(modseq=tx.value("SELECT modseq FROM mailbox"), uidnext=0, gone=True)
    after = "WHERE folder_id = ? AND modseq > ? ORDER BY uid"
    names = ("uid", "flagset_id", "modseq")
    uids, flagset_ids, modseqs = tx.columns(names, f"FROM message {after}", folder_id, since)
    vanished: list[int] = []
    present: list[int] | None = None
    if since < row[3]:  # the list of what vanished is not complete any more
        (present,) = tx.columns(
            ("uid",), "FROM message WHERE folder_id = ? ORDER BY uid", folder_id
        )
    else:
        (vanished,) = tx.columns(("uid",), f"FROM vanished {after}", folder_id, since)
    known = flagsets.of(tx, flagset_ids)
    flags = [known[number] for number in flagset_ids]
    return Changes(
        modseq=row[0],
        uidnext=row[1],
        recent_from=row[2],
        messages=tuple(zip(uids, flags, modseqs, strict=True)),
        vanished=tuple(vanished),
        present=None if present is None else tuple(present),
    )
