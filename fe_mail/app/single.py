"""
A lock that says how many processes of a kind work on the same files, given up by death alone.

Whoever finds itself alone may clean up what a killed process left; others that start meanwhile
wait until it is done. Afterwards all of them hold the lock together, so that nobody who comes
later believes to be alone. The kernel frees it with the process, whatever ended it.
"""

import fcntl
import os
from pathlib import Path

__all__ = ["Company"]


class Company:
    """An advisory lock on a file: ``join``, then ``share`` as soon as the cleaning is done."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = -1

    def join(self) -> bool:
        """
        True if no other process is there: it is kept out until ``share``.

        Waits while another one is cleaning, so it belongs into a thread.
        """
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            fcntl.flock(self._descriptor, fcntl.LOCK_SH)
            return False
        return True

    def share(self) -> None:
        """
        Let others in. Should one of them be quicker and find itself alone, we wait for it: so
        this belongs into a thread too, and before we have anything that it could clean up.
        """
        fcntl.flock(self._descriptor, fcntl.LOCK_SH)

    def leave(self) -> None:
        """Count no more."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
