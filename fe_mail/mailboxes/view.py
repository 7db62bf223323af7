"""
A selected folder as one session sees it: sequence numbers, UIDs, flags, mod-sequences.

Invariants: ``uids`` ascends; the message with sequence number n stands at index n - 1 of every
array; a message keeps its place until the client has been told of its EXPUNGE
(``take_vanished``), although the store lost it long ago. ``modseq`` is the store's state up to
which everything has been applied: a later change of our own may be in the arrays already.
Equal flags are one set, and messages have its place in ``flag_sets``. 100,000 messages need
1.6 MB, and 1.2 MB more when their sizes and dates were asked for.

RFC 9051 §2.3.1, §7.5.1 (when EXPUNGE may be told); RFC 7162 (mod-sequences). Knows no protocol.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from itertools import compress

import attrs

from fe_mail.model.errors import Invalid
from fe_mail.model.mailbox import Changes, Folder, FolderView
from fe_mail.model.sequence import SequenceSet

__all__ = ["NoSuchMessage", "Refresh", "SelectedFolder"]

UNKNOWN_SIZE = 2**32 - 1


class NoSuchMessage(Invalid):
    """A sequence number beyond the last message."""

    default = "There is no message of this number."


@attrs.frozen
class Refresh:
    """What a client has to be told: indexes whose flags changed, and whether more arrived."""

    exists: bool = False
    changed: tuple[int, ...] = ()
    new_keywords: bool = False


class SelectedFolder:
    """The view. ``read_only`` after EXAMINE."""

    def __init__(self, view: FolderView, read_only: bool = False) -> None:
        self.folder: Folder = view.folder
        self.read_only = read_only
        self.uidnext = view.uidnext
        self.modseq = view.highest_modseq
        self.uids = view.uids
        self.flags = view.flags
        self.flag_sets = list(view.flag_sets)
        self.modseqs = view.modseqs
        self._recent: list[range] = []  # of UIDs, ascending and disjoint
        self.keywords: set[str] = set()
        self._places = {flags: place for place, flags in enumerate(self.flag_sets)}
        self._sizes = array("I")  # empty, like the dates, until something is remembered
        self._dates = array("d")
        self._vanished: set[int] = set()
        self.is_gone = False
        self._learn(self.flag_sets)
        self._claim(view.recent_from, view.uidnext)

    def __len__(self) -> int:
        return len(self.uids)

    @property
    def has_vanished(self) -> bool:
        """Messages are gone that the client has not been told of."""
        return bool(self._vanished)

    def flags_of(self, index: int) -> frozenset[str]:
        """The flags of one message."""
        return self.flag_sets[self.flags[index]]

    @property
    def recent_count(self) -> int:
        """How many messages this session is the first to see."""
        spans = self._recent
        return sum(
            bisect_left(self.uids, span.stop) - bisect_left(self.uids, span.start) for span in spans
        )

    @property
    def recent_uids(self) -> tuple[range, ...]:
        """Ranges of UIDs that this session is the first to see (RFC 3501 §2.3.2)."""
        return tuple(self._recent)

    def is_recent(self, uid: int) -> bool:
        """Is this session the first to see a message?"""
        at = bisect_right(self._recent, uid, key=lambda span: span.start) - 1
        return at >= 0 and uid < self._recent[at].stop

    def _claim(self, start: int, stop: int) -> None:
        """These UIDs are this session's; it is told in ascending order."""
        if start >= stop:
            return
        if self._recent and start <= self._recent[-1].stop:
            start = min(start, self._recent.pop().start)
        self._recent.append(range(start, stop))

    def index_of(self, uid: int) -> int | None:
        """Where a message stands, None if it is not in the view."""
        index = bisect_left(self.uids, uid)
        return index if index < len(self.uids) and self.uids[index] == uid else None

    def resolve(self, numbers: SequenceSet, uid: bool) -> list[range]:
        """
        Ranges of indexes, ascending and disjoint.

        UIDs that do not exist are left out; ``NoSuchMessage`` for such sequence numbers.
        """
        spans = self._uid_spans(numbers) if uid else self._number_spans(numbers)
        return _disjoint(spans)

    def _number_spans(self, numbers: SequenceSet) -> Iterator[tuple[int, int]]:
        count = len(self.uids)
        for low, high in numbers.ranges:
            first, last = sorted((low or count, high or count))
            if first < 1 or last > count:
                raise NoSuchMessage
            yield first - 1, last

    def _uid_spans(self, numbers: SequenceSet) -> Iterator[tuple[int, int]]:
        highest = self.uids[-1] if self.uids else 0
        for low, high in numbers.ranges:
            if not highest:
                return
            first, last = sorted((low if low else highest, high if high else highest))
            yield bisect_left(self.uids, first), bisect_right(self.uids, last)

    def uids_of(self, ranges: Iterable[range]) -> list[int]:
        """The UIDs at these indexes, ascending, without those that vanished."""
        uids: list[int] = []
        for span in ranges:
            uids.extend(self.uids[span.start : span.stop])
        if self._vanished:
            return [uid for uid in uids if uid not in self._vanished]
        return uids

    def first_unseen(self) -> int | None:
        """The sequence number of the first message without \\Seen."""
        unseen = {place for flags, place in self._places.items() if "\\Seen" not in flags}
        found = (number for number, place in enumerate(self.flags, 1) if place in unseen)
        return next(found, None)

    def apply(self, changes: Changes) -> Refresh:
        """Take over what happened in the store; what vanished waits for ``take_vanished``."""
        changed: list[int] = []
        before = len(self.uids)
        for uid, flags, modseq in changes.messages:
            if not self.uids or uid > self.uids[-1]:
                self._add(uid, flags, modseq)
            else:
                index = self.index_of(uid)
                if index is not None and self.set_flags(index, flags, modseq):
                    changed.append(index)
        self.vanish(changes.vanished)
        if changes.present is not None:
            self.vanish(set(self.uids).difference(changes.present))
        self.modseq = max(self.modseq, changes.modseq)
        self.uidnext = max(self.uidnext, changes.uidnext)
        self._claim(changes.recent_from, changes.uidnext)
        self.is_gone = self.is_gone or changes.gone
        learned = self._learn(flags for _, flags, _ in changes.messages)
        return Refresh(len(self.uids) > before, tuple(changed), learned)

    def advance(self, since: int, modseq: int) -> bool:
        """
        Note a change of the session's own, from ModSeq ``since`` to ``modseq``.

        Who knew ``since`` has missed nothing. Who did not must look into the store, and the look
        has to begin where the view was: False. The same holds for what changed nothing.
        """
        if since > self.modseq:
            return False
        self.modseq = max(self.modseq, modseq)
        return True

    def _add(self, uid: int, flags: frozenset[str], modseq: int) -> None:
        self.uids.append(uid)
        self.flags.append(self._place(flags))
        self.modseqs.append(modseq)
        if self._sizes:
            self._sizes.append(UNKNOWN_SIZE)
            self._dates.append(0.0)

    def _place(self, flags: frozenset[str]) -> int:
        place = self._places.setdefault(flags, len(self.flag_sets))
        if place == len(self.flag_sets):
            self.flag_sets.append(flags)
        return place

    def set_flags(self, index: int, flags: frozenset[str], modseq: int) -> bool:
        """Set flags and mod-sequence of one message; False if it is known already."""
        if modseq <= self.modseqs[index]:
            return False
        self.modseqs[index] = modseq
        self.flags[index] = self._place(flags)
        return True

    def expect_flags(self, index: int, flags: frozenset[str]) -> None:
        """The flags that a message will have when a change of our own is stored."""
        self.flags[index] = self._place(flags)

    def learn_keywords(self, flags: frozenset[str]) -> bool:
        """Remember keywords in use; True if one is new."""
        return self._learn((flags,))

    def _learn(self, sets: Iterable[frozenset[str]]) -> bool:
        before = len(self.keywords)
        for flags in set(sets):
            self.keywords.update(flag for flag in flags if not flag.startswith("\\"))
        return len(self.keywords) > before

    def vanish(self, uids: Iterable[int]) -> None:
        """Note that messages are gone."""
        self._vanished.update(uid for uid in uids if self.index_of(uid) is not None)

    def take_vanished(self) -> list[int]:
        """
        Remove what vanished; the sequence numbers, from the highest down, so that each is right
        at the moment it is told.
        """
        indexes = [index for uid in self._vanished if (index := self.index_of(uid)) is not None]
        indexes.sort(reverse=True)
        if len(indexes) > 100:
            self._rebuild(set(indexes))
        else:
            for index in indexes:
                del self.uids[index], self.flags[index], self.modseqs[index]
                if self._sizes:
                    del self._sizes[index], self._dates[index]
        self._vanished.clear()
        return [index + 1 for index in indexes]

    def _rebuild(self, gone: set[int]) -> None:
        keep = [index not in gone for index in range(len(self.uids))]
        self.uids = array("I", compress(self.uids, keep))
        self.flags = array("I", compress(self.flags, keep))
        self.modseqs = array("Q", compress(self.modseqs, keep))
        if self._sizes:
            self._sizes = array("I", compress(self._sizes, keep))
            self._dates = array("d", compress(self._dates, keep))

    def is_vanished(self, uid: int) -> bool:
        """The store lost this message and the client does not know yet."""
        return uid in self._vanished

    def remember(self, index: int, size_octets: int, received_at: float) -> None:
        """Keep what never changes, so that the next FETCH of it needs no store."""
        if not self._sizes:
            self._sizes = array("I", [UNKNOWN_SIZE]) * len(self.uids)
            self._dates = array("d", bytes(8 * len(self.uids)))
        self._sizes[index] = size_octets
        self._dates[index] = received_at

    def size_and_date(self, index: int) -> tuple[int, float] | None:
        """What ``remember`` was told, None if nothing."""
        size = self._sizes[index] if self._sizes else UNKNOWN_SIZE
        return None if size == UNKNOWN_SIZE else (size, self._dates[index])


def _disjoint(spans: Iterable[tuple[int, int]]) -> list[range]:
    merged: list[list[int]] = []
    for start, stop in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1][1] = max(merged[-1][1], stop)
        elif start < stop:
            merged.append([start, stop])
    return [range(start, stop) for start, stop in merged]
