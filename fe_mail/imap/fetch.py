"""
FETCH and UID FETCH.

What the view knows (UID, FLAGS, MODSEQ, and sizes and dates seen before) is answered from it;
the rest is read from the store in batches, and written column by column (``fetch_plan``). Big
bodies are streamed in chunks, so a reader who stops costs one chunk. \\Seen is set after a
batch was read, and stored by the way (``seen``). What is damaged is told apart from what is gone,
and keeps nobody from the others.

RFC 9051 §6.4.5, §7.5.2; RFC 3501 §6.4.5 (RFC822 items); RFC 7162 §3.1.4 (CHANGEDSINCE);
RFC 5530 §3 (EXPUNGEISSUED, CORRUPTION).
"""

from collections.abc import AsyncIterator, Iterator, Sequence
from enum import Flag, auto
from itertools import chain
from typing import Final

import attrs

from fe_mail.connection.pacing import ConnectionEnded
from fe_mail.imap.command import Fetch
from fe_mail.imap.fetch_item import Attribute, FetchItem, Section, SectionText
from fe_mail.imap.fetch_plan import Plan, cut, header_section, picked
from fe_mail.imap.reply import Reply, damaged, ok, vanished
from fe_mail.imap.sections import Span, locate, wants_header_only
from fe_mail.imap.session import Session
from fe_mail.mailboxes.damage import are_damaged
from fe_mail.mailboxes.view import SelectedFolder
from fe_mail.model.errors import Corrupt, MailError, NotFound
from fe_mail.model.mailbox import FetchedMessage, Want

__all__ = ["COMMANDS"]

BATCH_MESSAGES: Final = 200
BATCH_OCTETS: Final = 2 * 1024 * 1024
ROWS_WITHOUT_BODIES: Final = 1000  # of one read
ROWS_FROM_VIEW: Final = 1000  # formatted without a pause
ASSUMED_OCTETS: Final = 32 * 1024  # of a message whose size is not known yet
CHUNK_OCTETS: Final = 128 * 1024  # of a streamed body
MAX_EMBEDDED_HEADER_OCTETS: Final = 256 * 1024  # of which fields are picked


class Lack(Flag):
    """Why messages were not told."""

    NOTHING = 0
    GONE = auto()  # another session removed them
    DAMAGED = auto()  # they are there, and cannot be read


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
    lack = Lack.NOTHING
    for batch in _batches(view, indexes, plan):
        lack |= await _fetch_batch(session, plan, batch)
        await session.wire.drain()
    if Lack.DAMAGED in lack:
        return damaged()
    if Lack.GONE in lack and not command.uid:
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


async def _fetch_batch(session: Session, plan: Plan, batch: list[int]) -> Lack:
    view = session.selected
    live, lack = batch, Lack.NOTHING
    if view.has_vanished:
        live = [index for index in batch if not view.is_vanished(view.uids[index])]
    if len(live) < len(batch):
        lack = Lack.GONE
    if live and plan.needs_store(view, live):
        return lack | await _from_store(session, plan, live)
    session.wire.write(plan.responses(view, live, ()))
    if len(batch) == ROWS_FROM_VIEW:
        await session.wire.breathe()
    return lack


async def _from_store(session: Session, plan: Plan, batch: list[int]) -> Lack:
    view = session.selected
    rows = await session.read_ahead.fetch(session.mailbox, view, batch, plan.want)
    found, lack = batch, Lack.NOTHING
    if len(rows) < len(batch):
        there = {row.uid for row in rows}
        found = [index for index in batch if view.uids[index] in there]
        lack = await _why(session, [view.uids[index] for index in batch], there)
    if plan.remembers:
        for index, row in zip(found, rows, strict=True):
            view.remember(index, row.size_octets, row.received_at)
    newly_seen = await _mark_seen(session, plan.items, found)
    if not plan.streams and not newly_seen:
        session.wire.write(plan.responses(view, found, rows))
        return lack
    for index, row in zip(found, rows, strict=True):
        asked = plan.items
        if index in newly_seen and Attribute.FLAGS not in asked:
            asked = (*asked, Attribute.FLAGS)
        if session.condstore and index in newly_seen and Attribute.MODSEQ not in asked:
            asked = (*asked, Attribute.MODSEQ)
        why = await _send(session, asked, Line(view, index, row))
        if why and index in newly_seen:  # it was set, though nothing was read
            session.tell_fetch_flags(index)
        lack |= why
    return lack


