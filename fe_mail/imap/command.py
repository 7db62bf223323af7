"""
IMAP commands as values: what the parser makes and the command modules receive.

A command knows in which states it is allowed (RFC 9051 §3) and nothing else. ``uid`` marks the
UID form of a command; ``numbers`` are then UIDs. Folder names are decoded.
"""

import enum
from typing import ClassVar

import attrs

from fe_mail.imap.fetch_item import FetchItem
from fe_mail.model.criteria import Criterion
from fe_mail.model.mailbox import FlagAction
from fe_mail.model.sequence import SequenceSet

__all__ = [
    "Append",
    "Authenticate",
    "Capability",
    "Check",
    "Close",
    "Command",
    "Copy",
    "Create",
    "Delete",
    "Enable",
    "Examine",
    "Expunge",
    "Fetch",
    "Identify",
    "Idle",
    "List",
    "ListSubscribed",
    "Login",
    "Logout",
    "Move",
    "Namespace",
    "NewLiteral",
    "Noop",
    "Rename",
    "Search",
    "Select",
    "StartTLS",
    "State",
    "Status",
    "StatusItem",
    "Store",
    "Subscribe",
    "Unselect",
    "Unsubscribe",
]


class State(enum.Flag):
    """Where a session is (RFC 9051 §3)."""

    NOT_AUTHENTICATED = enum.auto()
    AUTHENTICATED = enum.auto()
    SELECTED = enum.auto()
    LOGOUT = enum.auto()

    LOGGED_IN = AUTHENTICATED | SELECTED
    ANY = NOT_AUTHENTICATED | AUTHENTICATED | SELECTED


@attrs.frozen
class Command:
    """Any command."""

    states: ClassVar[State] = State.LOGGED_IN


@attrs.frozen
class Capability(Command):
    """RFC 9051 §6.1.1."""

    states = State.ANY


@attrs.frozen
class Noop(Command):
    """RFC 9051 §6.1.2."""

    states = State.ANY


@attrs.frozen
class Logout(Command):
    """RFC 9051 §6.1.3."""

    states = State.ANY


@attrs.frozen
class Identify(Command):
    """ID (RFC 2971)."""

    fields: tuple[tuple[bytes, bytes | None], ...]

    states = State.ANY


@attrs.frozen
class StartTLS(Command):
    """RFC 9051 §6.2.1."""

    states = State.NOT_AUTHENTICATED


@attrs.frozen
class Authenticate(Command):
    """RFC 9051 §6.2.2; ``initial`` is the decoded initial response (RFC 4959), None if absent."""

    mechanism: str
    initial: bytes | None = attrs.field(default=None, repr=False)

    states = State.NOT_AUTHENTICATED


@attrs.frozen
class Login(Command):
    """RFC 9051 §6.2.3."""

    username: bytes
    password: bytes = attrs.field(repr=False)

    states = State.NOT_AUTHENTICATED


@attrs.frozen
class Enable(Command):
    """RFC 9051 §6.3.1, RFC 5161."""

    capabilities: tuple[bytes, ...]


@attrs.frozen
class Select(Command):
    """RFC 9051 §6.3.2; ``condstore`` as in RFC 7162 §3.1.8."""

    name: str
    condstore: bool = False


@attrs.frozen
class Examine(Command):
    """RFC 9051 §6.3.3."""

    name: str
    condstore: bool = False


@attrs.frozen
class Create(Command):
    """RFC 9051 §6.3.4; ``special_use`` as in RFC 6154 §3."""

    name: str
    special_use: tuple[str, ...] = ()


@attrs.frozen
class Delete(Command):
    """RFC 9051 §6.3.5."""

    name: str


@attrs.frozen
class Rename(Command):
    """RFC 9051 §6.3.6."""

    old: str
    new: str


@attrs.frozen
class Subscribe(Command):
    """RFC 9051 §6.3.7."""

    name: str


@attrs.frozen
class Unsubscribe(Command):
    """RFC 9051 §6.3.8."""

    name: str


@attrs.frozen
class List(Command):
    """RFC 9051 §6.3.9."""

    reference: str
    pattern: str


@attrs.frozen
class ListSubscribed(Command):
    """LSUB (RFC 3501 §6.3.9)."""

    reference: str
    pattern: str


@attrs.frozen
class Namespace(Command):
    """RFC 9051 §6.3.10."""


class StatusItem(enum.Enum):
    """What STATUS can tell."""

    MESSAGES = b"MESSAGES"
    RECENT = b"RECENT"
    UIDNEXT = b"UIDNEXT"
    UIDVALIDITY = b"UIDVALIDITY"
    UNSEEN = b"UNSEEN"
    DELETED = b"DELETED"  # RFC 9051 §6.3.11
    SIZE = b"SIZE"  # RFC 8438
    HIGHESTMODSEQ = b"HIGHESTMODSEQ"  # RFC 7162 §3.1.7
    APPENDLIMIT = b"APPENDLIMIT"  # RFC 7889
    MAILBOXID = b"MAILBOXID"  # RFC 8474 §4.3


@attrs.frozen
class Status(Command):
    """RFC 9051 §6.3.11."""

    name: str
    items: tuple[StatusItem, ...]


@attrs.frozen
class NewLiteral:
    """One message of APPEND; ``date`` None: now."""

    raw: bytes = attrs.field(repr=False)
    flags: frozenset[str] = frozenset()
    date: float | None = None


@attrs.frozen
class Append(Command):
    """RFC 9051 §6.3.12."""

    name: str
    messages: tuple[NewLiteral, ...]


@attrs.frozen
class Idle(Command):
    """RFC 9051 §6.3.13, RFC 2177."""


@attrs.frozen
class Check(Command):
    """RFC 3501 §6.4.1."""

    states = State.SELECTED


@attrs.frozen
class Close(Command):
    """RFC 9051 §6.4.1."""

    states = State.SELECTED


@attrs.frozen
class Unselect(Command):
    """RFC 9051 §6.4.2, RFC 3691."""

    states = State.SELECTED


@attrs.frozen
class Expunge(Command):
    """RFC 9051 §6.4.3; with ``uids`` UID EXPUNGE (§6.4.9)."""

    uids: SequenceSet | None = None

    states = State.SELECTED


@attrs.frozen
class Search(Command):
    """RFC 9051 §6.4.4; ``mentions_modseq`` as in RFC 7162 §3.1.5."""

    criterion: Criterion
    mentions_modseq: bool = False
    uid: bool = False

    states = State.SELECTED


@attrs.frozen
class Fetch(Command):
    """RFC 9051 §6.4.5; ``changed_since`` as in RFC 7162 §3.1.4.1."""

    numbers: SequenceSet
    items: tuple[FetchItem, ...]
    changed_since: int | None = None
    uid: bool = False

    states = State.SELECTED


@attrs.frozen
class Store(Command):
    """RFC 9051 §6.4.6; ``unchanged_since`` as in RFC 7162 §3.1.3."""

    numbers: SequenceSet
    action: FlagAction
    flags: frozenset[str]
    silent: bool = False
    unchanged_since: int | None = None
    uid: bool = False

    states = State.SELECTED


@attrs.frozen
class Copy(Command):
    """RFC 9051 §6.4.7."""

    numbers: SequenceSet
    name: str
    uid: bool = False

    states = State.SELECTED


@attrs.frozen
class Move(Command):
    """RFC 9051 §6.4.8, RFC 6851."""

    numbers: SequenceSet
    name: str
    uid: bool = False

    states = State.SELECTED
