"""
Reading ahead for clients that fetch one message after the other.

A store answers a batch in little more time than a single message, so when a client asks for
neighbors one by one, upwards or downwards, each read fetches a few more, twice as many every
time. Only what never changes is taken from these rows: flags come from the view, and \\Seen is
set when a message is asked for, never ahead.
"""

from collections.abc import Sequence
from typing import Final

from fe_mail.mailboxes.view import SelectedFolder
from fe_mail.model.mailbox import INLINE_BODY_OCTETS, FetchedMessage, Want
from fe_mail.ports import OpenMailbox

__all__ = ["ReadAhead"]

MAX_DEPTH: Final = 32  # messages of one read
MAX_KEPT_OCTETS: Final = 512 * 1024
ASSUMED_OCTETS: Final = 16 * 1024  # of a message whose size is not known yet


class ReadAhead:
    """The rows that a session may ask for next; each is given out once."""

    def __init__(self) -> None:
        self._rows: dict[int, FetchedMessage] = {}
        self._want = Want.NOTHING
        self._last = -2
        self._depth = 1

    def clear(self) -> None:
        """Forget the rows: the client does something else."""
        self._rows.clear()
        self._depth = 1

    async def fetch(
        self, mailbox: OpenMailbox, view: SelectedFolder, indexes: Sequence[int], want: Want
    ) -> tuple[FetchedMessage, ...]:
        """What ``OpenMailbox.fetch`` gives for these places of the view."""
        if len(indexes) != 1:
            self.clear()
            return await mailbox.fetch(view.folder.id, [view.uids[at] for at in indexes], want)
        index = indexes[0]
        step = index - self._last
        if want != self._want or step not in (1, -1):
            self.clear()
        self._want, self._last = want, index
        row = self._rows.pop(view.uids[index], None)
        if row is None:
            row = await self._read(mailbox, view, index, step)
        return () if row is None else (row,)

    async def _read(
        self, mailbox: OpenMailbox, view: SelectedFolder, index: int, step: int
    ) -> FetchedMessage | None:
        uids = [view.uids[at] for at in self._places(view, index, step)]
        self._depth = min(2 * self._depth, MAX_DEPTH)
        rows = {row.uid: row for row in await mailbox.fetch(view.folder.id, uids, self._want)}
        wanted = rows.pop(uids[0], None)
        kept = 0
        for uid in uids[1:]:
            row = rows.get(uid)
            if row is not None:
                kept += sum(map(len, (row.raw or b"", row.header or b"", row.fields or b"")))
                if kept > MAX_KEPT_OCTETS:
                    break
                self._rows[uid] = row
        return wanted

    def _places(self, view: SelectedFolder, index: int, step: int) -> list[int]:
        """This one and its neighbors in the client's direction, as far as they are small."""
        places = [index]
        octets = 0
        at = index + step
        while len(places) < self._depth and 0 <= at < len(view):
            known = view.size_and_date(at)
            size = known[0] if known else ASSUMED_OCTETS
            octets += size if Want.BODY in self._want and size <= INLINE_BODY_OCTETS else 0
            if octets > MAX_KEPT_OCTETS:
                break
            places.append(at)
            at += step
        return places
