"""
``manifest.json``: which stores a server has, so that one that is gone is not taken for a new one.

It is beside ``.env``, not among the data: so a disk that did not come up, and a directory that
somebody emptied, are told from a first start. Where that place cannot be written it is among the
data. A store is *making* from before its files are made until they are durable; a kill in between
leaves it so, and the next start goes on. From then on it is *made*, and its files must be there.
What an older fe-mail left has no manifest: everything that such a server had must be there.

The manifest has a mark of ``HELPER_ENCRYPTION_KEY`` too, which tells a damaged file from a wrong
key. Who begins anew sets aside what is left and makes the store *making* again.
"""

import fcntl
import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import attrs

from fe_mail.adapters.durability import sync
from fe_mail.adapters.opening import Opening
from fe_mail.model.errors import Corrupt, Missing, SchemaTooNew

__all__ = ["NAME", "OF_THE_KEY", "STORES", "Inventory", "Manifest"]

NAME: Final = "manifest.json"
VERSION: Final = 1
# By the name that operators use, with what must be there, in the order in which they are opened.
STORES: Final[Mapping[str, str]] = {
    "accounts": "accounts.sqlite",
    "spool": "spool",
    "queue": "queue.sqlite",
    "mailboxes": "mailboxes",
    "sealed": "mailboxes/sealed.sqlite",
    "counters": "counters.sqlite",
}
# What the limits have counted may be deleted while no server runs.
MAY_GO: Final = frozenset({"counters"})
# What HELPER_ENCRYPTION_KEY encrypts.
OF_THE_KEY: Final = frozenset({"spool", "queue", "counters"})
# What every server had before there were manifests.
_ALWAYS: Final = ("accounts", "queue", "mailboxes", "sealed")
_MAKING, _MADE = "making", "made"
_BESIDE: Final = ("", "-wal", "-shm")


@attrs.frozen
class Manifest:
    """``states`` by the names of the stores; ``key_mark`` is empty if it is not known."""

    path: Path
    states: Mapping[str, str]
    key_mark: str = ""

    def must_be_there(self) -> tuple[str, ...]:
        """The stores that were made."""
        return tuple(name for name in STORES if self.states.get(name) == _MADE)

    @classmethod
    def read(cls, path: Path) -> "Manifest | None":
        """None if there is none. ``Corrupt``."""
        try:
            found = json.loads(path.read_bytes())
            if found["version"] > VERSION:
                raise SchemaTooNew(f"{path} was written by a newer version of fe-mail.")
            states, mark = found["stores"], found.get("key_mark", "")
            if not all(state in (_MAKING, _MADE) for state in states.values()):
                raise ValueError
            return cls(path, {str(name): str(state) for name, state in states.items()}, str(mark))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            raise Corrupt(
                f"{path} cannot be read. Restore it from a backup, or remove it: what is there "
                "then counts as everything that there was."
            ) from None

    def write(self) -> None:
        """Whole and durable, or as before."""
        content = {"version": VERSION, "key_mark": self.key_mark, "stores": dict(self.states)}
        unfinished = self.path.with_name(self.path.name + ".new")
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(content, file, indent=2)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(self.path)
        sync(self.path.parent)


