"""
Where an address goes: the answer that RCPT, the queue, the web UI, the API and the CLI share.

A route is a tree of steps. The first is the address that was asked about, each other was named by
the one before it; targets and dead ends say at which step they are. So whoever shows a route can
leave out what the reader has no business to know: where the aliases of other people lead.
"""

import enum
from collections.abc import Callable

import attrs

from fe_mail.model.account import Domain
from fe_mail.model.queue import Target
from fe_mail.model.status import Status

__all__ = ["Cause", "DeadEnd", "Route", "Shown", "Step"]


class Cause(enum.Enum):
    """Why nothing is delivered at the end of a way."""

    UNKNOWN = "unknown"  # nobody of this name in a hosted domain
    LOOP = "loop"  # back to an address that was passed on this way
    TOO_DEEP = "too-deep"
    TOO_MANY = "too-many"  # targets or look-ups
    DISABLED = "disabled"  # refused, now or for good
    DROPPED = "dropped"  # disabled: accepted and thrown away
    NOT_READY = "not-ready"  # a mailbox that waits for its first password
    PENDING = "pending"  # a recipient that has not confirmed
    BROKEN = "broken"  # a recipient that is no address
    EMPTY = "empty"  # an alias without a mailbox and without recipients
    NOBODY = "nobody"  # postmaster or abuse, where nobody in charge can be reached


_FAULTS = frozenset(
    {Cause.LOOP, Cause.TOO_DEEP, Cause.TOO_MANY, Cause.BROKEN, Cause.EMPTY, Cause.NOBODY}
)


@attrs.frozen(kw_only=True)
class Step:
    """
    An address on the way. ``parent`` is the number of the step that named it, -1 for the first.

    ``domain`` is the claim that it was looked up in, None for an address that is not hosted;
    ``owners`` are the ids of the users whose aliases took it, ``taken_by`` the names of these.
    """

    address: str
    parent: int = -1
    domain: Domain | None = None
    owners: frozenset[str] = frozenset()
    taken_by: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class DeadEnd:
    """Where and why a way ends; ``address`` is the one that is wrong, ``step`` the one before."""

    cause: Cause
    address: str
    step: int
    status: Status | None  # what it means for mail; None: dropped

    @property
    def is_fault(self) -> bool:
        """Nobody wanted it so. An address that does not exist is no fault, one named here is."""
        return self.cause in _FAULTS or (self.cause is Cause.UNKNOWN and not self.is_asked)

    @property
    def is_asked(self) -> bool:
        """It is the very address that was asked about."""
        return self.step == 0


@attrs.frozen(kw_only=True)
class Shown:
    """A target as somebody may know it: ``courier`` is ``onward`` where the rest is not his."""

    courier: str
    address: str


@attrs.frozen(kw_only=True)
class Route:
    """
    The targets of one address. ``refusal`` set: nothing is delivered and the sender is told so.

    Neither targets nor refusal: accepted and dropped on purpose (a disabled alias with code 250).
    ``is_hosted`` is False when the domain is none of ours. ``places`` are the numbers of the steps
    at which the targets stand, in their order.
    """

    address: str
    is_hosted: bool
    targets: tuple[Target, ...] = ()
    refusal: Status | None = None
    steps: tuple[Step, ...] = ()
    places: tuple[int, ...] = ()
    dead_ends: tuple[DeadEnd, ...] = ()

    @property
    def fault(self) -> DeadEnd | None:
        """Why nobody gets the mail though somebody should: something here has to be mended."""
        if self.targets or self.refusal is None:
            return None
        return next((end for end in self.dead_ends if end.is_fault), None)

    @property
    def trail(self) -> tuple[str, ...]:
        """The addresses that were passed on the way."""
        return tuple(step.address for step in self.steps)

    def shown(self, may_see: Callable[[Step], bool]) -> tuple[Shown, ...]:
        """The targets, each as far as the reader may follow it."""
        found: dict[Shown, None] = {}
        for target, place in zip(self.targets, self.places, strict=True):
            last = self.last_shown(place, may_see)
            is_whole = last == place and (target.courier == "forward" or may_see(self.steps[place]))
            courier = target.courier if is_whole else "onward"
            address = target.address if is_whole else self.steps[last].address
            found.setdefault(Shown(courier=courier, address=address))
        return tuple(found)

    def last_shown(self, place: int, may_see: Callable[[Step], bool]) -> int:
        """The step itself, or the first on the way to it behind which the reader may not look."""
        way = [place]
        while self.steps[way[-1]].parent >= 0:
            way.append(self.steps[way[-1]].parent)
        for number in reversed(way):
            if number == place or not may_see(self.steps[number]):
                return number
        return place

    def passed(self, may_see: Callable[[Step], bool]) -> tuple[str, ...]:
        """The trail, as far as the reader may follow it, without its beginning."""
        shown = (self.last_shown(number, may_see) for number in range(1, len(self.steps)))
        return tuple(dict.fromkeys(self.steps[number].address for number in shown if number))
