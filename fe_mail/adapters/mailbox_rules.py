"""
Rules that every mailbox store keeps: folder names, flags, text for searching, days, limits.

A folder name is stored normalized: Unicode NFC (RFC 5198 §3), ``/`` between its levels, INBOX in
capitals wherever it is the first level (RFC 9051 §5.1). A keyword keeps the spelling in which the
mailbox saw it first (RFC 9051 §2.3.2 compares without case).
"""

import datetime
import re
import unicodedata
from collections.abc import Iterable, Iterator

from fe_mail.model.errors import Invalid, NotFound, TooBig

__all__ = [
    "FOLDERS_MAX",
    "INBOX",
    "KEYWORDS_MAX",
    "MESSAGE_OCTETS_MAX",
    "SPECIAL_USES",
    "SYSTEM_FLAGS",
    "canonical_flag",
    "canonical_flags",
    "check_size",
    "child_prefix",
    "day_of",
    "fold",
    "folder_name",
    "folder_order",
    "parents",
    "searchable",
    "searchable_lines",
    "special_use_name",
    "wanted_folder",
]

INBOX = "INBOX"
FOLDERS_MAX = 10_000
FOLDER_NAME_OCTETS_MAX = 1_000
FOLDER_DEPTH_MAX = 30
MESSAGE_OCTETS_MAX = 100 * 1024 * 1024
KEYWORD_OCTETS_MAX = 200
KEYWORDS_MAX = 1_000  # in one mailbox

SYSTEM_FLAGS = ("\\Answered", "\\Deleted", "\\Draft", "\\Flagged", "\\Seen")
SPECIAL_USES = ("\\All", "\\Archive", "\\Drafts", "\\Flagged", "\\Junk", "\\Sent", "\\Trash")

_SYSTEM = {flag.lower(): flag for flag in SYSTEM_FLAGS}
_SPECIAL = {use.lower(): use for use in SPECIAL_USES}
_EPOCH_DAY = datetime.date(1970, 1, 1).toordinal()
_DAY_SECONDS = 86_400
_FORBIDDEN_CATEGORIES = frozenset({"Cc", "Cs", "Zl", "Zp"})
_ATOM = frozenset(map(chr, range(0x21, 0x7F))) - frozenset('(){%*"\\]')  # RFC 9051 §9
# Normalizing holds up other threads, so it is done to pieces of this size.
_PAGE_CHARACTERS = 1 << 16
# Default_Ignorable_Code_Point (Unicode, DerivedCoreProperties.txt).
_IGNORABLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e"
    "\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3"
    "\U0001d173-\U0001d17a\U000e0000-\U000e0fff]+"
)
_WHITE_IN_LINES = "\t\v\f\r\x1c\x1d\x1e\x1f"  # of ASCII, but for the space
_SPACES = re.compile(" {2,}")
_WILDCARDS = frozenset("*%")  # RFC 9051 §5.1: should not be used, because LIST takes them


def folder_name(name: str) -> str:
    """The normalized name; ``Invalid`` or ``TooBig`` for one that nobody may create."""
    name = unicodedata.normalize("NFC", name)
    if any(c in _WILDCARDS or unicodedata.category(c) in _FORBIDDEN_CATEGORIES for c in name):
        raise Invalid("The folder name has a character that is not allowed.", field="name")
    levels = name.split("/")
    if any(not level.strip() for level in levels):
        raise Invalid("The folder name has an empty level.", field="name")
    if levels[0].upper() == INBOX:
        levels[0] = INBOX
    name = "/".join(levels)
    if len(name.encode()) > FOLDER_NAME_OCTETS_MAX or len(levels) > FOLDER_DEPTH_MAX:
        raise TooBig("The folder name is too long.")
    return name


def wanted_folder(name: str) -> str:
    """The normalized name of a folder that is looked for; ``NotFound`` if none can have it."""
    try:
        return folder_name(name)
    except (Invalid, TooBig):
        raise NotFound("There is no such folder.") from None


def parents(name: str) -> tuple[str, ...]:
    """``a/b/c`` has the parents ``a`` and ``a/b``."""
    levels = name.split("/")
    return tuple("/".join(levels[:depth]) for depth in range(1, len(levels)))


