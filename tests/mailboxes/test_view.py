"""Tests of fe_mail.mailboxes.view and search."""

import math
from array import array

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from fe_mail.mailboxes.search import resolve, test_in_view, weight
from fe_mail.mailboxes.view import NoSuchMessage, SelectedFolder
from fe_mail.model.criteria import (
    BothOf,
    Criterion,
    EitherOf,
    InSequence,
    InUIDSet,
    NoneOf,
    Plain,
    Recent,
)
from fe_mail.model.mailbox import Changes, Folder, FolderView
from fe_mail.model.search import All, And, Flagged, InUIDs, ModSeqSince, Not, Or, TextContains
from fe_mail.model.sequence import STAR, SequenceSet

__all__ = ["Counted", "SearchTests", "ViewTests"]

SEEN = frozenset({"\\Seen"})
NONE: frozenset[str] = frozenset()


def view(uids: list[int], flags: frozenset[str] = NONE) -> SelectedFolder:
    """A view of these messages, each with its UID as mod-sequence."""
    return SelectedFolder(
        FolderView(
            folder=Folder(id=1, name="INBOX", uidvalidity=1),
            uidnext=(uids[-1] if uids else 0) + 1,
            highest_modseq=uids[-1] if uids else 1,
            uids=array("I", uids),
            flags=array("I", [0] * len(uids)),
            flag_sets=(flags,),
            modseqs=array("Q", uids),
            recent_from=uids[-1] if uids else 1,
        )
    )


def sequence(*ranges: tuple[int, int]) -> SequenceSet:
    """Short for tests."""
    return SequenceSet(ranges)


class Counted(int):
    """A number that counts how often it is compared."""

    comparisons = 0

    def __lt__(self, other: int) -> bool:
        Counted.comparisons += 1
        return super().__lt__(other)

    def __le__(self, other: int) -> bool:
        Counted.comparisons += 1
        return super().__le__(other)

    def __gt__(self, other: int) -> bool:
        Counted.comparisons += 1
        return super().__gt__(other)

    def __ge__(self, other: int) -> bool:
        Counted.comparisons += 1
        return super().__ge__(other)


class ViewTests(SynchronousTestCase):
    """Numbers, UIDs, changes."""

    def test_numbers(self) -> None:
        """Ranges in any order, overlapping, with stars."""
        folder = view([10, 20, 30, 40])
        self.assertEqual(folder.resolve(sequence((2, 1), (STAR, 4), (2, 3)), False), [range(4)])
        self.assertEqual(folder.resolve(sequence((3, STAR)), False), [range(2, 4)])
        self.assertRaises(NoSuchMessage, folder.resolve, sequence((4, 5)), False)
        self.assertRaises(NoSuchMessage, view([]).resolve, sequence((STAR, STAR)), False)

    def test_uids(self) -> None:
        """UIDs that do not exist are left out; a star is the last message, even below."""
        folder = view([10, 20, 30, 40])
        self.assertEqual(folder.resolve(sequence((15, 30), (99, 99)), True), [range(1, 3)])
        self.assertEqual(folder.resolve(sequence((500, STAR)), True), [range(3, 4)])
        self.assertEqual(view([]).resolve(sequence((1, STAR)), True), [])

    @settings(max_examples=100, deadline=None)
    @given(
        st.sets(st.integers(1, 60), min_size=1),
        st.lists(st.tuples(st.integers(0, 70), st.integers(0, 70)), min_size=1, max_size=5),
    )
    def test_uids_like_a_list(self, uids: set[int], ranges: list[tuple[int, int]]) -> None:
        """The ranges hold exactly the messages that a plain loop would find."""
        ordered = sorted(uids)
        folder = view(ordered)
        wanted = set()
        for low, high in ranges:
            first, last = sorted((low or ordered[-1], high or ordered[-1]))
            wanted |= {uid for uid in ordered if first <= uid <= last}
        self.assertEqual(
            folder.uids_of(folder.resolve(SequenceSet(tuple(ranges)), True)), sorted(wanted)
        )

    def test_changes(self) -> None:
        """New messages, new flags, keywords, and what is known already."""
        folder = view([10, 20])
        refresh = folder.apply(
            Changes(
                modseq=50,
                uidnext=31,
                recent_from=30,
                messages=((10, NONE, 10), (20, frozenset({"$Work"}), 45), (30, SEEN, 50)),
            )
        )
        self.assertTrue(refresh.exists)
        self.assertTrue(refresh.new_keywords)
        self.assertEqual(refresh.changed, (1,))
        self.assertEqual(list(folder.uids), [10, 20, 30])
        self.assertEqual((folder.modseq, folder.uidnext), (50, 31))
        self.assertEqual(folder.recent_count, 2)

    def test_recent(self) -> None:
        """What others were told of in between is not this session's."""
        folder = view([10, 20])
        folder.apply(Changes(modseq=50, uidnext=31, recent_from=31, messages=((30, NONE, 50),)))
        folder.apply(Changes(modseq=51, uidnext=41, recent_from=31, messages=((40, NONE, 51),)))
        self.assertEqual([uid for uid in folder.uids if folder.is_recent(uid)], [20, 40])
        self.assertEqual(folder.recent_count, 2)
        self.assertEqual(folder.recent_uids, (range(20, 21), range(31, 41)))
        folder.apply(Changes(modseq=52, uidnext=42, recent_from=41))
        self.assertEqual(folder.recent_uids, (range(20, 21), range(31, 42)))

    def test_vanished_keep_their_place(self) -> None:
        """Until the client is told; then the numbers go from the highest down."""
        folder = view([10, 20, 30, 40])
        folder.apply(Changes(modseq=50, uidnext=41, vanished=(10, 30, 35)))
        self.assertEqual(len(folder), 4)
        self.assertTrue(folder.is_vanished(10))
        self.assertEqual(folder.uids_of([range(4)]), [20, 40])
        self.assertEqual(folder.take_vanished(), [3, 1])
        self.assertEqual(list(folder.uids), [20, 40])
        self.assertEqual(folder.take_vanished(), [])

    @settings(max_examples=50, deadline=None)
    @given(st.sets(st.integers(1, 400), min_size=1), st.sets(st.integers(1, 400)))
    def test_vanishing_like_a_list(self, uids: set[int], gone: set[int]) -> None:
        """Removing by the told numbers gives what the view has."""
        client = sorted(uids)
        folder = view(client.copy())
        folder.vanish(sorted(gone))
        for number in folder.take_vanished():
            del client[number - 1]
        self.assertEqual(list(folder.uids), client)
        self.assertEqual(len(folder.flags), len(client))

    def test_gone(self) -> None:
        """A deleted folder is remembered as gone."""
        folder = view([1])
        folder.apply(Changes(modseq=2, uidnext=2, gone=True))
        self.assertTrue(folder.is_gone)

    def test_old_news(self) -> None:
        """A change with a smaller mod-sequence than we know is none."""
        folder = view([10])
        self.assertTrue(folder.set_flags(0, SEEN, 20))
        self.assertFalse(folder.set_flags(0, NONE, 15))
        self.assertEqual(folder.flags_of(0), SEEN)

    def test_sizes(self) -> None:
        """What was told once is remembered, also when places change."""
        folder = view([10, 20])
        self.assertIsNone(folder.size_and_date(1))
        folder.remember(1, 0, 5.5)
        folder.vanish([10])
        folder.take_vanished()
        self.assertEqual(folder.size_and_date(0), (0, 5.5))


