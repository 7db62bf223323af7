"""
An unlocked mailbox in memory: every method of ``fe_mail.ports.OpenMailbox``, plainly.

A mutation first checks everything that can refuse it and only then changes anything, so that it
happens as a whole or not at all. RFC 9051 §6.3 and §6.4; RFC 7162 (ModSeq); RFC 6851 (MOVE).
"""

from collections.abc import Sequence

from twisted.internet.interfaces import IReactorTime

from fe_mail.adapters.mailbox_rules import (
    INBOX,
    check_size,
    child_prefix,
    folder_name,
    parents,
    special_use_name,
    wanted_folder,
)
from fe_mail.adapters.memory.mailbox_state import MailboxState, StoredFolder, StoredMessage
from fe_mail.adapters.memory.matching import matches
from fe_mail.message.digest import digest
from fe_mail.model.errors import AlreadyExists, Invalid, Locked, NotFound
from fe_mail.model.ids import AliasId
from fe_mail.model.mailbox import (
    INLINE_BODY_OCTETS,
    Appended,
    Changes,
    CopyResult,
    ExpungeResult,
    FetchedMessage,
    FlagAction,
    FlagResult,
    Folder,
    FolderStatus,
    FolderView,
    NewMessage,
    Quota,
    Want,
)
from fe_mail.model.search import Key
from fe_mail.ports import Bus

__all__ = ["MemoryOpenMailbox"]