@attrs.frozen
class Inventory:
    """What there is, and what must be: ``directory`` holds ``.env``, ``data`` the stores."""

    directory: Path
    data: Path
    key_mark: str

    def find(self) -> Manifest | None:
        """The manifest, wherever it is. ``Corrupt``."""
        return Manifest.read(self.directory / NAME) or Manifest.read(self.data / NAME)

    def path_of(self, store: str) -> Path:
        """What must be there."""
        return self.data / STORES[store]

    def present(self) -> tuple[str, ...]:
        """The stores of which something is there."""
        return tuple(name for name in STORES if self.path_of(name).exists())

    def begin(self) -> dict[str, Opening]:
        """
        How to open each store, written down before anything is made. ``Missing`` names whatever
        is gone and what to do; ``Corrupt`` a key that is another one.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        with self._alone():
            known = self.find() or self._first()
            self.check_key(known)
            gone = [name for name in known.must_be_there() if name not in self.present()]
            self._refuse(set(gone) - MAY_GO)
            self.data.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._write(known, {**dict.fromkeys(STORES, _MAKING), **known.states})
        kept = set(known.must_be_there()) - MAY_GO
        return {name: Opening.KEPT if name in kept else Opening.NEW for name in STORES}

    def complete(self) -> None:
        """All of them are made."""
        with self._alone():
            known = self.find()
            if known is not None:
                made = {**known.states, **dict.fromkeys(STORES, _MADE)}
                self._write(known, made, self.key_mark)  # which has opened all of them

    def begin_anew(self, stores: Iterable[str], now: float) -> list[Path]:
        """Set aside what is left of these, which the next start makes; where it is now."""
        chosen = list(stores)
        stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime(now))
        with self._alone():
            known = self.find() or self.of_what_is_there()
            aside = [path for name in chosen for path in self._set_aside(name, stamp)]
            # All that belongs to a directory goes with it.
            making = {*chosen, *(["sealed"] if "mailboxes" in chosen else [])}
            self._write(known, {**known.states, **dict.fromkeys(making, _MAKING)})
        return aside

    def check_key(self, manifest: Manifest) -> None:
        """``Corrupt`` if the key is not the one that the data was made with."""
        if manifest.key_mark and manifest.key_mark != self.key_mark:
            raise Corrupt(
                "HELPER_ENCRYPTION_KEY is not the one that this data was made with: "
                "put the old one back into .env."
            )

    def missing_text(self, stores: Iterable[str]) -> str:
        """What is gone, and what to do."""
        gone = [name for name in STORES if name in set(stores)]
        if not self.data.is_dir():
            what = f"{self.data} is missing, with every store in it"
        elif set(gone) >= set(_ALWAYS):
            what = f"{self.data} has none of the stores (is its disk mounted?)"
        else:
            paths = [str(self.path_of(name)) for name in gone]
            what = f"{' and '.join(paths)} {'is' if len(paths) == 1 else 'are'} missing"
        return (
            f"{what}. Restore it from a backup, or begin anew without what was in it: "
            f"fe-mail begin-anew {' '.join(gone)}"
        )

    def _refuse(self, gone: set[str]) -> None:
        if gone:
            raise Missing(self.missing_text(gone))

    def _first(self) -> Manifest:
        """Nothing yet, or the data of an older fe-mail, of which all must be there."""
        found = self.of_what_is_there()
        self._refuse(set(found.must_be_there()) - set(self.present()))
        return found

    def of_what_is_there(self) -> Manifest:
        """Whether the key is right, nobody knows."""
        present = self.present()
        made = {*present, *_ALWAYS} if present else frozenset()
        states = {name: _MADE if name in made else _MAKING for name in STORES}
        return Manifest(self.directory / NAME, states)

    def _write(self, known: Manifest, states: Mapping[str, str], key_mark: str = "") -> None:
        mark = key_mark or known.key_mark
        wanted = attrs.evolve(known, states=dict(states), key_mark=mark)
        if wanted == Manifest.read(known.path):
            return
        try:
            wanted.write()
        except OSError:
            if known.path.parent == self.data or not self.data.is_dir():
                raise
            attrs.evolve(wanted, path=self.data / NAME).write()

    def _set_aside(self, store: str, stamp: str) -> Iterator[Path]:
        path = self.path_of(store)
        for suffix in _BESIDE:
            old = path.with_name(path.name + suffix)
            if old.exists():
                new = old.with_name(f"{path.name}.set-aside-{stamp}{suffix}")
                old.rename(new)
                sync(old.parent)
                yield new

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Others that start, or begin anew, on this directory wait."""
        descriptor = os.open(self.directory, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)