class SearchTests(SynchronousTestCase):
    """Criteria over the view and for the store."""

    CRITERION = BothOf(
        (
            EitherOf(InSequence(sequence((1, 2))), InUIDSet(sequence((40, STAR)))),
            NoneOf(Recent()),
            Plain(All()),
        )
    )

    def test_resolve(self) -> None:
        """Numbers and \\Recent become UIDs; the rest stays."""
        self.assertEqual(
            resolve(self.CRITERION, view([10, 20, 30, 40])),
            And(
                (
                    Or(InUIDs(((10, 20),)), InUIDs(((40, 40),))),
                    Not(InUIDs(((40, 40),))),
                    All(),
                )
            ),
        )

    def test_match_in_view(self) -> None:
        """The view answers what it can."""
        folder = view([10, 20, 30, 40], SEEN)
        folder.set_flags(1, frozenset({"$Work"}), 50)
        folder.learn_keywords(frozenset({"$Work"}))
        cases: list[tuple[Criterion, list[int] | None]] = [
            (self.CRITERION, [0, 1]),
            (Plain(Flagged("\\Seen")), [0, 2, 3]),
            (Plain(Flagged("$wORK")), [1]),
            (NoneOf(Plain(Flagged("$none"))), [0, 1, 2, 3]),
            (Plain(ModSeqSince(40)), [1, 3]),
            (Recent(), [3]),
            (InUIDSet(sequence((10, 10), (30, 30))), [0, 2]),
            (Plain(TextContains("x")), None),
            (BothOf((Plain(All()), NoneOf(Plain(TextContains("x"))))), None),
            (EitherOf(Plain(All()), Plain(TextContains("x"))), None),
        ]
        for criterion, expected in cases:
            test = test_in_view(criterion, folder)
            found = None if test is None else list(filter(test, range(len(folder))))
            self.assertEqual(found, expected, criterion)

    def test_weight(self) -> None:
        """Every key counts, so that a pause comes in time."""
        self.assertEqual(weight(self.CRITERION), 7)
        self.assertEqual(weight(Plain(All())), 1)

    def test_single_uids_cost_little(self) -> None:
        """Membership of a set of single UIDs is bisected, in the view and out of it."""
        count = 4_000
        uids = range(1, 2 * count, 2)
        folder = view(list(uids))
        single = SequenceSet(tuple((Counted(uid), Counted(uid)) for uid in uids if uid % 3))
        Counted.comparisons = 0
        test = test_in_view(NoneOf(InUIDSet(single)), folder)
        assert test is not None
        found = list(filter(test, range(count)))
        self.assertEqual([folder.uids[index] for index in found], [u for u in uids if not u % 3])
        self.assertLess(Counted.comparisons, 4 * count * math.log2(count))
