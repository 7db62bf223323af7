"""
``fe_mail.ports.OpenMailbox`` on an encrypted file: each method is one function in one transaction.
"""

from collections.abc import Callable, Sequence

import attrs

from fe_mail.adapters.mailbox_rules import INBOX, check_size, folder_name, wanted_folder
from fe_mail.adapters.sqlite.mailbox import fetching, folders, searching
from fe_mail.adapters.sqlite.mailbox import messages as mail
from fe_mail.adapters.sqlite.mailbox.checking import broken_invariants
from fe_mail.adapters.sqlite.mailbox.file import MailboxFile
from fe_mail.adapters.sqlite.mailbox.records import SQLiteRecords
from fe_mail.adapters.sqlite.mailbox.transaction import Transaction
from fe_mail.model.errors import Locked, MailError, NotFound
from fe_mail.model.ids import AliasId
from fe_mail.model.mailbox import (
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

__all__ = ["SQLiteOpenMailbox"]


class SQLiteOpenMailbox:
    """One handle on a file that many sessions may share; ``Locked`` after ``close``."""

    def __init__(self, file: MailboxFile, closed: Callable[[], None]) -> None:
        self._shared: MailboxFile | None = file
        self._alias_id = file.alias_id
        self._tell_closed = closed

    @property
    def alias_id(self) -> AliasId:
        """Whose mailbox this is."""
        return self._alias_id

    @property
    def _file(self) -> MailboxFile:
        if self._shared is None:
            raise Locked
        return self._shared

    @property
    def records(self) -> SQLiteRecords:
        """Calendars, contacts and the like, beside the messages."""
        return SQLiteRecords(lambda: self._file)

    def close(self) -> None:
        """Give the handle back; the last one closes the file after a while."""
        if self._shared is not None:
            self._shared = None
            self._tell_closed()

    async def take_in(self) -> int:
        """Move sealed mail into its folders; returns how many. Idempotent."""
        return await self._file.take_in()

    async def folders(self) -> tuple[Folder, ...]:
        """All folders, by name, INBOX first."""
        return await self._file.read(folders.everything)

    async def status(self, names: Sequence[str]) -> tuple[FolderStatus, ...]:
        """Counts of the named folders; those that do not exist are left out."""

        def work(tx: Transaction) -> tuple[FolderStatus, ...]:
            found = (folders.status(tx, name) for name in names)
            return tuple(status for status in found if status is not None)

        return await self._file.read(work)

    async def create_folder(self, name: str, special_use: str = "") -> Folder:
        """Create with missing parents. ``AlreadyExists``, ``Invalid``, ``TooBig`` (count)."""
        return await self._file.write(lambda tx: folders.create(tx, name, special_use))

    async def delete_folder(self, name: str) -> None:
        """Delete with its messages; one with children stays as \\Noselect. Not INBOX."""
        await self._file.write(lambda tx: folders.delete(tx, name))

    async def rename_folder(self, old: str, new: str) -> None:
        """Rename with children; INBOX gives its messages away and stays (RFC 9051 §6.3.6)."""
        old, new = wanted_folder(old), folder_name(new.removesuffix("/"))
        if old == INBOX:
            await self._file.write(lambda tx: mail.rename_inbox(tx, new))
        else:
            await self._file.write(lambda tx: folders.rename(tx, old, new))

    async def subscriptions(self) -> tuple[str, ...]:
        """Every name that is subscribed, also of folders that are gone, INBOX first."""
        return await self._file.read(folders.subscriptions)

    async def subscribe_folder(self, name: str, subscribed: bool) -> None:
        """Set the subscription. ``NotFound`` for one of a folder that never was."""
        await self._file.write(lambda tx: folders.subscribe(tx, name, subscribed))

    async def select(self, name: str, claim_recent: bool = True) -> FolderView:
        """Everything a session needs to begin. ``NotFound``."""
        file = self._file
        view = await file.read(lambda tx: folders.select(tx, name, file.flagsets))
        if not claim_recent or not view.recent:
            return view
        claimed = await self._claim(view.folder.id, view.recent_from, view.uidnext)
        return attrs.evolve(view, recent_from=claimed)

    async def _claim(self, folder_id: int, recent_from: int, uidnext: int) -> int:
        """From which UID on nobody was quicker; a full disk must not keep people from reading."""
        try:
            return await self._file.write(lambda tx: folders.claim_recent(tx, folder_id, uidnext))
        except NotFound:
            raise
        except MailError:
            return recent_from

    async def append(self, name: str, messages: Sequence[NewMessage]) -> Appended:
        """Append all or none, in order. ``NotFound``, ``OverQuota``, ``TooBig``."""
        check_size(len(message.raw) for message in messages)
        prepared = await self._file.prepare(messages)
        return await self._file.write(lambda tx: mail.append(tx, name, prepared))

    async def fetch(
        self, folder_id: int, uids: Sequence[int], want: Want
    ) -> tuple[FetchedMessage, ...]:
        """The messages that exist and can be read as wanted, in UID order."""
        file = self._file
        return await file.read(lambda tx: fetching.fetch(tx, folder_id, uids, want, file.flagsets))

    async def read(self, folder_id: int, uid: int, start: int, end: int) -> bytes:
        """Raw octets ``start:end`` of a message (clipped). ``NotFound``, ``Corrupt``."""
        return await self._file.read(lambda tx: fetching.read(tx, folder_id, uid, start, end))

    async def store_flags(
        self,
        folder_id: int,
        uids: Sequence[int],
        action: FlagAction,
        flags: frozenset[str],
        unchanged_since: int | None = None,
    ) -> FlagResult:
        """Change flags. A message whose flags are as wished already keeps its ModSeq."""
        return await self._file.write(
            lambda tx: mail.store_flags(tx, folder_id, uids, action, flags, unchanged_since)
        )

    async def copy(
        self, folder_id: int, uids: Sequence[int], to: str, all_there: bool = False
    ) -> CopyResult:
        """Copy with flags and dates, all or none. ``NotFound``, ``OverQuota``, ``Conflict``."""
        return await self._file.write(lambda tx: mail.copy(tx, folder_id, uids, to, all_there))

    async def move(
        self, folder_id: int, uids: Sequence[int], to: str, all_there: bool = False
    ) -> CopyResult:
        """Copy and expunge in one transaction (RFC 6851); needs no quota."""
        return await self._file.write(lambda tx: mail.move(tx, folder_id, uids, to, all_there))

    async def expunge(self, folder_id: int, uids: Sequence[int] | None = None) -> ExpungeResult:
        """Remove messages that have \\Deleted; with ``uids`` only among them (UID EXPUNGE)."""
        return await self._file.write(lambda tx: mail.expunge(tx, folder_id, uids))

    async def remove(self, folder_id: int, uids: Sequence[int]) -> ExpungeResult:
        """Remove messages whatever their flags (POP3 QUIT)."""
        return await self._file.write(lambda tx: mail.remove(tx, folder_id, uids))

    async def search(self, folder_id: int, key: Key) -> tuple[tuple[int, int], ...]:
        """(uid, modseq) of the matches in UID order."""
        file = self._file
        return await file.read(lambda tx: searching.search(tx, folder_id, key, file.flagsets))

    async def changes(self, folder_id: int, since: int, claim_recent: bool = False) -> Changes:
        """What happened in the folder after ModSeq ``since``; \\Recent as with ``select``."""
        file = self._file
        nothing = file.nothing_new(folder_id, since)
        if nothing is not None:
            return nothing
        found = await file.read(lambda tx: mail.changes(tx, folder_id, since, file.flagsets))
        if not claim_recent or found.recent_from >= found.uidnext:
            return found
        claimed = await self._claim(folder_id, found.recent_from, found.uidnext)
        return attrs.evolve(found, recent_from=claimed)

    async def quota(self) -> Quota:
        """Octets used and allowed, kept incrementally."""
        await self._file.refresh_limit()
        return await self._file.read(mail.quota)

    async def check(self) -> tuple[str, ...]:
        """Every broken invariant, one sentence each."""
        return await self._file.read(broken_invariants)
