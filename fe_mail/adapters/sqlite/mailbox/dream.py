"""
What a mailbox knows of its file while its connections are closed.

A session in IDLE looks every minute, because a hint may have been lost. Nobody shall open the
file for that every minute: as long as it is the same file in the same state, nothing is new.
Whoever writes leaves a WAL as long as a connection is open, and copies it into the file when the
last one closes. Between our last look and the closing another process may just have slipped
through, so that this is believed for ``BELIEVED_SECONDS`` only.
"""

from pathlib import Path
from typing import Final

from fe_mail.adapters.sqlite.database import Cursor
from fe_mail.model.mailbox import Changes

__all__ = ["BELIEVED_SECONDS", "Dream", "Folders", "known_folders"]

BELIEVED_SECONDS: Final = 30 * 60.0

Folders = dict[int, tuple[int, int]]  # highest ModSeq and UIDNEXT by id


class Dream:
    """Begins when the connections are closed."""

    def __init__(self, path: Path, now: float, folders: Folders) -> None:
        self._path = path
        self._began_at = now
        self._folders = folders
        self._stamp = _stamp(path)

    def nothing_new(self, folder_id: int, since: int, now: float) -> Changes | None:
        """No changes after ModSeq ``since``; None when only the file can tell."""
        modseq, uidnext = self._folders.get(folder_id, (since + 1, 0))
        if self._stamp is None or since < modseq or now - self._began_at > BELIEVED_SECONDS:
            return None
        if _stamp(self._path) != self._stamp:
            return None
        return Changes(modseq=modseq, uidnext=uidnext)


def known_folders(cursor: Cursor) -> Folders:
    """How far each folder is."""
    rows = cursor.execute("SELECT id, highest_modseq, uidnext FROM folder WHERE selectable")
    return {row[0]: (row[1], row[2]) for row in rows.fetchall()}


def _stamp(path: Path) -> tuple[int, ...] | None:
    """Tells one state of a closed file from another; None while somebody may be writing."""
    wal = path.with_name(path.name + "-wal")
    try:
        if wal.exists() and wal.stat().st_size:
            return None
        found = path.stat()
    except OSError:
        return None
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)
