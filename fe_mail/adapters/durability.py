"""
Making files durable: what was written, and the names that were given.

A file that is renamed into place survives a crash only after both: its content is synced before
the rename, its directory after it.
"""

import os
from pathlib import Path

__all__ = ["sync"]


def sync(path: Path) -> None:
    """Bring a file, or the names in a directory, to the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
