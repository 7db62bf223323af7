"""
Locks that say which processes work on the same files, given up by death alone: the kernel frees
them with the process, whatever ended it.

``Company`` counts processes of a kind. Whoever finds itself alone may clean up what a killed
process left; others that start meanwhile wait until it is done. Afterwards all of them hold the
lock together, so that nobody who comes later believes to be alone.

``Presence`` is that of a server. Roles may be spread over processes as one likes; a second *whole*
server on a directory was started by accident, with ports that happened to be free, and is refused.
``at_rest`` is for work that no server may see half done.
"""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from fe_mail.model.errors import Conflict

__all__ = ["Company", "Presence", "at_rest"]

RUNNING: Final = "running.lock"  # shared by all servers of a directory
WHOLE: Final = "whole.lock"  # of the one that has every role; its process id is inside
MAX_ID_OCTETS: Final = 20


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


class Presence:
    """A server process at work on the directory ``data``; ``is_whole``: it has every role."""

    def __init__(self, data: Path, *, is_whole: bool) -> None:
        self._data = data
        self._is_whole = is_whole
        self._locks = contextlib.ExitStack()
        self.is_here = False

    def enter(self) -> None:
        """``Conflict`` in a sentence when another one is in the way."""
        with contextlib.ExitStack() as locks:
            if self._is_whole:
                descriptor = locks.enter_context(_opened(self._data / WHOLE))
                if not _locked(descriptor, fcntl.LOCK_EX):
                    raise Conflict(_another_whole_server(self._data, descriptor))
                os.truncate(descriptor, 0)
                os.pwrite(descriptor, str(os.getpid()).encode("ascii"), 0)
            running = locks.enter_context(_opened(self._data / RUNNING))
            if not _locked(running, fcntl.LOCK_SH):
                raise Conflict(
                    f"A store in {self._data} is being begun anew. Start again afterwards."
                )
            self._locks = locks.pop_all()
        self.is_here = True

    def leave(self) -> None:
        """Work no more."""
        self._locks.close()
        self.is_here = False


@contextlib.contextmanager
def at_rest(data: Path) -> Iterator[None]:
    """No server works on this directory meanwhile. ``Conflict``."""
    if not data.is_dir():
        yield
        return
    with _opened(data / RUNNING) as descriptor:
        if not _locked(descriptor, fcntl.LOCK_EX):
            raise Conflict(f"A server works on {data}: stop it first.")
        yield


def _another_whole_server(data: Path, descriptor: int) -> str:
    process = os.pread(descriptor, MAX_ID_OCTETS, 0).decode("ascii", "replace")
    return (
        f"Another whole server (process {process}) works on {data} already. Stop it first; to "
        "spread the work over several processes, give each its --role."
    )


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _locked(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