async def _why(session: Session, asked: Sequence[int], there: set[int]) -> Lack:
    """Why the store gave nothing for the others of these UIDs."""
    left_out = [uid for uid in asked if uid not in there]
    if await are_damaged(session.mailbox, session.selected.folder.id, left_out):
        return Lack.DAMAGED
    return Lack.GONE


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


async def _send(session: Session, items: tuple[FetchItem, ...], line: Line) -> Lack:
    """
    One message, unless it turns out to be lacking before anything of it was written; in the
    middle of a literal, only closing the connection keeps the client in step.
    """
    writing = Writing(session, b"* %d FETCH (" % (line.index + 1))
    try:
        await _write_items(writing, items, line)
    except ConnectionEnded:
        raise
    except Exception as error:
        if writing.is_begun:
            _break_off(session, line, error)
        elif isinstance(error, NotFound):
            return Lack.GONE
        elif isinstance(error, Corrupt):
            return Lack.DAMAGED
        raise
    writing.end()
    if session.wire.is_full():
        await session.wire.drain()
    return Lack.NOTHING


def _break_off(session: Session, line: Line, error: Exception) -> None:
    """Close the connection; an error of ours stays one."""
    if isinstance(error, Corrupt):
        session.services.broken_off.add(session.mailbox, line.view.folder.id, line.row.uid)
    session.wire.abort()
    if isinstance(error, MailError):
        raise ConnectionEnded from None


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


async def _write_items(writing: Writing, items: tuple[FetchItem, ...], line: Line) -> None:
    session = writing.session
    has_broken_off = session.services.broken_off.has(
        session.mailbox, line.view.folder.id, line.row.uid
    )
    for section in items if has_broken_off else ():
        if isinstance(section, Section):
            await _try(session, section, line)
    for item in items:
        if isinstance(item, Attribute):
            writing.add(line.attribute(item))
        else:
            await _send_section(writing, item, line)


async def _try(session: Session, section: Section, line: Line) -> None:
    """Read all of a section. ``Corrupt``, while nothing is promised yet."""
    span = _span(section, line.row)
    if span is not None:
        async for _ in _chunks(session, span, line):
            pass


async def _send_section(writing: Writing, section: Section, line: Line) -> None:
    octets = await _small(writing.session, section, line)
    if octets is not None:
        writing.add(b"%s {%d}\r\n" % (section.label, len(octets)), octets)
        return
    span = _span(section, line.row)
    if span is None:
        writing.add(section.label + b" NIL")
    else:
        await _stream(writing, section.label, span, line)


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


async def _stream(writing: Writing, label: bytes, span: Span, line: Line) -> None:
    """A literal in chunks; the first one is read before anything is promised."""
    wire = writing.session.wire
    is_promised = False
    async for chunk in _chunks(writing.session, span, line):
        if not is_promised:
            writing.add(b"%s {%d}\r\n" % (label, span.end - span.start))
            writing.release()
            is_promised = True
        wire.write(chunk)
        await wire.drain()


async def _chunks(session: Session, span: Span, line: Line) -> AsyncIterator[bytes]:
    """At least one, which may be empty. ``NotFound``, ``Corrupt``."""
    at = span.start
    while True:
        end = min(at + CHUNK_OCTETS, span.end)
        chunk = b""
        if at < end:
            chunk = await session.mailbox.read(line.view.folder.id, line.row.uid, at, end)
        if len(chunk) < end - at:
            raise Corrupt("A message is shorter than it was.")
        yield chunk
        at = end
        if at == span.end:
            return


COMMANDS = {Fetch: fetch}
