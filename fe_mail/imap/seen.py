"""
\\Seen of messages that a client reads one by one, written behind its back.

A commit for every message would cost ten times as much as reading it. So one write runs at a
time, what is read meanwhile shares the next, and nobody waits: the client is told at once. Every
other command of the session begins when all of it is stored (``settled``). What cannot be stored is
taken back. That, and what other sessions did to the flags meanwhile, is told there: never by the
write, which may end while a FETCH is in the middle of a literal. RFC 9051 §6.4.5 (the flag is set
implicitly).
"""

from collections.abc import Callable, Sequence
from typing import Final

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from fe_mail.mailboxes.view import SelectedFolder
from fe_mail.model.errors import MailError
from fe_mail.model.mailbox import FlagAction
from fe_mail.ports import OpenMailbox

__all__ = ["SEEN", "Seen"]

SEEN: Final = frozenset({"\\Seen"})


class Seen:
    """Of one selected folder; ``advance`` is told of what was stored, ``tell`` of what was not."""

    log = Logger()

    def __init__(
        self,
        mailbox: OpenMailbox,
        view: SelectedFolder,
        advance: Callable[[int, int], None],
        tell: Callable[[int], None],
    ) -> None:
        self._mailbox = mailbox
        self._view = view
        self._advance = advance
        self._tell = tell
        self._waiting: list[int] = []
        self._is_writing = False
        self._settled: list[Deferred[None]] = []
        self._untold: dict[int, None] = {}  # UIDs whose flags are not what was told

    def mark(self, uids: Sequence[int]) -> None:
        """These messages were read: the view has the flag from now on."""
        for uid in uids:
            self._expect(uid, is_seen=True)
        self._waiting += uids
        if not self._is_writing:
            writing = Deferred.fromCoroutine(self._write())
            writing.addErrback(lambda failure: self.log.failure("\\Seen was not stored", failure))

    async def settled(self, tell: bool = True) -> None:
        """Wait until all of it is stored, or never will be; tells news, so not in a response."""
        if self._is_writing:
            done: Deferred[None] = Deferred()
            self._settled.append(done)
            await done
        if tell:
            self._tell_news()

    def _tell_news(self) -> None:
        untold, self._untold = self._untold, {}
        for uid in untold:
            index = self._view.index_of(uid)
            if index is not None:
                self._tell(index)

    async def _write(self) -> None:
        self._is_writing = True
        try:
            while self._waiting:
                uids, self._waiting = self._waiting, []
                await self._store(uids)
        finally:
            self._is_writing = False
            settled, self._settled = self._settled, []
            for done in settled:
                done.callback(None)

    async def _store(self, uids: Sequence[int]) -> None:
        view = self._view
        try:
            result = await self._mailbox.store_flags(view.folder.id, uids, FlagAction.ADD, SEEN)
        except MailError as error:
            self.log.warn("\\Seen was not stored: {reason}", reason=error.message)
            self._take_back(uids)
            return
        except Exception:  # of ours; what waits has its own try
            self.log.failure("\\Seen was not stored")
            self._take_back(uids)
            return
        for uid, flags, modseq in result.changed:
            index = view.index_of(uid)
            if index is None:
                continue
            if flags != view.flags_of(index):
                self._untold[uid] = None
            view.set_flags(index, flags, modseq)
        self._advance(result.since, result.modseq)

    def _take_back(self, uids: Sequence[int]) -> None:
        for uid in uids:
            self._expect(uid, is_seen=False)
            self._untold[uid] = None

    def _expect(self, uid: int, is_seen: bool) -> None:
        index = self._view.index_of(uid)
        if index is None:
            return
        flags = self._view.flags_of(index)
        self._view.expect_flags(index, flags | SEEN if is_seen else flags - SEEN)
