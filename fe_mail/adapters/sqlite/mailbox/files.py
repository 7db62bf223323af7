"""
The files of mailboxes: which mailbox of which alias a name means, giving names and removing files.

A name without an epoch means epoch 0. What is being made has ``.new`` behind its name.
"""

import contextlib
import re
from pathlib import Path

from fe_mail.adapters.durability import sync
from fe_mail.adapters.opening import Opening
from fe_mail.adapters.sqlite.failures import translated
from fe_mail.model.errors import Missing
from fe_mail.model.ids import AliasId

__all__ = [
    "begin",
    "epochs",
    "every",
    "mark_of",
    "path_of",
    "place",
    "remove",
    "remove_before",
    "remove_unfinished",
    "unfinished",
]

_MARK = ".damaged"
_SUFFIXES = ("", "-wal", "-shm", "-journal", _MARK)
_UNFINISHED = ".new"
_NAME = re.compile(
    r"(?P<alias>[A-Za-z0-9_-]{1,64})(?:\.(?P<epoch>[0-9]+))?\.sqlite(?P<unfinished>\.new)?"
)


def begin(directory: Path, opening: Opening) -> None:
    """The directory: made, or there."""
    with translated():
        if opening is Opening.NEW:
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        elif not directory.is_dir():
            raise Missing("The directory is missing.")


def path_of(directory: Path, alias_id: AliasId, epoch: int) -> Path:
    """The file of a mailbox."""
    return directory / (f"{alias_id}.{epoch}.sqlite" if epoch else f"{alias_id}.sqlite")


def mark_of(path: Path) -> Path:
    """What says that a mailbox was found damaged, after its last change."""
    return path.with_name(path.name + _MARK)


def unfinished(path: Path) -> Path:
    """What it is called until it is whole."""
    return path.with_name(path.name + _UNFINISHED)


def place(unfinished: Path, path: Path) -> None:
    """Give it its name, durably."""
    with translated():
        unfinished.rename(path)
        sync(path.parent)


def every(directory: Path) -> frozenset[tuple[AliasId, int]]:
    """Alias and epoch of every mailbox file."""
    return frozenset((alias, epoch) for alias, epoch, _ in _matching(directory, "*.sqlite"))


def epochs(directory: Path, alias_id: AliasId) -> frozenset[int]:
    """The epochs of an alias's mailbox files."""
    found = _matching(directory, f"{alias_id}*.sqlite")
    return frozenset(epoch for alias, epoch, _ in found if alias == alias_id)


def _matching(directory: Path, pattern: str) -> frozenset[tuple[AliasId, int, bool]]:
    """Alias, epoch, and whether it is unfinished."""
    with translated():
        names = [_NAME.fullmatch(path.name) for path in directory.glob(pattern)]
    return frozenset(
        (AliasId(name["alias"]), int(name["epoch"] or 0), bool(name["unfinished"]))
        for name in names
        if name and name["alias"] != "sealed"
    )


def remove_before(directory: Path, alias_id: AliasId, before: int, kept: int | None) -> None:
    """Remove the alias's files of epochs before this one, but the one that is kept."""
    for alias, epoch, is_unfinished in _matching(directory, f"{alias_id}*.sqlite*"):
        if alias == alias_id and epoch < before and epoch != kept:
            path = path_of(directory, alias_id, epoch)
            remove(unfinished(path) if is_unfinished else path)


def remove(path: Path) -> None:
    """Remove a mailbox with what SQLite puts beside it, and what was copied before upgrades."""
    with translated():
        for suffix in _SUFFIXES:
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        for copy in path.parent.glob(f"{path.stem}.before-v*.sqlite*"):
            copy.unlink(missing_ok=True)


def remove_unfinished(directory: Path, oldest: float) -> None:
    """Remove what a crash left half made; what is younger or goes meanwhile is another's."""
    with translated():
        for path in directory.glob(f"*.sqlite{_UNFINISHED}*"):
            with contextlib.suppress(FileNotFoundError):
                if path.stat().st_mtime < oldest:
                    path.unlink()