def child_prefix(name: str) -> str:
    """What the names of all folders below ``name`` begin with."""
    return name + "/"


def folder_order(name: str) -> tuple[bool, str]:
    """Sort key: INBOX first, the rest by name."""
    return name != INBOX, name


def special_use_name(use: str) -> str:
    """The canonical spelling of a special use (RFC 6154 §2), empty for none."""
    if not use:
        return ""
    if use.lower() not in _SPECIAL:
        raise Invalid("This special use is not known.", field="special_use")
    return _SPECIAL[use.lower()]


def canonical_flag(flag: str) -> str | None:
    """A flag in the spelling we keep; None for \\Recent, which nobody can set."""
    if not flag.startswith("\\"):
        if not flag or len(flag) > KEYWORD_OCTETS_MAX or not _ATOM.issuperset(flag):
            raise Invalid("A keyword is empty, too long or not an atom.", field="flags")
        return flag
    if flag.lower() == "\\recent":
        return None
    if flag.lower() not in _SYSTEM:
        raise Invalid("This system flag is not known.", field="flags")
    return _SYSTEM[flag.lower()]


def canonical_flags(flags: Iterable[str], lenient: bool = False) -> frozenset[str]:
    """All flags in our spelling; ``lenient`` (for deliveries) drops what could not be set."""
    result = set()
    for flag in flags:
        try:
            result.add(canonical_flag(flag))
        except Invalid:
            if not lenient:
                raise
    return frozenset(flag for flag in result if flag is not None)


def check_size(sizes: Iterable[int]) -> int:
    """The sum of the sizes; ``TooBig`` when one is over the limit."""
    total = 0
    for size in sizes:
        if size > MESSAGE_OCTETS_MAX:
            raise TooBig("The message is too big.")
        total += size
    return total


def fold(text: str) -> str:
    """Text as lists are sorted and threads are found by: without case (Unicode 3.13, D145)."""
    if text.isascii():
        return text.lower().replace("\0", "\ufffd")
    text = text.encode("utf-8", "replace").decode()  # no lone surrogates
    folded = unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())
    return folded.replace("\0", "\ufffd")


def searchable(text: str) -> str:
    """
    Text as searching compares it: without case, without compatibility forms and what cannot be
    seen (Unicode 3.13, D146; RFC 5051), all white space and line ends one space.
    """
    pieces: list[str] = []
    is_parted = False  # what was added last ends in a space
    for page in _pages(text):
        folded = _compatible(page)
        words = folded.split()
        if folded[:1].isspace() and not is_parted:
            pieces.append(" ")
            is_parted = True
        if words:
            pieces.append(" ".join(words))
            is_parted = folded[-1:].isspace()
            pieces.append(" " if is_parted else "")
    return "".join(pieces).replace("\0", "\ufffd")


def searchable_lines(text: str) -> str:
    """The like of header fields, one a line; most are ASCII, which takes a few calls for all."""
    if len(text) > _PAGE_CHARACTERS or not text.isascii():
        return "\n".join(map(searchable, text.split("\n")))
    text = text.lower().replace("\0", "\ufffd")
    for white in _WHITE_IN_LINES:
        text = text.replace(white, " ")
    return _SPACES.sub(" ", text) if "  " in text else text


def _pages(text: str) -> Iterator[str]:
    """The text in pieces that end behind white space, if there is any."""
    start = 0
    while len(text) - start > _PAGE_CHARACTERS:
        end = start + _PAGE_CHARACTERS
        space = max(text.rfind(" ", start, end), text.rfind("\n", start, end))
        end = space + 1 if space > start else end
        yield text[start:end]
        start = end
    yield text[start:]


def _compatible(text: str) -> str:
    if text.isascii():
        return text.lower()
    text = text.encode("utf-8", "replace").decode()  # no lone surrogates
    folded = unicodedata.normalize("NFKC", text).casefold()
    return unicodedata.normalize("NFKC", _IGNORABLE.sub("", folded))


def day_of(seconds: float) -> int:
    """The proleptic ordinal of a time."""
    return _EPOCH_DAY + int(seconds // _DAY_SECONDS)
