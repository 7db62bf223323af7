"""
CREATE, DELETE, RENAME, SUBSCRIBE, UNSUBSCRIBE, LIST, LSUB, STATUS.

RFC 9051 §6.3.4-§6.3.11; RFC 3501 §6.3.9 (LSUB); RFC 3348 (CHILDREN); RFC 6154 (SPECIAL-USE);
RFC 7889 (APPENDLIMIT); RFC 8438 (STATUS=SIZE); RFC 8474 §4 (MAILBOXID).
"""

from collections.abc import Callable
from typing import Final

from fe_mail.imap import formatting
from fe_mail.imap.command import (
    Create,
    Delete,
    List,
    ListSubscribed,
    Rename,
    Status,
    StatusItem,
    Subscribe,
    Unsubscribe,
)
from fe_mail.imap.folder_pattern import matches
from fe_mail.imap.framing import APPEND_LIMIT_OCTETS
from fe_mail.imap.reply import Reply, bad, no, ok
from fe_mail.imap.session import Session
from fe_mail.model.errors import NotFound
from fe_mail.model.mailbox import Folder, FolderStatus

__all__ = ["COMMANDS"]

# \All and \Flagged would need virtual folders.
SPECIAL_USES: Final = ("\\Archive", "\\Drafts", "\\Junk", "\\Sent", "\\Trash")
MAX_PATTERN_LETTERS: Final = 1000

COUNTS: Final[dict[StatusItem, Callable[[FolderStatus], int]]] = {
    StatusItem.MESSAGES: lambda status: status.messages,
    StatusItem.RECENT: lambda status: status.recent,
    StatusItem.UIDNEXT: lambda status: status.uidnext,
    StatusItem.UIDVALIDITY: lambda status: status.folder.uidvalidity,
    StatusItem.UNSEEN: lambda status: status.unseen,
    StatusItem.DELETED: lambda status: status.deleted,
    StatusItem.SIZE: lambda status: status.size_octets,
    StatusItem.HIGHESTMODSEQ: lambda status: status.highest_modseq,
    StatusItem.APPENDLIMIT: lambda status: APPEND_LIMIT_OCTETS,
}


async def create(session: Session, command: Create) -> Reply:
    """A separator at the end only says that children will follow."""
    if any(use not in SPECIAL_USES for use in command.special_use) or len(command.special_use) > 1:
        return no("This special use is not supported.", b"USEATTR")
    use = command.special_use[0] if command.special_use else ""
    folder = await session.mailbox.create_folder(command.name.removesuffix("/"), use)
    return ok("Folder created.", b"MAILBOXID " + formatting.object_id(folder.object_id))


async def delete(session: Session, command: Delete) -> Reply:
    """With its messages; one with children stays as their parent."""
    if command.name == "INBOX":
        return no("INBOX cannot be deleted.", b"CANNOT")
    await session.mailbox.delete_folder(command.name)
    return ok("Folder deleted.")


async def rename(session: Session, command: Rename) -> Reply:
    """With its children; INBOX stays and gives its messages away."""
    await session.mailbox.rename_folder(command.old, command.new.removesuffix("/"))
    return ok("Folder renamed.")


async def subscribe(session: Session, command: Subscribe) -> Reply:
    """Only folders that exist, or names that are subscribed."""
    await session.mailbox.subscribe_folder(command.name, True)
    return ok("Subscribed.")


async def unsubscribe(session: Session, command: Unsubscribe) -> Reply:
    """The opposite; also of what is not subscribed, or not there at all."""
    await session.mailbox.subscribe_folder(command.name, False)
    return ok("Unsubscribed.")


async def list_folders(session: Session, command: List) -> Reply:
    """An empty pattern asks for the separator only."""
    pattern = command.reference + command.pattern
    if not command.pattern:
        session.tell(b'LIST (\\Noselect) "/" ""')
        return ok("Separator listed.")
    if len(pattern) > MAX_PATTERN_LETTERS:
        return bad("The pattern is too long.")
    for folder in await session.mailbox.folders():
        if matches(pattern, folder.name):
            session.tell(_listed(b"LIST", folder.name, _attributes(folder)))
    return ok("Folders listed.")


def _attributes(folder: Folder) -> list[str]:
    attributes = [] if folder.selectable else ["\\Noselect"]
    attributes.append("\\HasChildren" if folder.has_children else "\\HasNoChildren")
    if folder.special_use:
        attributes.append(folder.special_use)
    return attributes


def _listed(kind: bytes, name: str, attributes: list[str]) -> bytes:
    names = " ".join(attributes).encode("ascii")
    return b'%s (%s) "/" %s' % (kind, names, formatting.folder_name(name))


async def list_subscribed(session: Session, command: ListSubscribed) -> Reply:
    """
    Names that are subscribed, also of folders that are gone; these cannot be selected. With ``%``
    a subscribed child shows its parent, like that (RFC 3501 §6.3.6, §6.3.9).
    """
    pattern = command.reference + command.pattern
    if len(pattern) > MAX_PATTERN_LETTERS:
        return bad("The pattern is too long.")
    shown: dict[str, list[str]] = {}
    folders = {folder.name: folder for folder in await session.mailbox.folders()}
    for name in await session.mailbox.subscriptions():
        if matches(pattern, name):
            shown[name] = _attributes(folders[name]) if name in folders else ["\\Noselect"]
        elif pattern.endswith("%"):
            for parent in _parents(name):
                if matches(pattern, parent):
                    shown.setdefault(parent, ["\\Noselect"])
    for name, attributes in shown.items():
        session.tell(_listed(b"LSUB", name, attributes))
    return ok("Subscriptions listed.")


def _parents(name: str) -> list[str]:
    parts = name.split("/")[:-1]
    return ["/".join(parts[: count + 1]) for count in range(len(parts))]


async def status(session: Session, command: Status) -> Reply:
    """Counts of a folder, selected or not."""
    await session.take_in()
    found = await session.mailbox.status((command.name,))
    if not found or not found[0].folder.selectable:
        raise NotFound("There is no such folder.")
    if StatusItem.HIGHESTMODSEQ in command.items:
        session.enable_condstore()
    counts = b" ".join(item.value + b" " + _told(item, found[0]) for item in command.items)
    session.tell(b"STATUS %s (%s)" % (formatting.folder_name(command.name), counts))
    return ok("Status told.")


def _told(item: StatusItem, status: FolderStatus) -> bytes:
    if item is StatusItem.MAILBOXID:
        return formatting.object_id(status.folder.object_id)
    return b"%d" % COUNTS[item](status)


COMMANDS = {
    Create: create,
    Delete: delete,
    Rename: rename,
    Subscribe: subscribe,
    Unsubscribe: unsubscribe,
    List: list_folders,
    ListSubscribed: list_subscribed,
    Status: status,
}
