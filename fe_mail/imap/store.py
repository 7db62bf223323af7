"""
STORE and UID STORE (RFC 9051 §6.4.6; RFC 7162 §3.1.3: UNCHANGEDSINCE, MODIFIED).
"""

from typing import Final

from fe_mail.imap.command import Store
from fe_mail.imap.formatting import sequence_set
from fe_mail.imap.reply import Reply, no, ok, vanished
from fe_mail.imap.session import Session
from fe_mail.mailboxes.view import SelectedFolder
from fe_mail.model.mailbox import FlagAction, FlagResult

__all__ = ["COMMANDS"]

BATCH: Final = 5000  # messages of one transaction


async def store(session: Session, command: Store) -> Reply:
    """
    Change flags and tell the new ones, unless the client asked for silence.

    Those that are there are changed even when others are gone (RFC 2180 §4.2).
    """
    view = session.selected
    if view.read_only:
        return no("The folder is selected read-only.", b"CANNOT")
    if command.unchanged_since is not None:
        session.enable_condstore()
    spans = view.resolve(command.numbers, command.uid)
    uids = view.uids_of(spans)
    modified: list[int] = []
    found = 0
    for start in range(0, len(uids), BATCH):
        result = await session.mailbox.store_flags(
            view.folder.id,
            uids[start : start + BATCH],
            command.action,
            command.flags,
            command.unchanged_since,
        )
        _tell(session, command, result)
        modified += result.modified
        found += len(result.changed) + len(result.modified)
        await session.wire.drain()
    if modified:
        return ok("Some messages changed in between.", _modified(view, command, modified))
    if command.uid or found == sum(map(len, spans)):
        return ok("Stored.")
    if command.silent:
        return ok("Stored; some messages are gone.", b"EXPUNGEISSUED")
    return vanished()


def _modified(view: SelectedFolder, command: Store, uids: list[int]) -> bytes:
    numbers = uids
    if not command.uid:
        numbers = [index + 1 for uid in uids if (index := view.index_of(uid)) is not None]
    return b"MODIFIED " + sequence_set(sorted(numbers))


def _tell(session: Session, command: Store, result: FlagResult) -> None:
    view = session.selected
    if view.learn_keywords(frozenset().union(*{entry[1] for entry in result.changed})):
        session.tell_flags()
    for uid, flags, modseq in result.changed:
        index = view.index_of(uid)
        if index is None:
            continue
        expected = _expect(view.flags_of(index), command)
        view.set_flags(index, flags, modseq)
        # Silence is about what the client knows; flags that somebody else set are news.
        told = not command.silent or {flag.lower() for flag in expected ^ flags}
        session.tell_fetch_flags(index, uid=command.uid, flags=bool(told))
    if result.modified:
        for uid in result.modified:
            index = view.index_of(uid)
            if index is not None and view.modseqs[index] > (command.unchanged_since or 0):
                session.tell_fetch_flags(index, uid=command.uid)
    session.advance(result.since, result.modseq)


def _expect(flags: frozenset[str], command: Store) -> frozenset[str]:
    if command.action is FlagAction.REPLACE:
        return command.flags
    if command.action is FlagAction.ADD:
        return flags | command.flags
    return flags - command.flags


COMMANDS = {Store: store}
