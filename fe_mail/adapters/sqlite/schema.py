"""
Open a SQLite file of ours, create its schema or bring it up to date.

The schema ``NAME`` is text: ``NAME-vN.sql`` creates version N, ``upgrade-NAME-to-vN.sql`` leads
there from N-1. The highest N that has a ``NAME-vN.sql`` is the version of this program. A table
``version`` of one row says which one a file has. Creation is one transaction; so are all the
upgrade steps together, after a copy ``<file>.before-vN.sqlite`` was made under the same write
lock. Processes that open one file at once wait for each other. ``:memory:`` is no exception.

What must be there is never made: an empty store in the place of one that was lost answers that
nobody is known here, and its mail is refused for good.

Every connection: WAL, ``synchronous=FULL`` (what was acknowledged survives a power cut), foreign
keys, deleted content overwritten, temporary tables in memory (nothing readable elsewhere).
"""

import os
import re
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import apsw

from fe_mail.adapters.durability import sync
from fe_mail.adapters.opening import Opening
from fe_mail.adapters.sqlite.failures import translated
from fe_mail.model.errors import AuthenticationFailed, Corrupt, Missing, SchemaTooNew

__all__ = [
    "BUSY_TIMEOUT_SECONDS",
    "ENCRYPTED_PAGE_OCTETS",
    "MEMORY",
    "SCHEMA_DIRECTORY",
    "migrate",
    "open_connection",
    "upgraded_copy",
]

BUSY_TIMEOUT_SECONDS = 10.0
LOCK_WAIT_SECONDS = 0.0005
WAL_RETRY_SECONDS = 0.02
WAL_LIMIT_OCTETS = 16 * 1024 * 1024
# Messages of a few KB fill bigger pages better: a quarter less disk, and no slower.
ENCRYPTED_PAGE_OCTETS = 8192
MEMORY = ":memory:"
SCHEMA_DIRECTORY = Path(__file__).with_name("schema")


def open_connection(
    path: str | Path,
    key: bytes | None = None,
    *,
    overwrites: bool = True,
    page_octets: int = ENCRYPTED_PAGE_OCTETS,
    opening: Opening = Opening.NEW,
) -> apsw.Connection:
    """
    A connection with our settings; a new file and its directory are made for us alone.

    With a ``key`` of 32 octets the file and its WAL are encrypted (ChaCha20-Poly1305);
    ``AuthenticationFailed`` when it was written with another. With ``overwrites`` what is deleted
    is overwritten, which costs as much as writing it did.
    """
    if str(path) != MEMORY and opening is Opening.NEW:
        Path(path).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    connection = apsw.Connection(*_place(path, opening))
    try:
        with translated(lambda: connection.system_errno):
            connection.set_busy_handler(_wait_for_lock)
            if key is not None:
                _use_key(connection, key, page_octets)
            if opening is not Opening.LOOK:
                _use_wal(connection)
            connection.execute(
                f"PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON;"
                f"PRAGMA secure_delete={'ON' if overwrites else 'FAST'};"
                f"PRAGMA temp_store=MEMORY; PRAGMA journal_size_limit={WAL_LIMIT_OCTETS}"
            )
            connection.create_scalar_function("fold", _fold, 1, deterministic=True)
    except BaseException:
        connection.close()
        raise
    return connection


def _place(path: str | Path, opening: Opening) -> tuple[str, int]:
    """
    Which file, and how it is opened. To look at one that nobody has open, SQLite need not put files
    of its own beside it, which would belong to whoever looked.
    """
    if str(path) == MEMORY:
        return MEMORY, apsw.SQLITE_OPEN_READWRITE
    if opening is not Opening.NEW:
        _check_there(Path(path))
    if opening is not Opening.LOOK:
        return str(path), apsw.SQLITE_OPEN_READWRITE
    name = f"file:{quote(str(path))}" + ("" if _is_in_use(path) else "?immutable=1")
    return name, apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI


def _check_there(path: Path) -> None:
    """Before SQLite takes an empty file for a new database."""
    try:
        octets = path.stat().st_size
    except FileNotFoundError:
        raise Missing("It is missing.") from None
    if not octets:
        raise Missing("It is empty (0 octets).")
    os.close(os.open(path, os.O_RDONLY | os.O_CLOEXEC))  # the system says more than SQLite


def _is_in_use(path: str | Path) -> bool:
    """Does somebody have it open, or had when he was killed?"""
    return Path(f"{path}-wal").exists()


def _use_key(
    connection: apsw.Connection, key: bytes, page_octets: int = ENCRYPTED_PAGE_OCTETS
) -> None:
    connection.pragma("cipher", "chacha20")
    connection.pragma("key", f"raw:{key.hex()}")
    connection.pragma("page_size", page_octets)  # of a new file
    try:
        connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()
    except apsw.NotADBError:
        raise AuthenticationFailed from None


def _wait_for_lock(tries: int) -> bool:
    """
    Another process writes: look again soon. SQLite's own wait grows to a tenth of a second, in
    which a busy neighbor has committed twenty times.
    """
    time.sleep(LOCK_WAIT_SECONDS)
    return tries * LOCK_WAIT_SECONDS < BUSY_TIMEOUT_SECONDS


