"""
Folders, messages and changes, as stores and sessions exchange them.

A *mailbox* is one alias's encrypted store; a *folder* is what IMAP calls a mailbox inside it.
Every mutation has a ModSeq (RFC 7162), which grows over the whole mailbox. Folder names are
``str`` with ``/`` as the separator; INBOX is compared without case.
"""

import enum

import attrs

from fe_mail.model.structure import MessageEnvelope, Part

__all__ = [
    "DEFAULT_FOLDERS",
    "INLINE_BODY_OCTETS",
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
    A folder as SELECT finds it: three parallel tuples in UID order.

    ``flags[i]`` holds the flags of ``uids[i]``, system flags spelled ``\\Seen``. Sets are shared
    between messages with equal flags. ``recent`` are the UIDs this session is the first to see.
    """

    folder: Folder
    uidnext: int
    highest_modseq: int
    uids: tuple[int, ...]
    flags: tuple[frozenset[str], ...]
    modseqs: tuple[int, ...]
    recent: frozenset[int] = frozenset()


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
    ENVELOPE = enum.auto()
    STRUCTURE = enum.auto()
    HEADER = enum.auto()  # raw header octets with the empty line
    BODY = enum.auto()  # the whole raw message, if not bigger than INLINE_BODY_OCTETS


@attrs.frozen(kw_only=True)
class FetchedMessage:
    """One message of a fetch. ``raw`` is None for a big message: read it by offsets."""

    uid: int
    modseq: int
    flags: frozenset[str]
    received_at: float
    size_octets: int
    envelope: MessageEnvelope | None = None
    structure: Part | None = None
    header: bytes | None = attrs.field(default=None, repr=False)
    raw: bytes | None = attrs.field(default=None, repr=False)


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
    refused by UNCHANGEDSINCE (RFC 7162 §3.1.3).
    """

    modseq: int
    changed: tuple[tuple[int, frozenset[str], int], ...]
    modified: tuple[int, ...] = ()


@attrs.frozen(kw_only=True)
class CopyResult:
    """COPYUID (RFC 4315 §3): ``source[i]`` became ``target[i]`` in ``folder``."""

    folder: Folder
    source: tuple[int, ...]
    target: tuple[int, ...]
    modseq: int


@attrs.frozen(kw_only=True)
class ExpungeResult:
    """UIDs that are gone."""

    uids: tuple[int, ...]
    modseq: int


@attrs.frozen(kw_only=True)
class Changes:
    """
    Everything in one folder after a ModSeq, as of ``modseq``.

    ``messages`` are (uid, flags, modseq) of new and changed ones in UID order; ``vanished`` the
    UIDs that are gone. ``gone`` is True when the folder itself was deleted.
    """

    modseq: int
    uidnext: int
    messages: tuple[tuple[int, frozenset[str], int], ...] = ()
    vanished: tuple[int, ...] = ()
    gone: bool = False


@attrs.frozen(kw_only=True)
class Quota:
    """Octets used and allowed; ``limit_octets`` 0 means no limit."""

    used_octets: int
    limit_octets: int
