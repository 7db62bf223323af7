"""
SEARCH and UID SEARCH (RFC 9051 §6.4.4; RFC 3501 §7.2.5; RFC 7162 §3.1.5, §3.1.6).
"""

from bisect import bisect_left
from typing import Final

from fe_mail.imap.command import Search
from fe_mail.imap.reply import Reply, ok
from fe_mail.imap.session import Session
from fe_mail.mailboxes.search import resolve, test_in_view, weight

__all__ = ["COMMANDS"]

TESTS: Final = 25_000  # of single keys on single messages, without a pause


async def search(session: Session, command: Search) -> Reply:
    """The view answers if it can, else the store."""
    view = session.selected
    await session.refresh(expunge=command.uid)
    if command.mentions_modseq:
        session.enable_condstore()
    indexes = await _match(session, command)
    if indexes is None:
        found = await session.mailbox.search(view.folder.id, resolve(command.criterion, view))
        indexes = _indexes(session, found)
    elif view.has_vanished:
        indexes = [index for index in indexes if not view.is_vanished(view.uids[index])]
    numbers = [view.uids[index] if command.uid else index + 1 for index in indexes]
    answer = b"SEARCH" + (b" " if numbers else b"") + b" ".join(map(b"%d".__mod__, numbers))
    if command.mentions_modseq and indexes:
        answer += b" (MODSEQ %d)" % max(view.modseqs[index] for index in indexes)
    session.tell(answer)
    return ok("Searched.")


async def _match(session: Session, command: Search) -> list[int] | None:
    """What the view can answer, in slices, so that a big folder does not hold up others."""
    view = session.selected
    test = test_in_view(command.criterion, view)
    if test is None:
        return None
    indexes: list[int] = []
    step = max(1, TESTS // weight(command.criterion))
    for start in range(0, len(view), step):
        if start:
            await session.wire.breathe()
        indexes += filter(test, range(start, min(start + step, len(view))))
    return indexes


def _indexes(session: Session, found: tuple[tuple[int, int], ...]) -> list[int]:
    """Matches that the client can know of: what arrived since the last EXISTS is not."""
    uids = session.selected.uids
    indexes = []
    at = 0
    for uid, _ in found:
        at = bisect_left(uids, uid, at)
        if at == len(uids):
            break
        if uids[at] == uid:
            indexes.append(at)
    return indexes


COMMANDS = {Search: search}
