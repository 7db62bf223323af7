"""
FETCH and UID FETCH.

What the view knows (UID, FLAGS, MODSEQ, and sizes and dates seen before) is answered from it;
the rest is read from the store in batches. Big bodies are streamed in chunks, so a reader who
stops costs one chunk. \\Seen is set once per batch, after the batch was read.

RFC 9051 §6.4.5, §7.5.2; RFC 3501 §6.4.5 (RFC822 items); RFC 7162 §3.1.4 (CHANGEDSINCE).
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Final

import attrs

from fe_mail.connection.pacing import ConnectionEnded
from fe_mail.imap import formatting
from fe_mail.imap.command import Fetch
from fe_mail.imap.fetch_item import Attribute, FetchItem, Section, SectionText
from fe_mail.imap.reply import Reply, ok
from fe_mail.imap.sections import (
    Span,
    locate,
    needs_structure,
    pick_fields,
    wants_header_only,
)
from fe_mail.imap.session import Session
from fe_mail.mailboxes.view import SelectedFolder
from fe_mail.model.errors import MailError, NotFound
from fe_mail.model.mailbox import FetchedMessage, FlagAction, Want

__all__ = ["COMMANDS"]

BATCH_MESSAGES: Final = 200
BATCH_OCTETS: Final = 2 * 1024 * 1024
ROWS_WITHOUT_BODIES: Final = 1000  # of one read
ASSUMED_OCTETS: Final = 32 * 1024  # of a message whose size is not known yet
CHUNK_OCTETS: Final = 128 * 1024  # of a streamed body
MAX_EMBEDDED_HEADER_OCTETS: Final = 256 * 1024  # of which fields are picked
BREATHE_MESSAGES: Final = 1000  # formatted without a pause

SEEN: Final = frozenset({"\\Seen"})

WANTS: Final = {
    Attribute.ENVELOPE: Want.ENVELOPE,
    Attribute.BODY: Want.STRUCTURE,
    Attribute.BODYSTRUCTURE: Want.STRUCTURE,
}


@attrs.frozen
class Line:
    """One message being formatted: where it stands and what the store said."""

    view: SelectedFolder
    index: int
    row: FetchedMessage | None

    def fetched(self) -> FetchedMessage:
        """The store's row, for items that need one."""
        assert self.row is not None
        return self.row


def _flags(line: Line) -> bytes:
    view, index = line.view, line.index
    return formatting.flag_list(view.flags[index], view.uids[index] in view.recent)


def _size_and_date(line: Line) -> tuple[int, float]:
    if line.row is not None:
        return line.row.size_octets, line.row.received_at
    found = line.view.size_and_date(line.index)
    assert found is not None
    return found


def _envelope(line: Line) -> bytes:
    envelope = line.fetched().envelope
    assert envelope is not None
    return formatting.envelope(envelope)


def _structure(line: Line, extended: bool) -> bytes:
    structure = line.fetched().structure
    assert structure is not None
    return formatting.body(structure, extended)


VALUES: Final[dict[Attribute, Callable[[Line], bytes]]] = {
    Attribute.UID: lambda line: b"%d" % line.view.uids[line.index],
    Attribute.FLAGS: _flags,
    Attribute.MODSEQ: lambda line: b"(%d)" % line.view.modseqs[line.index],
    Attribute.SIZE: lambda line: b"%d" % _size_and_date(line)[0],
    Attribute.INTERNALDATE: lambda line: formatting.internal_date(int(_size_and_date(line)[1])),
    Attribute.ENVELOPE: _envelope,
    Attribute.BODY: lambda line: _structure(line, False),
    Attribute.BODYSTRUCTURE: lambda line: _structure(line, True),
}
FROM_VIEW: Final = frozenset({Attribute.UID, Attribute.FLAGS, Attribute.MODSEQ})
FROM_MEMORY: Final = FROM_VIEW | {Attribute.SIZE, Attribute.INTERNALDATE}


async def fetch(session: Session, command: Fetch) -> Reply:
    """Tell what is asked of every message in the set."""
    view = session.selected
    await session.refresh(expunge=command.uid)
    if command.changed_since is not None or Attribute.MODSEQ in command.items:
        session.enable_condstore()
    spans = view.resolve(command.numbers, command.uid)
    indexes: Iterator[int] = chain.from_iterable(spans)
    if command.changed_since is not None:
        since = command.changed_since
        indexes = (index for index in indexes if view.modseqs[index] > since)
    complete = True
    for batch in _batches(view, indexes, command.items):
        complete = await _fetch_batch(session, command.items, batch) and complete
        await session.wire.drain()
    if not complete and not command.uid:
        return ok("Some messages are gone.", b"EXPUNGEISSUED")
    return ok("Fetched.")


def _batches(
    view: SelectedFolder, indexes: Iterator[int], items: tuple[FetchItem, ...]
) -> Iterator[list[int]]:
    """Indexes in groups that fit one read and some memory."""
    bodies = any(isinstance(item, Section) and not wants_header_only(item) for item in items)
    limit = BATCH_MESSAGES if bodies else ROWS_WITHOUT_BODIES
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