def _use_wal(connection: apsw.Connection) -> None:
    """Changing the journal mode does not always wait for a lock, so we do."""
    deadline = time.monotonic() + BUSY_TIMEOUT_SECONDS
    while True:
        try:
            connection.pragma("journal_mode", "wal")
            return
        except apsw.BusyError:
            if time.monotonic() > deadline:
                raise
            time.sleep(WAL_RETRY_SECONDS)


def _fold(*values: "apsw.SQLiteValue") -> "apsw.SQLiteValue":
    """SQL function ``fold``: text without case; numbers and NULL as they are."""
    (text,) = values
    return text.casefold() if isinstance(text, str) else text


def migrate(
    connection: apsw.Connection,
    path: str | Path,
    schema: str,
    directory: Path = SCHEMA_DIRECTORY,
    key: bytes | None = None,
    opening: Opening = Opening.NEW,
) -> None:
    """Create or upgrade. ``SchemaTooNew`` when a newer program wrote the file."""
    target = _latest(schema, directory)
    version = _version(connection)
    if version == target:
        return
    if version is None and opening is not Opening.NEW:
        raise Missing("Nothing is in it.")
    # Upgrades may rebuild tables that others refer to (effective only outside a transaction).
    connection.execute("PRAGMA foreign_keys=OFF")
    try:
        connection.execute("BEGIN IMMEDIATE")
        try:
            _migrate_locked(connection, path, schema, directory, target, key)
            connection.execute("COMMIT")
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
    finally:
        connection.execute("PRAGMA foreign_keys=ON")


def _migrate_locked(
    connection: apsw.Connection,
    path: str | Path,
    schema: str,
    directory: Path,
    target: int,
    key: bytes | None,
) -> None:
    """With the write lock, so that what another process just did is seen."""
    version = _version(connection)
    if version is None:
        connection.execute(_script(directory / f"{schema}-v{target}.sql"))
        connection.execute("CREATE TABLE version (version INTEGER NOT NULL)")
        connection.execute("INSERT INTO version VALUES (?)", (target,))
        return
    if version > target:
        raise SchemaTooNew()
    if version == target:
        return
    _copy_before(path, target, key)
    for step in range(version + 1, target + 1):
        connection.execute(_script(directory / f"upgrade-{schema}-to-v{step}.sql"))
    connection.execute("UPDATE version SET version = ?", (target,))
    if connection.execute("PRAGMA foreign_key_check").fetchone():
        raise Corrupt("An upgrade would leave rows that refer to nothing.")


def _latest(schema: str, directory: Path) -> int:
    name = re.compile(re.escape(schema) + r"-v(\d+)\.sql")
    matches = (name.fullmatch(path.name) for path in directory.iterdir())
    return max(int(match[1]) for match in matches if match)


def _version(connection: apsw.Connection) -> int | None:
    """None for a file that has no schema yet."""
    if not connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone():
        return None
    try:
        row = connection.execute("SELECT version FROM version").fetchone()
    except apsw.SQLError:
        row = None
    if row is None or not isinstance(row[0], int):
        raise Corrupt("The database does not say which version it has.")
    return row[0]


def _script(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _copy_before(path: str | Path, target: int, key: bytes | None) -> None:
    """
    Copy what is committed to ``<file>.before-vN.sqlite``, durably.

    Through a connection of its own: in WAL mode it may read while we hold the write lock. A copy
    that was interrupted has another name, so what has the name is complete. The copy of an
    encrypted file is encrypted with the same key.
    """
    if str(path) == MEMORY:
        return
    source_path = Path(path)
    copy = source_path.with_name(f"{source_path.stem}.before-v{target}.sqlite")
    unfinished = copy.with_name(copy.name + ".part")
    unfinished.unlink(missing_ok=True)
    with closing(apsw.Connection(str(path))) as source:
        if key is not None:
            _use_key(source, key)
        _copy(source, unfinished, key)
    sync(unfinished)
    unfinished.rename(copy)
    sync(copy.parent)


def _copy(source: apsw.Connection, path: Path, key: bytes | None) -> None:
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    with closing(apsw.Connection(str(path))) as destination:
        if key is not None:
            # A copy is made page by page.
            _use_key(destination, key, source.pragma("page_size"))
        with destination.backup("main", source, "main") as backup:
            backup.step()
        destination.pragma("journal_mode", "delete")  # one file, nothing beside it


def upgraded_copy(
    connection: apsw.Connection,
    place: Callable[[], Path],
    schema: str,
    directory: Path = SCHEMA_DIRECTORY,
    key: bytes | None = None,
) -> apsw.Connection:
    """
    What a file of an older version would be after its upgrade, in ``place()``; else itself.

    Takes the connection and returns the one to look at.
    """
    target, version = _latest(schema, directory), _version(connection)
    if version is None:
        raise Missing("Nothing is in it.")
    if version > target:
        raise SchemaTooNew
    if version == target:
        return connection
    path = place() / f"{schema}.sqlite"
    with closing(connection):
        _copy(connection, path, key)
    copy = open_connection(path, key, opening=Opening.KEPT)
    migrate(copy, path, schema, directory, key)
    return copy
