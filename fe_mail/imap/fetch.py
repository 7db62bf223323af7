"""
FETCH and UID FETCH.

What the view knows (UID, FLAGS, MODSEQ, and sizes and dates seen before) is answered from it;
the rest is read from the store in batches, and written column by column (``fetch_plan``). Big
bodies are streamed in chunks, so a reader who stops costs one chunk. \\Seen is set after a
batch was read, and stored by the way (``seen``).

RFC 9051 §6.4.5, §7.5.2; RFC 3501 §6.4.5 (RFC822 items); RFC 7162 §3.1.4 (CHANGEDSINCE).
"""

from collections.abc import Iterator
from itertools import chain
from typing import Final

import attrs

from fe_mail.connection.pacing import ConnectionEnded
from fe_mail.imap.command import Fetch
from fe_mail.imap.fetch_item import Attribute, FetchItem, Section, SectionText
from fe_mail.imap.fetch_plan import Plan, cut, header_section, picked
from fe_mail.imap.reply import Reply, ok, vanished
from fe_mail.imap.sections import Span, locate, wants_header_only
from fe_mail.imap.session import Session
from fe_mail.mailboxes.view import SelectedFolder
from fe_mail.model.errors import MailError, NotFound
from fe_mail.model.mailbox import FetchedMessage, Want

__all__ = ["COMMANDS"]

BATCH_MESSAGES: Final = 200
BATCH_OCTETS: Final = 2 * 1024 * 1024
ROWS_WITHOUT_BODIES: Final = 1000  # of one read
ROWS_FROM_VIEW: Final = 1000  # formatted without a pause
ASSUMED_OCTETS: Final = 32 * 1024  # of a message whose size is not known yet
CHUNK_OCTETS: Final = 128 * 1024  # of a streamed body
MAX_EMBEDDED_HEADER_OCTETS: Final = 256 * 1024  # of which fields are picked


@attrs.frozen
class Line:
    """One message being formatted: where it stands and what the store said."""

    view: SelectedFolder
    index: int
    row: FetchedMessage

    def attribute(self, item: Attribute) -> bytes:
        """An item without arguments, and its value."""
        return Plan.of((item,)).item(self.view, self.index, self.row)


async def fetch(session: Session, command: Fetch) -> Reply:
    """Tell what is asked of every message in the set that is there (RFC 2180 §4.1.2)."""
    view = session.selected
    await session.refresh(expunge=command.uid)
    if command.changed_since is not None or Attribute.MODSEQ in command.items:
        session.enable_condstore()
    spans = view.resolve(command.numbers, command.uid)
    indexes: Iterator[int] = chain.from_iterable(spans)
    if command.changed_since is not None:
        since = command.changed_since
        indexes = (index for index in indexes if view.modseqs[index] > since)
    plan = Plan.of(command.items)
    complete = True
    for batch in _batches(view, indexes, plan):
        complete = await _fetch_batch(session, plan, batch) and complete
        await session.wire.drain()
    if not complete and not command.uid:
        return vanished()
    return ok("Fetched.")


def _batches(view: SelectedFolder, indexes: Iterator[int], plan: Plan) -> Iterator[list[int]]:
    """Indexes in groups that fit one read and some memory."""
    bodies = plan.streams
    limit = ROWS_FROM_VIEW if plan.is_of_view else ROWS_WITHOUT_BODIES
    if bodies or Want.HEADER in plan.want:
        limit = BATCH_MESSAGES
    batch: list[int] = []
    octets = 0
    for index in indexes:
        if bodies:
            known = view.size_and_date(index)
            octets += known[0] if known else ASSUMED_OCTETS
        if batch and (len(batch) >= limit or octets > BATCH_OCTETS):
            yield batch
            batch, octets = [], 0
        batch.append(index)
    if batch:
        yield batch


async def _fetch_batch(session: Session, plan: Plan, batch: list[int]) -> bool:
    """False when some of the messages are gone."""
    view = session.selected
    live = batch
    if view.has_vanished:
        live = [index for index in batch if not view.is_vanished(view.uids[index])]
    if live and plan.needs_store(view, live):
        return await _from_store(session, plan, live) and len(live) == len(batch)
    session.wire.write(plan.responses(view, live, ()))
    if len(batch) == ROWS_FROM_VIEW:
        await session.wire.breathe()
    return len(live) == len(batch)


async def _from_store(session: Session, plan: Plan, batch: list[int]) -> bool:
    view = session.selected
    rows = await session.read_ahead.fetch(session.mailbox, view, batch, plan.want)
    found = batch
    if len(rows) < len(batch):
        there = {row.uid for row in rows}
        found = [index for index in batch if view.uids[index] in there]
    if plan.remembers:
        for index, row in zip(found, rows, strict=True):
            view.remember(index, row.size_octets, row.received_at)
    complete = len(found) == len(batch)
    newly_seen = await _mark_seen(session, plan.items, found)
    if not plan.streams and not newly_seen:
        session.wire.write(plan.responses(view, found, rows))
        return complete
    for index, row in zip(found, rows, strict=True):
        asked = plan.items
        if index in newly_seen and Attribute.FLAGS not in asked:
            asked = (*asked, Attribute.FLAGS)
        if session.condstore and index in newly_seen and Attribute.MODSEQ not in asked:
            asked = (*asked, Attribute.MODSEQ)
        complete = await _send(session, asked, Line(view, index, row)) and complete
    return complete


