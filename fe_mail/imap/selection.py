"""
SELECT, EXAMINE, CHECK, CLOSE, UNSELECT, EXPUNGE, IDLE: looking at one folder.

RFC 9051 §6.3.2, §6.3.3, §6.3.13, §6.4.1-§6.4.3; RFC 7162 §3.1.2, §3.1.8 (HIGHESTMODSEQ);
RFC 2177 (IDLE); RFC 3691 (UNSELECT); RFC 4315 (UID EXPUNGE); RFC 8474 §4.2 (MAILBOXID).
"""

from fe_mail.imap import formatting
from fe_mail.imap.command import Check, Close, Examine, Expunge, Idle, Select, Unselect
from fe_mail.imap.reply import Reply, bad, no, ok
from fe_mail.imap.session import SYSTEM_FLAGS, Session
from fe_mail.mailboxes.view import SelectedFolder
from fe_mail.model.errors import NotFound

__all__ = ["COMMANDS"]


async def select(session: Session, command: Select | Examine) -> Reply:
    """Both of them; whatever was selected before is not any more, even if this fails."""
    read_only = isinstance(command, Examine)
    if session.view is not None:
        session.tell(b"OK [CLOSED] The previous folder is closed.")
    session.deselect()
    await session.take_in()
    found = await session.mailbox.select(command.name, claim_recent=not read_only)
    if not found.folder.selectable:
        raise NotFound("This folder only has children.")
    if command.condstore:
        session.enable_condstore()
    view = SelectedFolder(found, read_only)
    session.select(view)
    _describe(session, view)
    return ok("Selected.", b"READ-ONLY" if read_only else b"READ-WRITE")


def _describe(session: Session, view: SelectedFolder) -> None:
    session.tell_flags()
    permanent = b"()"
    if not view.read_only:
        permanent = formatting.flag_list(SYSTEM_FLAGS.union(view.keywords, ("\\*",)))
    session.tell(b"OK [PERMANENTFLAGS %s] Flags that are kept." % permanent)
    session.tell(b"%d EXISTS" % len(view))
    session.tell(b"%d RECENT" % view.recent_count)
    unseen = view.first_unseen()
    if unseen is not None:
        session.tell(b"OK [UNSEEN %d] The first message without \\Seen." % unseen)
    session.tell(b"OK [UIDVALIDITY %d] UIDs are valid." % view.folder.uidvalidity)
    session.tell(b"OK [UIDNEXT %d] The next UID." % view.uidnext)
    session.tell(b"OK [HIGHESTMODSEQ %d] The highest mod-sequence." % view.modseq)
    object_id = formatting.object_id(view.folder.object_id)
    session.tell(b"OK [MAILBOXID %s] The id of the folder." % object_id)


async def check(session: Session, command: Check) -> Reply:
    """Nothing to write back: the store is always up to date."""
    await session.refresh(expunge=True, force=True)
    return ok("Checked.")


async def close(session: Session, command: Close) -> Reply:
    """Expunge silently, then look away."""
    view = session.selected
    if not view.read_only:
        await session.mailbox.expunge(view.folder.id)
    session.deselect()
    return ok("Closed.")


async def unselect(session: Session, command: Unselect) -> Reply:
    """Look away, and expunge nothing."""
    session.deselect()
    return ok("Unselected.")


async def expunge(session: Session, command: Expunge) -> Reply:
    """EXPUNGE and UID EXPUNGE."""
    view = session.selected
    if view.read_only:
        return no("The folder is selected read-only.", b"CANNOT")
    uids = None
    if command.uids is not None:
        uids = view.uids_of(view.resolve(command.uids, uid=True))
        if not uids:
            return ok("Nothing to expunge.")
    result = await session.mailbox.expunge(view.folder.id, uids)
    if result.uids:
        view.vanish(result.uids)
        session.advance(result.since, result.modseq)
    await session.refresh(expunge=True)
    code = b"HIGHESTMODSEQ %d" % view.modseq if session.condstore and result.uids else b""
    return ok("Expunged.", code)


async def idle(session: Session, command: Idle) -> Reply:
    """Until DONE, tell what happens as it happens."""
    session.wire.write(b"+ idling\r\n")
    await session.refresh(expunge=True, force=True)
    while True:
        line = await session.wire.line_or_hint()
        if line is not None:
            break
        await session.refresh(expunge=True)
    return ok("Idled.") if line.upper() == b"DONE" else bad("Expected DONE.")


COMMANDS = {
    Select: select,
    Examine: select,
    Check: check,
    Close: close,
    Unselect: unselect,
    Expunge: expunge,
    Idle: idle,
}
