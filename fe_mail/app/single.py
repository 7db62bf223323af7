"""
A lock that says "I am the only process of this kind on these files", given up by death alone.

The kernel frees it with the process, whatever ended it, so nothing is left behind.
"""

import fcntl
import os
from pathlib import Path

__all__ = ["OnlyOne"]


class OnlyOne:
    """An advisory lock on a file; ``acquire`` does not wait."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = -1

    def acquire(self) -> bool:
        """True if no other process holds it; it is ours until ``release`` or our end."""
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            return False
        self._descriptor = descriptor
        return True

    def release(self) -> None:
        """Let others have it."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
