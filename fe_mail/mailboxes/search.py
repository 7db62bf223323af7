"""
Searching a selected folder: what the view knows is answered here, the rest by the store.

``resolve`` turns a criterion into a key for the store, with sequence numbers and \\Recent
replaced by UIDs. ``test_in_view`` answers criteria over flags, numbers and mod-sequences alone
(UNSEEN, DELETED, UID 1:*), which is most of what clients ask, without touching the store.
RFC 9051 §6.4.4. Knows no protocol.
"""

from bisect import bisect_right
from collections.abc import Callable

from fe_mail.mailboxes.view import SelectedFolder
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
from fe_mail.model.search import All, And, Flagged, InUIDs, Key, ModSeqSince, Not, Or
from fe_mail.model.sequence import SequenceSet

__all__ = ["Test", "resolve", "test_in_view", "weight"]

Test = Callable[[int], bool]  # of an index in the view


def resolve(criterion: Criterion, view: SelectedFolder) -> Key:
    """The key that the store understands. ``NoSuchMessage`` for a number beyond the end."""
    if isinstance(criterion, Plain):
        return criterion.key
    if isinstance(criterion, InSequence):
        return _in_view(criterion.numbers, view, uid=False)
    if isinstance(criterion, InUIDSet):
        return _in_view(criterion.uids, view, uid=True)
    if isinstance(criterion, Recent):
        return InUIDs(tuple((span.start, span.stop - 1) for span in view.recent_uids))
    if isinstance(criterion, BothOf):
        return And(tuple(resolve(each, view) for each in criterion.criteria))
    if isinstance(criterion, EitherOf):
        return Or(resolve(criterion.left, view), resolve(criterion.right, view))
    return Not(resolve(criterion.criterion, view))


def _in_view(numbers: SequenceSet, view: SelectedFolder, uid: bool) -> InUIDs:
    spans = view.resolve(numbers, uid)
    return InUIDs(tuple((view.uids[span.start], view.uids[span.stop - 1]) for span in spans))


def weight(criterion: Criterion) -> int:
    """How many keys are looked at for each message, at most."""
    if isinstance(criterion, BothOf):
        return 1 + sum(map(weight, criterion.criteria))
    if isinstance(criterion, EitherOf):
        return 1 + weight(criterion.left) + weight(criterion.right)
    return 1 + weight(criterion.criterion) if isinstance(criterion, NoneOf) else 1


def test_in_view(criterion: Criterion, view: SelectedFolder) -> Test | None:
    """Says of an index whether its message matches; None if the store has to be asked."""
    if isinstance(criterion, Plain):
        return _plain_test(criterion.key, view)
    if isinstance(criterion, InSequence):
        return _set_test(view.resolve(criterion.numbers, uid=False))
    if isinstance(criterion, InUIDSet):
        return _set_test(view.resolve(criterion.uids, uid=True))
    if isinstance(criterion, Recent):
        return lambda index: view.is_recent(view.uids[index])
    if isinstance(criterion, NoneOf):
        inner = test_in_view(criterion.criterion, view)
        return None if inner is None else lambda index: not inner(index)
    if isinstance(criterion, EitherOf):
        left = test_in_view(criterion.left, view)
        right = test_in_view(criterion.right, view)
        if left is None or right is None:
            return None
        return lambda index: left(index) or right(index)
    return _all_test([test_in_view(each, view) for each in criterion.criteria])


def _all_test(tests: list[Test | None]) -> Test | None:
    known = [test for test in tests if test is not None]
    if len(known) < len(tests):
        return None
    return lambda index: all(test(index) for test in known)


def _set_test(spans: list[range]) -> Test:
    if len(spans) == 1:
        return spans[0].__contains__
    # Bisected, not spelled out: a command can name a big folder thousands of times.
    starts = [span.start for span in spans]

    def is_within(index: int) -> bool:
        at = bisect_right(starts, index) - 1
        return at >= 0 and index < spans[at].stop

    return is_within


def _plain_test(key: Key, view: SelectedFolder) -> Test | None:
    if isinstance(key, All):
        return lambda index: True
    if isinstance(key, ModSeqSince):
        return lambda index: view.modseqs[index] >= key.modseq
    if isinstance(key, Flagged):
        wanted = key.flag.lower()
        if wanted.startswith("\\"):
            having = {at for at, flags in enumerate(view.flag_sets) if key.flag in flags}
        else:
            spellings = {flag for flag in view.keywords if flag.lower() == wanted}
            sets = enumerate(view.flag_sets)
            having = {at for at, flags in sets if not spellings.isdisjoint(flags)}
        return lambda index: view.flags[index] in having
    return None
