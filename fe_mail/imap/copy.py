"""
COPY, MOVE and their UID forms (RFC 9051 §6.4.7, §6.4.8; RFC 6851; RFC 4315 §3: COPYUID).

All messages or none: when one that was named by its number is gone, nothing is copied or moved
(RFC 2180 §4.4.1), and the client hears which, so that it can ask again.
"""

from fe_mail.imap.command import Copy, Move
from fe_mail.imap.formatting import sequence_set
from fe_mail.imap.reply import Reply, no, ok, vanished
from fe_mail.imap.session import Session
from fe_mail.mailboxes.view import SelectedFolder
from fe_mail.model.errors import Conflict
from fe_mail.model.mailbox import CopyResult

__all__ = ["COMMANDS"]


async def copy(session: Session, command: Copy) -> Reply:
    """All of them or none."""
    view = session.selected
    uids = _named(view, command)
    if uids is None:
        return vanished()
    if not uids:
        return ok("Nothing to copy.")
    try:
        result = await session.mailbox.copy(
            view.folder.id, uids, command.name, all_there=not command.uid
        )
    except Conflict:
        return await _look_again(session)
    if result.folder.id == view.folder.id:
        await session.refresh(expunge=False, force=True)
    return ok("Copied.", _copyuid(result))


async def move(session: Session, command: Move) -> Reply:
    """COPYUID comes before the EXPUNGE responses (RFC 6851 §4.3)."""
    view = session.selected
    if view.read_only:
        return no("The folder is selected read-only.", b"CANNOT")
    uids = _named(view, command)
    if uids is None:
        return vanished()
    if not uids:
        return ok("Nothing to move.")
    try:
        result = await session.mailbox.move(
            view.folder.id, uids, command.name, all_there=not command.uid
        )
    except Conflict:
        return await _look_again(session)
    code = _copyuid(result)
    if code:
        session.tell(b"OK [%s] Moved." % code)
    view.vanish(result.source)
    if result.source and result.folder.id != view.folder.id:
        session.advance(result.since, result.modseq)
    await session.refresh(expunge=True, force=result.folder.id == view.folder.id)
    return ok("Moved.")


def _named(view: SelectedFolder, command: Copy | Move) -> list[int] | None:
    """The UIDs that are meant; None when a number means a message that is known to be gone."""
    spans = view.resolve(command.numbers, command.uid)
    uids = view.uids_of(spans)
    return uids if command.uid or len(uids) == sum(map(len, spans)) else None


async def _look_again(session: Session) -> Reply:
    """The store lost a message that the view still has."""
    await session.refresh(expunge=True, force=True)
    return vanished()


def _copyuid(result: CopyResult) -> bytes:
    """Empty when nothing was left to copy."""
    if not result.source:
        return b""
    source, target = sequence_set(result.source), sequence_set(result.target)
    return b"COPYUID %d %s %s" % (result.folder.uidvalidity, source, target)


COMMANDS = {Copy: copy, Move: move}
