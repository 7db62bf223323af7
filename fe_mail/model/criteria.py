"""
What a client searches for, before a folder's view resolves it to a ``Key`` for the store.

Only the leaves that need the view are classes of their own: message sequence numbers, UID sets
with ``*``, and \\Recent, which belongs to a session. Everything else is a ``Key`` already.
RFC 9051 §6.4.4.
"""

import attrs

from fe_mail.model.search import Key
from fe_mail.model.sequence import SequenceSet

__all__ = ["BothOf", "Criterion", "EitherOf", "InSequence", "InUIDSet", "NoneOf", "Plain", "Recent"]


@attrs.frozen
class Plain:
    """A key that means the same in every session."""

    key: Key


@attrs.frozen
class InSequence:
    """The message's sequence number is in the set."""

    numbers: SequenceSet


@attrs.frozen
class InUIDSet:
    """The message's UID is in the set."""

    uids: SequenceSet


@attrs.frozen
class Recent:
    """This session is the first to see the message (RFC 3501 §2.3.2)."""


@attrs.frozen
class BothOf:
    """All of them."""

    criteria: tuple["Criterion", ...]


@attrs.frozen
class EitherOf:
    """One of the two."""

    left: "Criterion"
    right: "Criterion"


@attrs.frozen
class NoneOf:
    """The opposite."""

    criterion: "Criterion"


Criterion = Plain | InSequence | InUIDSet | Recent | BothOf | EitherOf | NoneOf