class MemoryOpenMailbox:
    """A handle on a ``MailboxState``; the state is locked when no handle is left."""

    def __init__(
        self, alias_id: AliasId, state: MailboxState, bus: Bus, clock: IReactorTime
    ) -> None:
        self._alias_id = alias_id
        self._unlocked = state
        self._bus = bus
        self._clock = clock
        self._closed = False

    @property
    def alias_id(self) -> AliasId:
        """Whose mailbox this is."""
        return self._alias_id

    def close(self) -> None:
        """Give the handle back."""
        if not self._closed:
            self._closed = True
            self._unlocked.handles -= 1

    @property
    def _state(self) -> MailboxState:
        if self._closed:
            raise Locked
        return self._unlocked

    async def take_in(self) -> int:
        """Move sealed mail into its folders; returns how many."""
        waiting, self._state.sealed = self._state.sealed, {}
        for delivery in waiting.values():
            folder = self._state.delivery_folder(delivery.folder)
            self._put(folder, [delivery.message], lenient=True)
            self._state.delivered.add(delivery.id)
        return len(waiting)

    async def folders(self) -> tuple[Folder, ...]:
        """All folders, by name, INBOX first."""
        return tuple(self._state.value(folder) for folder in self._state.in_order())

    async def status(self, names: Sequence[str]) -> tuple[FolderStatus, ...]:
        """Counts of the named folders; those that do not exist are left out."""
        return tuple(self._status(folder) for name in names for folder in self._find(name))

    def _find(self, name: str) -> list[StoredFolder]:
        try:
            return [self._state.named(name)]
        except NotFound:
            return []

    def _status(self, folder: StoredFolder) -> FolderStatus:
        messages = folder.messages.values()
        return FolderStatus(
            folder=self._state.value(folder),
            messages=len(messages),
            unseen=sum("\\Seen" not in m.flags for m in messages),
            recent=sum(m.uid >= folder.recent_from for m in messages),
            deleted=sum("\\Deleted" in m.flags for m in messages),
            uidnext=folder.uidnext,
            highest_modseq=folder.highest_modseq,
            size_octets=sum(m.size_octets for m in messages),
        )

    async def create_folder(self, name: str, special_use: str = "") -> Folder:
        """Create with missing parents."""
        name = folder_name(name.removesuffix("/"))
        use = special_use_name(special_use)
        state = self._state
        old = state.folders.get(name)
        if old is not None and old.selectable:
            raise AlreadyExists("The folder exists already.")
        if use and any(f.special_use == use for f in state.folders.values()):
            raise AlreadyExists("Another folder has this special use.")
        state.check_count([n for n in (*parents(name), name) if n not in state.folders])
        state.folders.pop(name, None)  # was only there for its children
        state.add_parents(name, self._clock.seconds())
        folder = state.add_folder(name, self._clock.seconds(), special_use=use)
        self._publish(folder)
        return state.value(folder)

    async def delete_folder(self, name: str) -> None:
        """Delete with its messages; one with children stays as \\Noselect."""
        name = wanted_folder(name)
        if name == INBOX:
            raise Invalid("INBOX cannot be deleted.", field="name")
        folder = self._state.folders.get(name)
        if folder is None:
            raise NotFound("There is no such folder.")
        if not folder.selectable:
            raise Invalid("The folder is only there for its children.", field="name")
        del self._state.folders[name]
        if self._state.has_children(name):
            self._state.add_folder(name, self._clock.seconds(), selectable=False)
        self._state.prune_parents(name)
        self._publish(folder)

    async def rename_folder(self, old: str, new: str) -> None:
        """Rename with children; INBOX gives its messages away and stays."""
        state = self._state
        old, new = wanted_folder(old), folder_name(new.removesuffix("/"))
        folder = state.folders.get(old)
        if folder is None:
            raise NotFound("There is no such folder.")
        if new in state.folders:
            raise AlreadyExists("The folder exists already.")
        if new.startswith(child_prefix(old)) and old != INBOX:
            raise Invalid("A folder cannot move below itself.", field="name")
        missing = [n for n in parents(new) if n not in state.folders]
        if old == INBOX:
            state.check_count([*missing, new])
            state.add_parents(new, self._clock.seconds())
            target = state.add_folder(new, self._clock.seconds())
            self._move(folder, list(folder.messages), target)
        else:
            state.check_count(missing)
            self._rename(old, new)
        self._publish(folder)

    def _rename(self, old: str, new: str) -> None:
        state = self._state
        below = [name for name in state.folders if name.startswith(child_prefix(old))]
        names = {name: folder_name(new + name[len(old) :]) for name in (old, *below)}
        state.add_parents(new, self._clock.seconds())
        for before, after in names.items():
            folder = state.folders.pop(before)
            folder.name = after
            state.folders[after] = folder
        state.prune_parents(old)

    async def subscribe_folder(self, name: str, subscribed: bool) -> None:
        """Set the subscription."""
        folder = self._state.folders.get(wanted_folder(name))
        if folder is None:
            raise NotFound("There is no such folder.")
        folder.subscribed = subscribed

    async def select(self, name: str, claim_recent: bool = True) -> FolderView:
        """Everything a session needs to begin."""
        folder = self._state.named(name)
        messages = tuple(folder.messages.values())
        recent = frozenset(m.uid for m in messages if m.uid >= folder.recent_from)
        if claim_recent:
            folder.recent_from = folder.uidnext
        return FolderView(
            folder=self._state.value(folder),
            uidnext=folder.uidnext,
            highest_modseq=folder.highest_modseq,
            uids=tuple(m.uid for m in messages),
            flags=tuple(m.flags for m in messages),
            modseqs=tuple(m.modseq for m in messages),
            recent=recent,
        )

    async def append(self, name: str, messages: Sequence[NewMessage]) -> Appended:
        """Append all or none, in order."""
        folder = self._state.named(name)
        self._state.check_quota(check_size(len(message.raw) for message in messages))
        return self._put(folder, messages)

    def _put(
        self, folder: StoredFolder, messages: Sequence[NewMessage], lenient: bool = False
    ) -> Appended:
        flags = [self._state.spelled(message.flags, lenient) for message in messages]
        modseq = self._state.next_modseq() if messages else folder.highest_modseq
        uids = []
        for message, spelled in zip(messages, flags, strict=True):
            stored = StoredMessage(
                uid=0,
                modseq=0,
                flags=spelled,
                received_at=message.received_at,
                raw=message.raw,
                digest=digest(message.raw),
            )
            uids.append(self._state.add_message(folder, stored, modseq).uid)
        self._publish(folder)
        return Appended(folder=self._state.value(folder), uids=tuple(uids), modseq=modseq)

    async def fetch(
        self, folder_id: int, uids: Sequence[int], want: Want
    ) -> tuple[FetchedMessage, ...]:
        """The messages that exist, in UID order."""
        folder = self._state.by_id(folder_id)
        found = self._existing(folder, uids) if folder else []
        return tuple(self._fetched(message, want) for message in found)

    def _existing(self, folder: StoredFolder, uids: Sequence[int]) -> list[StoredMessage]:
        return [folder.messages[uid] for uid in sorted(set(uids)) if uid in folder.messages]

    def _fetched(self, message: StoredMessage, want: Want) -> FetchedMessage:
        made = message.digest
        small = message.size_octets <= INLINE_BODY_OCTETS
        return FetchedMessage(
            uid=message.uid,
            modseq=message.modseq,
            flags=message.flags,
            received_at=message.received_at,
            size_octets=message.size_octets,
            envelope=made.envelope if Want.ENVELOPE in want else None,
            structure=made.structure if Want.STRUCTURE in want else None,
            header=message.raw[: made.structure.body_start] if Want.HEADER in want else None,
            raw=message.raw if Want.BODY in want and small else None,
        )

    async def read(self, folder_id: int, uid: int, start: int, end: int) -> bytes:
        """Raw octets ``start:end`` of a message (clipped)."""
        folder = self._state.by_id(folder_id)
        if folder is None or uid not in folder.messages:
            raise NotFound("The message is gone.")
        return folder.messages[uid].raw[max(0, start) : max(0, end)]

    async def store_flags(
        self,
        folder_id: int,
        uids: Sequence[int],
        action: FlagAction,
        flags: frozenset[str],
        unchanged_since: int | None = None,
    ) -> FlagResult:
        """Change flags. A message whose flags are as wished already keeps its ModSeq."""
        folder = self._state.existing(folder_id)
        flags = self._state.spelled(flags)
        asked = self._existing(folder, uids)
        modified = [
            m.uid for m in asked if unchanged_since is not None and m.modseq > unchanged_since
        ]
        allowed = [m for m in asked if m.uid not in modified]
        changing = [m for m in allowed if _changed(m.flags, action, flags) != m.flags]
        if changing:
            folder.highest_modseq = self._state.next_modseq()
        for message in changing:
            message.flags = _changed(message.flags, action, flags)
            message.modseq = folder.highest_modseq
        if changing:
            self._publish(folder)
        return FlagResult(
            modseq=folder.highest_modseq,
            changed=tuple((m.uid, m.flags, m.modseq) for m in allowed),
            modified=tuple(modified),
        )

    async def copy(self, folder_id: int, uids: Sequence[int], to: str) -> CopyResult:
        """Copy with flags and dates, all or none."""
        folder, target = self._state.existing(folder_id), self._state.named(to)
        messages = self._existing(folder, uids)
        self._state.check_quota(sum(message.size_octets for message in messages))
        return self._copy(messages, target)

    def _copy(self, messages: list[StoredMessage], target: StoredFolder) -> CopyResult:
        modseq = self._state.next_modseq() if messages else target.highest_modseq
        added = [self._state.add_message(target, message, modseq) for message in messages]
        if added:
            self._publish(target)
        return CopyResult(
            folder=self._state.value(target),
            source=tuple(message.uid for message in messages),
            target=tuple(message.uid for message in added),
            modseq=modseq,
        )

    async def move(self, folder_id: int, uids: Sequence[int], to: str) -> CopyResult:
        """Copy and expunge in one transaction (RFC 6851); needs no quota."""
        folder, target = self._state.existing(folder_id), self._state.named(to)
        return self._move(folder, uids, target)

    def _move(self, folder: StoredFolder, uids: Sequence[int], target: StoredFolder) -> CopyResult:
        result = self._copy(self._existing(folder, uids), target)
        self._state.take_out(folder, list(result.source), result.modseq)
        if result.source:
            self._publish(folder)
        return result

    async def expunge(self, folder_id: int, uids: Sequence[int] | None = None) -> ExpungeResult:
        """Remove messages that have \\Deleted; with ``uids`` only among them."""
        folder = self._state.existing(folder_id)
        among = list(folder.messages) if uids is None else uids
        gone = [m.uid for m in self._existing(folder, among) if "\\Deleted" in m.flags]
        return self._remove(folder, gone)

    async def remove(self, folder_id: int, uids: Sequence[int]) -> ExpungeResult:
        """Remove messages whatever their flags (POP3 QUIT)."""
        folder = self._state.existing(folder_id)
        return self._remove(folder, [m.uid for m in self._existing(folder, uids)])

    def _remove(self, folder: StoredFolder, uids: list[int]) -> ExpungeResult:
        if uids:
            self._state.take_out(folder, uids, self._state.next_modseq())
            self._publish(folder)
        return ExpungeResult(uids=tuple(uids), modseq=folder.highest_modseq)

    async def search(self, folder_id: int, key: Key) -> tuple[tuple[int, int], ...]:
        """(uid, modseq) of the matches in UID order."""
        folder = self._state.existing(folder_id)
        return tuple((m.uid, m.modseq) for m in folder.messages.values() if matches(key, m))

    async def changes(self, folder_id: int, since: int) -> Changes:
        """What happened in the folder after ModSeq ``since``."""
        folder = self._state.by_id(folder_id)
        if folder is None:
            return Changes(modseq=self._state.modseq, uidnext=0, gone=True)
        return Changes(
            modseq=folder.highest_modseq,
            uidnext=folder.uidnext,
            messages=tuple(
                (m.uid, m.flags, m.modseq) for m in folder.messages.values() if m.modseq > since
            ),
            vanished=tuple(sorted(uid for uid, modseq in folder.vanished if modseq > since)),
        )

    async def quota(self) -> Quota:
        """Octets used and allowed."""
        return Quota(used_octets=self._state.used_octets, limit_octets=self._state.limit_octets)

    async def check(self) -> tuple[str, ...]:
        """UIDs below UIDNEXT, ModSeqs not above the highest, parents present."""
        broken = []
        for folder in self._state.in_order():
            if any(uid >= folder.uidnext for uid in folder.messages):
                broken.append(f"Folder {folder.id}: a UID is not below UIDNEXT.")
            if any(m.modseq > folder.highest_modseq for m in folder.messages.values()):
                broken.append(f"Folder {folder.id}: a ModSeq is above the highest.")
            if any(parent not in self._state.folders for parent in parents(folder.name)):
                broken.append(f"Folder {folder.id}: its parent is missing.")
        return tuple(broken)

    def _publish(self, folder: StoredFolder) -> None:
        self._bus.publish(f"mailbox:{self._alias_id}", {"folder": str(folder.id)})


def _changed(before: frozenset[str], action: FlagAction, flags: frozenset[str]) -> frozenset[str]:
    if action is FlagAction.ADD:
        return before | flags
    return before - flags if action is FlagAction.REMOVE else flags
