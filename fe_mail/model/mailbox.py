"""
Folders, messages and changes, as stores and sessions exchange them.

A *mailbox* is one alias's encrypted store; a *folder* is what IMAP calls a mailbox inside it.
Every mutation has a ModSeq (RFC 7162), which grows over the whole mailbox. Folder names are
``str`` with ``/`` as the separator; INBOX is compared without case.
"""

import enum
from array import array
from bisect import bisect_left
from typing import NamedTuple

import attrs

from fe_mail.model.structure import Outline

__all__ = [
    "DEFAULT_FOLDERS",
    "INLINE_BODY_OCTETS",
    "MAX_UID",
    "Appended",
    "Changes",
    "CopyResult",
    "Delivery",
    "ExpungeResult",
    "FetchedMessage",
    "FlagAction",
    "FlagResult",
    "Folder",
    "FolderStatus",
    "FolderView",
    "NewMessage",
    "Quota",
    "Want",
]

MAX_UID = 2**32 - 1

# A message up to this size comes whole with a fetch that wants BODY; a bigger one is read in parts.
INLINE_BODY_OCTETS = 256 * 1024

# Name and special use (RFC 6154), in the order in which clients show them.
DEFAULT_FOLDERS: tuple[tuple[str, str], ...] = (
    ("INBOX", ""),
    ("Drafts", "\\Drafts"),
    ("Sent Mail", "\\Sent"),
    ("Junk", "\\Junk"),
    ("Trash", "\\Trash"),
    ("Archive", "\\Archive"),
)


@attrs.frozen(kw_only=True)
class Folder:
    """A folder without its contents."""

    id: int
    name: str
    uidvalidity: int
    special_use: str = ""
    subscribed: bool = True
    has_children: bool = False
    selectable: bool = True  # False: \Noselect, only there for its children
    object_id: str = ""  # MAILBOXID (RFC 8474 §4)


@attrs.frozen(kw_only=True)
class FolderStatus:
    """What STATUS answers (RFC 9051 §6.3.11), cheap to compute."""

    folder: Folder
    messages: int
    unseen: int
    recent: int
    deleted: int
    uidnext: int
    highest_modseq: int
    size_octets: int


@attrs.frozen(kw_only=True)
class FolderView:
    """
    A folder as SELECT finds it: three parallel arrays in UID order.

    ``flag_sets[flags[i]]`` are the flags of ``uids[i]``, system flags spelled ``\\Seen``: messages
    with equal flags share one set. This session is the first to see UIDs from ``recent_from`` on.
    """

    folder: Folder
    uidnext: int
    highest_modseq: int
    uids: "array[int]"
    flags: "array[int]"
    flag_sets: tuple[frozenset[str], ...]
    modseqs: "array[int]"
    recent_from: int

    @property
    def recent(self) -> "array[int]":
        """The UIDs that this session is the first to see."""
        return self.uids[bisect_left(self.uids, self.recent_from) :]

    def flags_of(self, index: int) -> frozenset[str]:
        """The flags of one message."""
        return self.flag_sets[self.flags[index]]


@attrs.frozen(kw_only=True)
class NewMessage:
    """A message to append. ``received_at`` is the INTERNALDATE in seconds since the epoch."""

    raw: bytes = attrs.field(repr=False)
    flags: frozenset[str] = frozenset()
    received_at: float


@attrs.frozen(kw_only=True)
class Delivery:
    """
    A message delivered by the queue. ``id`` makes it idempotent: the same id twice is one message.

    A missing ``folder`` falls back to INBOX: nothing is ever refused for a folder's name.
    """

    id: str
    message: NewMessage
    folder: str = "INBOX"


@attrs.frozen(kw_only=True)
class Appended:
    """Where appended messages went (APPENDUID, RFC 4315 §3)."""

    folder: Folder
    uids: tuple[int, ...]
    modseq: int


