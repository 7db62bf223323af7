"""
One memory budget over all connections of a process.

A limit per connection bounds nothing when there are thousands: what strangers make us keep while
they have not finished asking (HTTP headers and bodies, the header of a message that streams by)
is taken from one ``Budget`` before it is kept, and given back. Who gets nothing is refused for
now, or keeps it on disk. A ``Share`` is what one of them holds.
"""

__all__ = ["MEMORY_OCTETS", "Budget", "Share"]

MEMORY_OCTETS = 64 * 1_048_576


class Budget:
    """So many octets for all together. ``refused`` counts how often there were not enough."""

    def __init__(self, octets: int = MEMORY_OCTETS) -> None:
        self.octets = octets
        self.used = 0
        self.refused = 0

    def acquire(self, octets: int) -> bool:
        """Take so many, or none."""
        if self.used + octets > self.octets:
            self.refused += 1
            return False
        self.used += octets
        return True

    def release(self, octets: int) -> None:
        """Give back."""
        self.used -= octets


class Share:
    """What one holder has of a budget."""

    __slots__ = ("_budget", "held")

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self.held = 0

    def resize(self, octets: int) -> bool:
        """Hold so many from now on; False, and as many as before, if there are not enough."""
        more = octets - self.held
        if more > 0 and not self._budget.acquire(more):
            return False
        if more < 0:
            self._budget.release(-more)
        self.held = octets
        return True

    def release(self) -> None:
        """Hold nothing."""
        self.resize(0)