async def _mark_seen(
    session: Session, items: tuple[FetchItem, ...], indexes: list[int]
) -> frozenset[int]:
    """Set \\Seen where reading without PEEK means so; the indexes where it was not set."""
    view = session.selected
    if view.read_only or all(not isinstance(item, Section) or item.peek for item in items):
        return frozenset()
    unseen = [index for index in indexes if "\\Seen" not in view.flags_of(index)]
    if unseen:
        session.seen.mark([view.uids[index] for index in unseen])
        if session.condstore:  # the client wants to hear of the ModSeq
            await session.seen.settled()
    return frozenset(unseen)


async def _send(session: Session, items: tuple[FetchItem, ...], line: Line) -> bool:
    """
    One message. False when it went before anything of it was written; if it goes in the middle
    of a literal, only closing the connection keeps the client in step.
    """
    writing = Writing(session, b"* %d FETCH (" % (line.index + 1))
    try:
        for item in items:
            if isinstance(item, Attribute):
                writing.add(line.attribute(item))
            else:
                await _send_section(writing, item, line)
    except MailError:
        if not writing.is_begun:
            return False
        session.wire.abort()
        raise ConnectionEnded from None
    except ConnectionEnded:
        raise
    except Exception:
        if writing.is_begun:
            session.wire.abort()
        raise
    writing.end()
    if session.wire.is_full():
        await session.wire.drain()
    return True


class Writing:
    """One FETCH response, kept back until a part of it must be streamed."""

    def __init__(self, session: Session, head: bytes) -> None:
        self.session = session
        self.is_begun = False
        self._pieces = [head]
        self._separator = b""

    def add(self, *pieces: bytes) -> None:
        """The next item."""
        self._pieces.append(self._separator)
        self._pieces += pieces
        self._separator = b" "

    def release(self) -> None:
        """Write what was kept back."""
        self.is_begun = True
        for piece in self._pieces:
            self.session.wire.write(piece)
        self._pieces.clear()

    def end(self) -> None:
        """The response is complete."""
        self._pieces.append(b")\r\n")
        self.release()


async def _send_section(writing: Writing, section: Section, line: Line) -> None:
    octets = await _small(writing.session, section, line)
    if octets is not None:
        writing.add(b"%s {%d}\r\n" % (section.label, len(octets)), octets)
        return
    span = _span(section, line.row)
    if span is None:
        writing.add(section.label + b" NIL")
    else:
        await _stream(writing, section.label, span, line.row.uid)


async def _small(session: Session, section: Section, line: Line) -> bytes | None:
    """The octets of a section if they are at hand, None if they must be streamed or are not."""
    row = line.row
    if wants_header_only(section):
        return header_section(section, row)
    if section.text in (SectionText.FIELDS, SectionText.FIELDS_NOT):
        span = locate(section, row.outline, row.size_octets)
        if span is None:
            return None
        end = min(span.end, span.start + MAX_EMBEDDED_HEADER_OCTETS)
        if row.raw is not None:
            header = row.raw[span.start : end]
        else:
            header = await session.mailbox.read(line.view.folder.id, row.uid, span.start, end)
        return cut(section, picked(section, header))
    if row.raw is None:
        return None
    if section.partial is None and not section.part and section.text is SectionText.ALL:
        return row.raw
    span = _span(section, row)
    return None if span is None else row.raw[span.start : span.end]


def _span(section: Section, row: FetchedMessage) -> Span | None:
    """Where the octets to send are, with ``<start.count>`` applied."""
    span = locate(section, row.outline, row.size_octets)
    if span is None or section.partial is None:
        return span
    start = min(span.start + section.partial[0], span.end)
    return Span(start, min(start + section.partial[1], span.end))


async def _stream(writing: Writing, label: bytes, span: Span, uid: int) -> None:
    """A literal in chunks; the first one is read before anything is promised."""
    session = writing.session
    folder_id = session.selected.folder.id
    at = span.start
    while True:
        end = min(at + CHUNK_OCTETS, span.end)
        chunk = await session.mailbox.read(folder_id, uid, at, end) if at < end else b""
        if len(chunk) < end - at:
            raise NotFound("The message is gone.")
        if at == span.start:
            writing.add(b"%s {%d}\r\n" % (label, span.end - span.start))
            writing.release()
        session.wire.write(chunk)
        await session.wire.drain()
        at = end
        if at == span.end:
            return


COMMANDS = {Fetch: fetch}
