"""
COPY, MOVE and their UID forms (RFC 9051 §6.4.7, §6.4.8; RFC 6851; RFC 4315 §3: COPYUID).
"""

from fe_mail.imap.command import Copy, Move
from fe_mail.imap.formatting import sequence_set
from fe_mail.imap.reply import Reply, no, ok
from fe_mail.imap.session import Session
from fe_mail.model.mailbox import CopyResult

__all__ = ["COMMANDS"]


async def copy(session: Session, command: Copy) -> Reply:
    """All of them or none."""
    view = session.selected
    uids = view.uids_of(view.resolve(command.numbers, command.uid))
    if not uids:
        return ok("Nothing to copy.")
    result = await session.mailbox.copy(view.folder.id, uids, command.name)
    if result.folder.id == view.folder.id:
        await session.refresh(expunge=False, force=True)
    return ok("Copied.", _copyuid(result))


async def move(session: Session, command: Move) -> Reply:
    """COPYUID comes before the EXPUNGE responses (RFC 6851 §4.3)."""
    view = session.selected
    if view.read_only:
        return no("The folder is selected read-only.", b"CANNOT")
    uids = view.uids_of(view.resolve(command.numbers, command.uid))
    if not uids:
        return ok("Nothing to move.")
    result = await session.mailbox.move(view.folder.id, uids, command.name)
    code = _copyuid(result)
    if code:
        session.tell(b"OK [%s] Moved." % code)
    view.vanish(result.source)
    if result.source and result.folder.id != view.folder.id:
        session.advance(result.since, result.modseq)
    await session.refresh(expunge=True, force=result.folder.id == view.folder.id)
    return ok("Moved.")


def _copyuid(result: CopyResult) -> bytes:
    """Empty when nothing was left to copy."""
    if not result.source:
        return b""
    source, target = sequence_set(result.source), sequence_set(result.target)
    return b"COPYUID %d %s %s" % (result.folder.uidvalidity, source, target)


COMMANDS = {Copy: copy, Move: move}
