"""One encrypted mailbox per alias: the unlocked one, and the store of all."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from fe_mail.model.ids import AliasId
from fe_mail.model.mailbox import (
    Appended,
    Changes,
    CopyResult,
    Delivery,
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
from fe_mail.ports.records import Records

__all__ = ["MailboxStore", "OpenMailbox"]


class OpenMailbox(Protocol):
    """
    An unlocked mailbox. Many sessions may share one; ``close`` gives it back. When the mailbox was
    removed meanwhile, by any process, every call is refused: ``MailboxGone``.

    Every mutation publishes a ``model.change.Change`` on the bus after its commit, for each folder
    or collection that it touched.
    """

    @property
    def alias_id(self) -> AliasId:
        """Whose mailbox this is."""

    @property
    def records(self) -> Records:
        """Calendars, contacts and the like, beside the messages."""

    def close(self) -> None:
        """Give the handle back; the last one closes the file after a while."""

    async def take_in(self) -> int:
        """Move sealed mail into its folders; returns how many. Idempotent."""

    async def folders(self) -> tuple[Folder, ...]:
        """All folders, by name, INBOX first."""

    async def status(self, names: Sequence[str]) -> tuple[FolderStatus, ...]:
        """Counts of the named folders; those that do not exist are left out."""

    async def create_folder(self, name: str, special_use: str = "") -> Folder:
        """Create with missing parents. ``AlreadyExists``, ``Invalid``, ``TooBig`` (count)."""

    async def delete_folder(self, name: str) -> None:
        """Delete with its messages; one with children stays as \\Noselect. Not INBOX."""

    async def rename_folder(self, old: str, new: str) -> None:
        """Rename with children; INBOX gives its messages away and stays (RFC 9051 §6.3.6)."""

    async def subscriptions(self) -> tuple[str, ...]:
        """Every name that is subscribed, also of folders that are gone, INBOX first."""

    async def subscribe_folder(self, name: str, subscribed: bool) -> None:
        """
        Set the subscription, which outlives its folder (RFC 3501 §6.3.6).

        ``NotFound`` for a new one of what does not exist. Ending one that is not is nothing.
        """

    async def select(self, name: str, claim_recent: bool = True) -> FolderView:
        """
        Everything a session needs to begin. ``NotFound``.

        What is \\Recent in it is so for no other session any more; without ``claim_recent`` it is
        (RFC 3501 §2.3.2). What cannot be claimed now is shown all the same.
        """

    async def append(self, name: str, messages: Sequence[NewMessage]) -> Appended:
        """Append all or none, in order. ``NotFound``, ``OverQuota``, ``TooBig``."""

    async def fetch(
        self, folder_id: int, uids: Sequence[int], want: Want
    ) -> tuple[FetchedMessage, ...]:
        """
        The messages that exist, in UID order; those that are gone are left out.

        So is one that is damaged, when that keeps what is wanted from being read: ``Want.NOTHING``
        finds it all the same.
        """

    async def read(self, folder_id: int, uid: int, start: int, end: int) -> bytes:
        """
        Raw octets ``start:end`` of a message (clipped). ``NotFound`` if it is gone, ``Corrupt`` if
        they are damaged.
        """

    async def store_flags(
        self,
        folder_id: int,
        uids: Sequence[int],
        action: FlagAction,
        flags: frozenset[str],
        unchanged_since: int | None = None,
    ) -> FlagResult:
        """Change flags. A message whose flags are as wished already keeps its ModSeq."""

    async def copy(
        self, folder_id: int, uids: Sequence[int], to: str, all_there: bool = False
    ) -> CopyResult:
        """
        Copy with flags and dates, all or none. ``NotFound`` (target), ``OverQuota``.

        What is gone is left out; with ``all_there`` that is a ``Conflict``.
        """

    async def move(
        self, folder_id: int, uids: Sequence[int], to: str, all_there: bool = False
    ) -> CopyResult:
        """Copy and expunge in one transaction (RFC 6851), like ``copy``; needs no quota."""

    async def expunge(self, folder_id: int, uids: Sequence[int] | None = None) -> ExpungeResult:
        """Remove messages that have \\Deleted; with ``uids`` only among them (UID EXPUNGE)."""

    async def remove(self, folder_id: int, uids: Sequence[int]) -> ExpungeResult:
        """Remove messages whatever their flags (POP3 QUIT)."""

    async def search(self, folder_id: int, key: Key) -> tuple[tuple[int, int], ...]:
        """(uid, modseq) of the matches in UID order."""

    async def changes(self, folder_id: int, since: int, claim_recent: bool = False) -> Changes:
        """What happened in the folder after ModSeq ``since``; \\Recent as with ``select``."""

    async def quota(self) -> Quota:
        """Octets used and allowed, kept incrementally."""

    async def check(self) -> tuple[str, ...]:
        """Every broken invariant, one sentence each."""


class MailboxStore(Protocol):
    """
    One encrypted mailbox per alias, and the sealed mail that waits for locked ones.

    Who replaces a mailbox first ends the one before (``settle``), then begins the next with a
    greater epoch (``create``). What was not begun last, or was ended, never counts again, however
    late somebody comes with it.
    """

    async def create(
        self, alias_id: AliasId, mailbox_key: bytes, epoch: int = 0, limit_octets: int = 0
    ) -> bytes:
        """
        A new mailbox with the default folders and this quota; returns its public sealing key.

        ``Conflict`` when the alias has, or had, one of this epoch or a later one.
        """

    async def unlock(
        self, alias_id: AliasId, mailbox_key: bytes, sealing_key: bytes = b""
    ) -> OpenMailbox:
        """
        Open, take in sealed mail. ``NotFound``, ``AuthenticationFailed``, ``SchemaTooNew``.

        With the sealing key of the same alias, whose mailbox does not open: ``Corrupt``, because
        the key is right. ``Missing``: its file is gone.
        """

    async def deliver(self, alias_id: AliasId, sealing_key: bytes, delivery: Delivery) -> None:
        """
        Durable when it returns: appended if this process has the mailbox open, else sealed.

        ``OverQuota`` (counting what waits sealed). The same delivery id twice is one message.
        ``Conflict`` when this is not, or no more, the key of the alias's mailbox.
        """

    async def set_quota(self, alias_id: AliasId, limit_octets: int) -> None:
        """The limit that append and deliver enforce; 0: none."""

    async def quota(self, alias_id: AliasId) -> Quota:
        """
        Octets used, of stored and sealed mail, and allowed, without needing a key; without a
        mailbox nothing of either.
        """

    async def used_octets(self, alias_id: AliasId) -> int:
        """Octets of stored and sealed mail, without needing a key; 0 if there is no mailbox."""

    async def usage(self) -> Mapping[AliasId, int]:
        """The same of every alias that has a mailbox."""

    async def settle(self, alias_id: AliasId, before: int, sealing_key: bytes = b"") -> None:
        """
        Remove what the alias has of epochs before this one, with everything sealed for it.

        The mailbox with this sealing key stays. Nothing that begins with an epoch before this one
        can be created afterwards. Idempotent.
        """

    async def aliases(self) -> frozenset[AliasId]:
        """Every alias of which there is a mailbox, or something left of one."""

    async def has_key(self, alias_id: AliasId, sealing_key: bytes) -> bool:
        """Does the alias's mailbox have this sealing key?"""

    async def check(self) -> tuple[str, ...]:
        """Broken invariants of what can be checked without keys, one sentence each."""
