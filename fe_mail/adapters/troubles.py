"""
What is wrong with the files of the stores: told once, with the file, the reason and the next step.

A full disk fails every message, and a damaged file everybody who needs it. The log says it when it
is met, not for each of them; ``/health`` shows it for as long as it lasts. What hinders writing is
over with the next write that works; damage stays until the process ends or the file opens again.
Meeting the same again within ``TELL_AGAIN_SECONDS`` is no news. May be called from any thread.

What is damaged in a file that only its owner can read, nobody else could find out. So it leaves a
*mark* beside the file, for ``fe-mail verify``. A file that opens may still be damaged inside, so
the mark, and the trouble with it, stays until somebody else than we has written the file: restored
it. It is older than the file then; we make ours younger when we have closed what we wrote.
"""

import contextlib
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

import apsw
import attrs
from twisted.logger import Logger

from fe_mail.model.errors import Corrupt, Missing, NoSpace, Unavailable

__all__ = ["TELL_AGAIN_SECONDS", "Trouble", "Troubles", "Watch", "is_current"]

TELL_AGAIN_SECONDS: Final = 3600.0
MAX_TOLD: Final = 1000  # files; with more of them the oldest is told again

_FREE: Final = "Free space there, or make it writable; whoever sends mail is told to try again."
_LOOK: Final = "Look at the disk, and at the rights of the user that fe-mail runs as."
_RESTORE: Final = "Restore it from a backup, or begin anew: fe-mail begin-anew {store}"
_RESTORE_PART: Final = "Restore it from a backup; the other files are not concerned."
# Nobody else's lock, no pool that is full: those pass by themselves.
_OF_THE_DISK: Final = (OSError, apsw.IOError, apsw.CantOpenError)


@attrs.frozen
class Trouble:
    """
    One thing that an operator should know of. ``is_wide``: it concerns more than one person;
    ``is_passing``: it may be over without anybody opening the file anew.
    """

    store: str
    path: Path
    reason: str
    next_step: str
    is_wide: bool
    is_passing: bool
    mark: Path | None = None

    @property
    def text(self) -> str:
        """Without the store."""
        return f"{self.path}: {self.reason}. {self.next_step}"

    def __str__(self) -> str:
        return f"{self.store}: {self.text}"


class Troubles:
    """All that are known. ``seconds`` tells the time."""

    log = Logger()

    def __init__(self, seconds: Callable[[], float] = lambda: 0.0) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        self._current: dict[Path, Trouble] = {}
        self._told: dict[tuple[Path, str], float] = {}

    def watch(
        self, store: str, path: str | Path, *, is_wide: bool = True, mark: Path | None = None
    ) -> "Watch":
        """For whoever works with this file of the store."""
        return Watch(self, store, Path(path), is_wide, mark)

    def current(self) -> tuple[Trouble, ...]:
        """In the order in which they were met."""
        with self._lock:
            return tuple(self._current.values())

    def add(self, trouble: Trouble) -> None:
        """It is met, maybe again."""
        if trouble.mark is not None and not trouble.is_passing and trouble.path.exists():
            _leave_mark(trouble.mark, trouble.reason)
        key, now = (trouble.path, trouble.reason), self._seconds()
        with self._lock:
            self._current[trouble.path] = trouble
            told_at = self._told.get(key)
            if told_at is not None and 0 <= now - told_at < TELL_AGAIN_SECONDS:
                return
            self._told.pop(key, None)
            if len(self._told) >= MAX_TOLD:
                del self._told[next(iter(self._told))]
            self._told[key] = now
        self.log.error("{trouble}", trouble=str(trouble), metric="store-trouble")

    def remove(self, path: Path, *, only_passing: bool = False) -> None:
        """It is over."""
        known = self._current.get(path)
        if known is None or (only_passing and not known.is_passing):
            return
        with self._lock:
            ended = self._current.pop(path, None)
        if ended is not None:
            self.log.info("{store}: {path} works again.", store=ended.store, path=str(path))


@attrs.frozen
class Watch:
    """One file: ``failed`` with every error, ``written`` after every write."""

    _troubles: Troubles
    store: str
    path: Path
    is_wide: bool
    mark: Path | None = None

    def failed(self, error: BaseException) -> None:
        """Does it say something about the file?"""
        trouble = self.trouble(error)
        if trouble is not None:
            self._troubles.add(trouble)

    def trouble(self, error: BaseException) -> Trouble | None:
        """What it says to an operator; None for what is no fault of the file."""
        cause = error.__cause__
        if isinstance(error, NoSpace):
            return self._make(_text(cause) or "nothing can be written", _FREE, is_passing=True)
        if isinstance(error, Unavailable) and isinstance(cause, _OF_THE_DISK):
            return self._make(_text(cause), _LOOK, is_passing=True)
        if isinstance(error, Missing):
            return self._make(_inside(error.message), self._restore)
        if isinstance(error, Corrupt):
            reason = _text(cause) or _inside(error.message)
            return self._make(f"it is damaged ({reason})", self._restore)
        return None

    @property
    def _restore(self) -> str:
        return (_RESTORE if self.is_wide else _RESTORE_PART).format(store=self.store)

    def _make(self, reason: str, next_step: str, *, is_passing: bool = False) -> Trouble:
        return Trouble(
            self.store, self.path, reason, next_step, self.is_wide, is_passing, self.mark
        )

    def written(self) -> None:
        """Space is there again, if it was missing."""
        self._troubles.remove(self.path, only_passing=True)

    def opened(self) -> None:
        """Whatever was wrong with it has been put right, unless a mark says that it was not."""
        if self.mark is not None and is_current(self.mark, self.path):
            return
        self._troubles.remove(self.path)
        if self.mark is not None:
            with contextlib.suppress(OSError):
                self.mark.unlink(missing_ok=True)

    def closed(self) -> None:
        """What we have written into it put nothing right."""
        if self.mark is not None:
            with contextlib.suppress(OSError):
                os.utime(self.mark)


def is_current(mark: Path, path: Path) -> bool:
    """Was the mark left since somebody else wrote the file?"""
    try:
        return mark.stat().st_mtime_ns >= path.stat().st_ctime_ns
    except OSError:
        return False


def _leave_mark(mark: Path, reason: str) -> None:
    """As well as it can be done: the log has it in any case."""
    with contextlib.suppress(OSError):
        mark.write_text(reason, encoding="utf-8")


def _inside(sentence: str) -> str:
    """As a part of another one."""
    return sentence[:1].lower() + sentence[1:].rstrip(".")


def _text(cause: BaseException | None) -> str:
    return "" if cause is None else getattr(cause, "strerror", None) or str(cause)
