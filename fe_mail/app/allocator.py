"""
Memory that an attack took goes back to the system when it is over.

Each time a big block is freed, glibc raises the size from which blocks get pages of their own, up
to 32 MiB; after some big messages all blocks come from heaps, where one small object keeps
everything below it. A fixed size ends that. mallopt(3), M_MMAP_THRESHOLD.
"""

import ctypes

__all__ = ["BIG_OCTETS", "keep_big_blocks_apart"]

BIG_OCTETS = 131_072  # glibc's own first choice; buffers that sockets are read into are smaller
_M_MMAP_THRESHOLD = -3


def keep_big_blocks_apart() -> bool:
    """From now on, in this process; False where the C library is not glibc."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and mallopt(_M_MMAP_THRESHOLD, BIG_OCTETS) == 1