async def _fetch_batch(session: Session, items: tuple[FetchItem, ...], batch: list[int]) -> bool:
    """False when some of the messages are gone."""
    view = session.selected
    live = [index for index in batch if not view.is_vanished(view.uids[index])]
    if live and _needs_store(view, items, live):
        return await _from_store(session, items, live) and len(live) == len(batch)
    tell = _teller(items)
    for count, index in enumerate(live, 1):
        session.wire.write(tell(Line(view, index, None)))
        if count % BREATHE_MESSAGES == 0:
            await session.wire.breathe()
    return len(live) == len(batch)


def _needs_store(view: SelectedFolder, items: tuple[FetchItem, ...], batch: list[int]) -> bool:
    if FROM_VIEW.issuperset(items):
        return False
    if not FROM_MEMORY.issuperset(items):
        return True
    return any(view.size_and_date(index) is None for index in batch)


def _want(items: tuple[FetchItem, ...]) -> Want:
    want = Want.NOTHING
    for item in items:
        if isinstance(item, Attribute):
            want |= WANTS.get(item, Want.NOTHING)
        elif wants_header_only(item):
            want |= Want.HEADER
        else:
            want |= Want.BODY
            if needs_structure(item):
                want |= Want.STRUCTURE
    return want


async def _from_store(session: Session, items: tuple[FetchItem, ...], batch: list[int]) -> bool:
    view = session.selected
    fetched = await session.read_ahead.fetch(session.mailbox, view, batch, _want(items))
    rows = {row.uid: row for row in fetched}
    found = [(index, row) for index in batch if (row := rows.get(view.uids[index]))]
    complete = len(found) == len(batch)
    newly_seen = await _mark_seen(session, items, [index for index, _ in found])
    tell = _teller(items) if all(isinstance(item, Attribute) for item in items) else None
    for index, row in found:
        view.remember(index, row.size_octets, row.received_at)
        if tell is not None:
            session.wire.write(tell(Line(view, index, row)))
            continue
        asked = items
        if index in newly_seen and Attribute.FLAGS not in items:
            asked = (*items, Attribute.FLAGS)
        if session.condstore and index in newly_seen and Attribute.MODSEQ not in items:
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
    unseen = [view.uids[index] for index in indexes if "\\Seen" not in view.flags[index]]
    if not unseen:
        return frozenset()
    result = await session.mailbox.store_flags(view.folder.id, unseen, FlagAction.ADD, SEEN)
    changed = set()
    for uid, flags, modseq in result.changed:
        index = view.index_of(uid)
        if index is not None:
            view.set_flags(index, flags, modseq)
            changed.add(index)
    session.advance(result.modseq)
    return frozenset(changed)


def _teller(items: Iterable[FetchItem]) -> Callable[[Line], bytes]:
    """Makes the responses to items without sections; what is the same in all is done once."""
    parts = [(b"%s " % item.value, VALUES[item]) for item in items if isinstance(item, Attribute)]

    def tell(line: Line) -> bytes:
        values = b" ".join([label + value(line) for label, value in parts])
        return b"* %d FETCH (%s)\r\n" % (line.index + 1, values)

    return tell


async def _send(session: Session, items: tuple[FetchItem, ...], line: Line) -> bool:
    """
    One message. False when it went before anything of it was written; if it goes in the middle
    of a literal, only closing the connection keeps the client in step.
    """
    writing = Writing(session, b"* %d FETCH (" % (line.index + 1))
    try:
        for item in items:
            if isinstance(item, Attribute):
                writing.add(b"%s %s" % (item.value, VALUES[item](line)))
            else:
                await _send_section(writing, item, line)
    except MailError:
        if not writing.is_begun:
            return False
        session.wire.abort()
        raise ConnectionEnded from None
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
    span = _span(section, line.fetched())
    if span is None:
        writing.add(section.label + b" NIL")
    else:
        await _stream(writing, section.label, span, line.fetched().uid)


async def _small(session: Session, section: Section, line: Line) -> bytes | None:
    """The octets of a section if they are at hand, None if they must be streamed or are not."""
    row = line.fetched()
    if wants_header_only(section) and row.header is not None:
        return _cut(section, _picked(section, row.header))
    if section.text in (SectionText.FIELDS, SectionText.FIELDS_NOT):
        span = locate(section, row.structure, row.size_octets)
        if span is None:
            return None
        end = min(span.end, span.start + MAX_EMBEDDED_HEADER_OCTETS)
        if row.raw is not None:
            header = row.raw[span.start : end]
        else:
            header = await session.mailbox.read(line.view.folder.id, row.uid, span.start, end)
        return _cut(section, _picked(section, header))
    if row.raw is None:
        return None
    if section.partial is None and not section.part and section.text is SectionText.ALL:
        return row.raw
    span = _span(section, row)
    return None if span is None else row.raw[span.start : span.end]


def _picked(section: Section, header: bytes) -> bytes:
    if section.text is SectionText.HEADER:
        return header
    return pick_fields(header, section.fields, section.text is SectionText.FIELDS_NOT)


def _cut(section: Section, octets: bytes) -> bytes:
    if section.partial is None:
        return octets
    start, count = section.partial
    return octets[start : start + count]


def _span(section: Section, row: FetchedMessage) -> Span | None:
    """Where the octets to send are, with ``<start.count>`` applied."""
    span = locate(section, row.structure, row.size_octets)
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
