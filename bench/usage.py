"""What processes use, as Linux counts it: processor time, octets written, memory (proc(5))."""

import os
from collections.abc import Callable, Iterable
from pathlib import Path

import attrs

__all__ = ["Usage", "descendants", "memory_kib", "slope", "usage"]

TICKS = os.sysconf("SC_CLK_TCK")


@attrs.frozen
class Usage:
    """Seconds of processor time, user and system; octets that went to the disk."""

    processor_seconds: float
    written_octets: int

    def __sub__(self, other: "Usage") -> "Usage":
        return Usage(
            self.processor_seconds - other.processor_seconds,
            self.written_octets - other.written_octets,
        )


def usage(processes: Iterable[int]) -> Usage:
    """Of these processes and of their children that ended."""
    seconds, octets = 0.0, 0
    for pid in processes:
        try:
            words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            counts = dict(
                line.split(": ") for line in Path(f"/proc/{pid}/io").read_text().splitlines()
            )
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended just now; its parent has its seconds
        seconds += sum(map(int, words[11:15])) / TICKS
        octets += int(counts["write_bytes"])
    return Usage(seconds, octets)


def descendants(pid: int) -> list[int]:
    """The children of a process, and theirs."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except (FileNotFoundError, ProcessLookupError):
        return []
    return [each for child in map(int, children) for each in (child, *descendants(child))]


def memory_kib(pid: int) -> float:
    """Proportional set size."""
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return float(line.split()[1])
    except (FileNotFoundError, ProcessLookupError):
        pass
    return 0.0


def slope(processes: Callable[[], Iterable[int]], begin: Callable[[], object], count: int) -> float:
    """
    KiB that each further ``begin()`` costs once the first half of ``count`` is there.

    The first ones fill caches and pools that the others share; what is left is what one more
    connection costs.
    """
    kept = [begin() for _ in range(count // 2)]
    before = sum(map(memory_kib, processes()))
    kept += [begin() for _ in range(count // 2)]
    return (sum(map(memory_kib, processes())) - before) / (count // 2)
