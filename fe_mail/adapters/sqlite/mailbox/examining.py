"""
Looking at a mailbox's file without changing it: from outside, as whoever has no key, and inside.

A file that is encrypted says little to others, but that it is there, that its header is one of
ours, that it ends with a page, and that it has as many of them as a mailbox has when it is made. A
page that was changed shows only with the key; whoever met one has left a mark.
"""

import functools
import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

from fe_mail.adapters.opening import Opening
from fe_mail.adapters.sqlite.database import Database
from fe_mail.adapters.sqlite.mailbox.checking import broken_invariants
from fe_mail.adapters.sqlite.mailbox.files import mark_of
from fe_mail.adapters.sqlite.mailbox.transaction import Transaction
from fe_mail.adapters.sqlite.schema import MEMORY, SCHEMA_DIRECTORY, open_connection
from fe_mail.adapters.threads import Threads
from fe_mail.adapters.troubles import Watch, is_current

__all__ = ["examine", "fault_of"]

SCHEMA: Final = "mailbox"
HEADER_OCTETS: Final = 24
MIN_PAGE_OCTETS: Final = 512
# SQLite leaves eight octets of its header readable: the size of a page, how it is written (a
# journal or a WAL), the octets of each page that are kept for the cipher, and three constants.
_WRITTEN: Final = (b"\x01\x01", b"\x02\x02")
_ROOTS: Final = "SELECT 1 FROM sqlite_master WHERE rootpage > 0"
_CONSTANTS: Final = b"\x40\x20\x20"


def fault_of(path: Path) -> str:
    """What can be seen to be wrong with a mailbox's file without its key; empty if nothing."""
    try:
        octets = path.stat().st_size
        with path.open("rb") as file:
            header = file.read(HEADER_OCTETS)
    except FileNotFoundError:
        return "it is missing"
    except OSError as error:
        return f"it cannot be read: {error.strerror}"
    if not octets:
        return "it is empty (0 octets)"
    page_octets = int.from_bytes(header[16:18], "big")
    is_size = page_octets >= MIN_PAGE_OCTETS and not page_octets & (page_octets - 1)
    if not is_size or header[18:20] not in _WRITTEN or header[21:24] != _CONSTANTS:
        return "its header is damaged"
    if octets % page_octets or octets // page_octets < _pages_of_a_new_one():
        return f"it is cut off after {octets} octets"
    return _marked(path)


def _marked(path: Path) -> str:
    """What whoever had the key met, unless the file was restored since."""
    mark = mark_of(path)
    if not is_current(mark, path):
        return ""
    try:
        return f"{mark.read_text(encoding='utf-8', errors='replace')}, as its owner found"
    except OSError as error:
        return f"its mark {mark} cannot be read: {error.strerror}"


@functools.cache
def _pages_of_a_new_one() -> int:
    """Of every version: each table and each index has a page, and the list of them has one."""
    return 1 + min(_roots())


def _roots() -> Iterator[int]:
    for path in SCHEMA_DIRECTORY.iterdir():
        if re.fullmatch(SCHEMA + r"-v\d+\.sql", path.name):
            with closing(open_connection(MEMORY)) as connection:
                connection.execute(path.read_text(encoding="utf-8"))
                yield len(connection.execute(_ROOTS).fetchall())


async def examine(
    path: Path, mailbox_key: bytes, threads: Threads, watch: Watch
) -> tuple[tuple[str, ...], int]:
    """With the key: every broken invariant, and how many messages there are."""
    database = Database(path, SCHEMA, threads, key=mailbox_key, watch=watch)
    database.is_key_proven = True  # by the slot that it was in
    await database.open(Opening.LOOK)
    try:
        return await database.read(lambda cursor: _look(Transaction(cursor)))
    finally:
        await database.close()


def _look(tx: Transaction) -> tuple[tuple[str, ...], int]:
    return broken_invariants(tx), int(tx.value("SELECT count(*) FROM message"))
