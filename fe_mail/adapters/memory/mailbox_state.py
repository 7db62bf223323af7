"""
One mailbox in memory: folders and messages, and the arithmetic of UIDs and ModSeqs.

Invariants: a UID is never used twice in a folder; a UIDVALIDITY is never used twice in a mailbox;
every parent of a folder exists, with ``selectable`` False if it is only there for its children;
``used_octets`` is the sum of the sizes of all messages.
"""

import attrs

from fe_mail.adapters.mailbox_rules import (
    FOLDERS_MAX,
    INBOX,
    KEYWORDS_MAX,
    canonical_flags,
    child_prefix,
    folder_order,
    parents,
    wanted_folder,
)
from fe_mail.model.errors import NotFound, OverQuota, TooBig
from fe_mail.model.mailbox import DEFAULT_FOLDERS, Delivery, Folder
from fe_mail.model.structure import Digest

__all__ = ["MailboxState", "StoredFolder", "StoredMessage"]


@attrs.define(kw_only=True)
class StoredMessage:
    """A message in a folder. Copies share ``raw`` and ``digest``."""

    uid: int
    modseq: int
    flags: frozenset[str]
    received_at: float
    raw: bytes = attrs.field(repr=False)
    digest: Digest = attrs.field(repr=False)

    @property
    def size_octets(self) -> int:
        """RFC822.SIZE."""
        return len(self.raw)


@attrs.define(kw_only=True)
class StoredFolder:
    """A folder with its messages in UID order and the UIDs that are gone."""

    id: int
    name: str
    uidvalidity: int
    special_use: str = ""
    subscribed: bool = True
    selectable: bool = True
    uidnext: int = 1
    recent_from: int = 1  # UIDs from here on were seen by no session yet
    highest_modseq: int = 1
    messages: dict[int, StoredMessage] = attrs.field(factory=dict)
    vanished: list[tuple[int, int]] = attrs.field(factory=list)  # (uid, modseq)


@attrs.define(kw_only=True)
class MailboxState:
    """Everything of one alias."""

    key: bytes = attrs.field(repr=False)
    sealing_key: bytes = attrs.field(repr=False)
    limit_octets: int = 0
    modseq: int = 0
    last_folder_id: int = 0
    last_uidvalidity: int = 0
    folders: dict[str, StoredFolder] = attrs.field(factory=dict)
    keywords: dict[str, str] = attrs.field(factory=dict)
    delivered: set[str] = attrs.field(factory=set)
    sealed: dict[str, Delivery] = attrs.field(factory=dict)
    handles: int = 0

    @classmethod
    def new(cls, key: bytes, sealing_key: bytes, now: float) -> "MailboxState":
        """A mailbox with the default folders."""
        state = cls(key=key, sealing_key=sealing_key)
        for name, use in DEFAULT_FOLDERS:
            state.add_folder(name, now, special_use=use)
        return state

    @property
    def used_octets(self) -> int:
        """Octets of all messages."""
        return sum(m.size_octets for f in self.folders.values() for m in f.messages.values())

    @property
    def sealed_octets(self) -> int:
        """Octets of what waits sealed."""
        return sum(len(delivery.message.raw) for delivery in self.sealed.values())

    def next_modseq(self) -> int:
        """The ModSeq of the mutation that begins."""
        self.modseq += 1
        return self.modseq

    def check_quota(self, octets: int) -> None:
        """``OverQuota`` when so much more does not fit."""
        used = self.used_octets + self.sealed_octets
        if self.limit_octets and used + octets > self.limit_octets:
            raise OverQuota

    def check_count(self, names: list[str]) -> None:
        """``TooBig`` when so many more folders do not fit."""
        if len(self.folders) + len(names) > FOLDERS_MAX:
            raise TooBig("There are too many folders.")

    def named(self, name: str) -> StoredFolder:
        """A selectable folder by name."""
        folder = self.folders.get(wanted_folder(name))
        if folder is None or not folder.selectable:
            raise NotFound("There is no such folder.")
        return folder

    def by_id(self, folder_id: int) -> StoredFolder | None:
        """A selectable folder by id, None if it is gone."""
        found = (f for f in self.folders.values() if f.id == folder_id and f.selectable)
        return next(found, None)

    def existing(self, folder_id: int) -> StoredFolder:
        """A selectable folder by id; ``NotFound`` if it is gone."""
        folder = self.by_id(folder_id)
        if folder is None:
            raise NotFound("The folder was deleted.")
        return folder

    def has_children(self, name: str) -> bool:
        """Is there a folder below this one?"""
        return any(other.startswith(child_prefix(name)) for other in self.folders)

    def in_order(self) -> list[StoredFolder]:
        """All folders, INBOX first."""
        return sorted(self.folders.values(), key=lambda folder: folder_order(folder.name))

    def value(self, folder: StoredFolder) -> Folder:
        """The folder as others see it."""
        return Folder(
            id=folder.id,
            name=folder.name,
            uidvalidity=folder.uidvalidity,
            special_use=folder.special_use,
            subscribed=folder.subscribed,
            has_children=self.has_children(folder.name),
            selectable=folder.selectable,
        )

    def add_folder(
        self, name: str, now: float, special_use: str = "", selectable: bool = True
    ) -> StoredFolder:
        """A new folder with an id and a UIDVALIDITY that were never used before."""
        self.last_folder_id += 1
        self.last_uidvalidity = max(self.last_uidvalidity + 1, int(now))
        folder = StoredFolder(
            id=self.last_folder_id,
            name=name,
            uidvalidity=self.last_uidvalidity,
            special_use=special_use,
            selectable=selectable,
            highest_modseq=self.next_modseq(),
        )
        self.folders[name] = folder
        return folder

    def add_parents(self, name: str, now: float) -> None:
        """Create the parents that are missing."""
        for parent in parents(name):
            if parent not in self.folders:
                self.add_folder(parent, now)

    def prune_parents(self, name: str) -> None:
        """Remove parents that were only there for the children they no longer have."""
        for parent in reversed(parents(name)):
            folder = self.folders.get(parent)
            if folder is None or folder.selectable or self.has_children(parent):
                return
            del self.folders[parent]

    def spelled(self, flags: frozenset[str], lenient: bool = False) -> frozenset[str]:
        """Flags as this mailbox spells them; ``lenient`` drops those that it cannot keep."""
        result = set()
        for flag in canonical_flags(flags, lenient):
            if flag.startswith("\\"):
                result.add(flag)
            elif flag.lower() in self.keywords or len(self.keywords) < KEYWORDS_MAX:
                result.add(self.keywords.setdefault(flag.lower(), flag))
            elif not lenient:
                raise TooBig("There are too many different keywords.")
        return frozenset(result)

    def add_message(
        self, folder: StoredFolder, message: StoredMessage, modseq: int
    ) -> StoredMessage:
        """Put a copy of the message into the folder under its next UID."""
        added = attrs.evolve(message, uid=folder.uidnext, modseq=modseq)
        folder.messages[added.uid] = added
        folder.uidnext += 1
        folder.highest_modseq = modseq
        return added

    def take_out(self, folder: StoredFolder, uids: list[int], modseq: int) -> None:
        """Remove messages and remember that they vanished."""
        for uid in uids:
            del folder.messages[uid]
            folder.vanished.append((uid, modseq))
        if uids:
            folder.highest_modseq = modseq

    def delivery_folder(self, name: str) -> StoredFolder:
        """Where a delivery goes: the folder, or INBOX if there is none of this name."""
        try:
            return self.named(name)
        except NotFound:
            return self.named(INBOX)
