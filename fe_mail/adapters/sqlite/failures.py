"""SQLite's errors as ours: one table, so that no driver's exception leaves the adapters."""

from collections.abc import Iterator
from contextlib import contextmanager

import apsw

from fe_mail.model.errors import (
    AlreadyExists,
    Corrupt,
    Invalid,
    MailError,
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
    (apsw.IOError, Unavailable),
    (apsw.FullError, Unavailable),
    (apsw.CantOpenError, Unavailable),
    (apsw.NoMemError, Unavailable),
    (apsw.ReadOnlyError, Unavailable),
    (apsw.PermissionsError, Unavailable),
    (apsw.InterruptError, Unavailable),
    (apsw.ProtocolError, Unavailable),
    (apsw.ConnectionClosedError, Unavailable),
    (apsw.CorruptError, Corrupt),
    (apsw.NotADBError, Corrupt),
    (apsw.FormatError, Corrupt),
    (apsw.TooBigError, TooBig),
)


def translate(error: apsw.Error) -> MailError | None:
    """Our error for SQLite's; None for a mistake of our own (bad SQL, misuse), which is a bug."""
    if isinstance(error, apsw.ConstraintError):
        return _constraint(getattr(error, "extendedresult", 0))
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


@contextmanager
def translated() -> Iterator[None]:
    """Raise our errors instead of SQLite's and the system's, which stay as the cause."""
    try:
        yield
    except OSError as error:
        raise Unavailable from error
    except apsw.Error as error:
        ours = translate(error)
        if ours is None:
            raise
        raise ours from error