class Want(enum.Flag):
    """What a fetch needs beside uid, flags, modseq, received_at and size."""

    NOTHING = 0
    IDS = enum.auto()  # email_id and thread_id
    ENVELOPE = enum.auto()
    STRUCTURE = enum.auto()  # body and bodystructure
    OUTLINE = enum.auto()
    FIELDS = enum.auto()  # the usual header fields in a blob, else the header
    HEADER = enum.auto()  # raw header octets with the empty line
    BODY = enum.auto()  # the whole raw message, if not bigger than INLINE_BODY_OCTETS
    LINES = enum.auto()  # line_octets


class FetchedMessage(NamedTuple):
    """
    One message of a fetch: a row, because thousands of them are made at once.

    ``envelope``, ``body`` and ``bodystructure`` are octets as IMAP writes them (RFC 9051 §7.5.2).
    ``raw`` is None for a big message: read it by offsets.
    """

    uid: int
    modseq: int
    flags: frozenset[str]
    received_at: float
    size_octets: int
    email_id: str | None = None  # RFC 8474 §5.1; copies of a message share it
    thread_id: str | None = None  # RFC 8474 §5.2
    envelope: bytes | None = None
    body: bytes | None = None
    bodystructure: bytes | None = None
    outline: Outline | None = None
    fields: bytes | None = None  # see fe_mail/imap/header_index.py
    header: bytes | None = None
    raw: bytes | None = None
    line_octets: int | None = None  # with CRLF after every line, as POP3 sends it

    def __repr__(self) -> str:
        return f"FetchedMessage(uid={self.uid})"  # what people write is nobody's business


class FlagAction(enum.Enum):
    """STORE FLAGS, +FLAGS, -FLAGS."""

    REPLACE = "replace"
    ADD = "add"
    REMOVE = "remove"


@attrs.frozen(kw_only=True)
class FlagResult:
    """
    What STORE did. ``changed`` holds (uid, flags, modseq) of every existing message asked for
    (also those whose flags were as wished, with their old modseq); ``modified`` are the UIDs
    refused by UNCHANGEDSINCE (RFC 7162 §3.1.3). ``since`` is the ModSeq that the folder had
    before: who knew that one has missed nothing and knows ``modseq`` now.
    """

    since: int
    modseq: int
    changed: tuple[tuple[int, frozenset[str], int], ...]
    modified: tuple[int, ...] = ()


@attrs.frozen(kw_only=True)
class CopyResult:
    """
    COPYUID (RFC 4315 §3): ``source[i]`` became ``target[i]`` in ``folder``. After MOVE, ``since``
    is the ModSeq that the folder of the source had before.
    """

    folder: Folder
    since: int
    source: tuple[int, ...]
    target: tuple[int, ...]
    modseq: int


@attrs.frozen(kw_only=True)
class ExpungeResult:
    """UIDs that are gone; ``since`` is the ModSeq that the folder had before."""

    uids: tuple[int, ...]
    since: int
    modseq: int


@attrs.frozen(kw_only=True)
class Changes:
    """
    Everything in one folder after a ModSeq, as of ``modseq``.

    ``messages`` are (uid, flags, modseq) of new and changed ones in UID order; ``vanished`` the
    UIDs that are gone. When that is forgotten already (the ModSeq is below the horizon),
    ``present`` has every UID that is there: all others are gone. ``gone`` is True when the folder
    itself was deleted. Who asked is the first to see UIDs from ``recent_from`` on.
    """

    modseq: int
    uidnext: int
    recent_from: int = MAX_UID
    messages: tuple[tuple[int, frozenset[str], int], ...] = ()
    vanished: tuple[int, ...] = ()
    present: tuple[int, ...] | None = None
    gone: bool = False


@attrs.frozen(kw_only=True)
class Quota:
    """Octets used and allowed; ``limit_octets`` 0 means no limit."""

    used_octets: int
    limit_octets: int
