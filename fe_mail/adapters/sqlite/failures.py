"""
The errors of SQLite and of the system as ours: one table, so that no driver's exception leaves the
adapters. The driver's stays as the cause, for whoever tells the operator (``troubles``).
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import apsw

from fe_mail.adapters.system import of_system
from fe_mail.model.errors import (
    AlreadyExists,
    Corrupt,
    Invalid,
    MailError,
    NoSpace,
    NotFound,
    TooBig,
    Unavailable,
)

__all__ = ["translate", "translated"]

_UNIQUE = frozenset(
    {
        apsw.SQLITE_CONSTRAINT_UNIQUE,
        apsw.SQLITE_CONSTRAINT_PRIMARYKEY,
        apsw.SQLITE_CONSTRAINT_ROWID,
    }
)

_ERRORS: tuple[tuple[type[apsw.Error], type[MailError]], ...] = (
    (apsw.BusyError, Unavailable),
    (apsw.LockedError, Unavailable),
    (apsw.FullError, NoSpace),
    (apsw.NoMemError, Unavailable),
    (apsw.ReadOnlyError, NoSpace),
    (apsw.PermissionsError, Unavailable),
    (apsw.InterruptError, Unavailable),
    (apsw.ProtocolError, Unavailable),
    (apsw.ConnectionClosedError, Unavailable),
    (apsw.CorruptError, Corrupt),
    (apsw.NotADBError, Corrupt),
    (apsw.FormatError, Corrupt),
    (apsw.TooBigError, TooBig),
)


def translate(error: apsw.Error, system: int = 0) -> MailError | None:
    """
    Our error for SQLite's; None for a mistake of our own (bad SQL, misuse), which is a bug.

    ``system`` is the last ``errno`` of the connection, which tells one failed write from another.
    """
    if isinstance(error, apsw.ConstraintError):
        return _constraint(getattr(error, "extendedresult", 0))
    if isinstance(error, apsw.IOError | apsw.CantOpenError):
        return _failed_access(error, system)
    for theirs, ours in _ERRORS:
        if isinstance(error, theirs):
            return ours()
    return None


def _constraint(extended_result: int) -> MailError:
    if extended_result in _UNIQUE:
        return AlreadyExists()
    if extended_result == apsw.SQLITE_CONSTRAINT_FOREIGNKEY:
        return NotFound("What the new row refers to does not exist.")
    return Invalid("The value breaks a rule of the database.")


def _failed_access(error: apsw.Error, system: int) -> MailError:
    """The index of the WAL is a file too, and grows; of it SQLite does not keep the reason."""
    if getattr(error, "extendedresult", 0) == apsw.SQLITE_IOERR_SHMSIZE:
        return NoSpace()
    return of_system(system)


@contextmanager
def translated(system: Callable[[], int] = lambda: 0) -> Iterator[None]:
    """Raise our errors instead of SQLite's and the system's, which stay as the cause."""
    try:
        yield
    except OSError as error:
        raise of_system(error.errno) from error
    except apsw.Error as error:
        ours = translate(error, system())
        if ours is None:
            raise
        raise ours from error
