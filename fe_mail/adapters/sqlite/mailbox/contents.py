"""
Contents: the octets of messages, cut, compressed and put together again exactly.

``prepare`` does what costs time (digest, compression, hashes) outside of any transaction. A
content's *own* octets are the message without its attachments; they and each attachment are cut
into pieces of ``PIECE_OCTETS``, so that a part of a big message is read without the rest. The
layout says how they alternate: ``[own, attachment id, size, own, attachment id, size, own]``.
A piece is compressed if that saves at least a sixteenth.

What is kept beside the octets is what ``message.digest`` reads out of them. The file remembers the
number of that reading (``PRAGMA user_version``); when it is not ours, everything is digested again
in the background, and what cannot be read is left as it is.
"""

import hashlib
import json
import zlib
from collections.abc import Sequence

import attrs

from fe_mail.adapters.mailbox_rules import searchable, searchable_lines
from fe_mail.adapters.sqlite.failures import translated
from fe_mail.adapters.sqlite.mailbox import digests
from fe_mail.adapters.sqlite.mailbox.digests import Summary, summary
from fe_mail.adapters.sqlite.mailbox.transaction import Transaction
from fe_mail.message.digest import READING, digest
from fe_mail.model.errors import Corrupt
from fe_mail.model.mailbox import NewMessage
from fe_mail.model.structure import Digest
from fe_mail.pop3.framing import line_octets

__all__ = [
    "PIECE_OCTETS",
    "Prepared",
    "counted_lines",
    "decompressed",
    "digest_some",
    "inflate",
    "is_outdated",
    "mark_reading",
    "outdate",
    "prepare",
    "read_octets",
    "remove_unused",
    "store",
    "summarized",
]

PIECE_OCTETS = 256 * 1024
PIECE_SHIFT = 20  # piece id = owner id << PIECE_SHIFT | number
COMPRESSION_LEVEL = 3
DIGEST_BATCH = 50
REMOVE_BATCH = 200  # of one transaction; the rest goes when the mailbox is quiet
REMOVE_OCTETS = 64 * 1024 * 1024
DIGEST_OCTETS = 1024 * 1024  # of messages in one batch, which other writers wait for

_RAW, _ZLIB = 0, 1
_UNREADABLE = 2  # content.is_digested of one whose octets are damaged; ``verify`` names it

Piece = tuple[int, bytes]  # codec and octets


@attrs.frozen(kw_only=True)
class PreparedAttachment:
    """A body that is stored once."""

    sha256: bytes
    size_octets: int
    pieces: list[Piece] = attrs.field(repr=False)


@attrs.frozen(kw_only=True)
class Prepared:
    """A message ready to be inserted."""

    flags: frozenset[str]
    received_at: float
    size_octets: int
    line_octets: int
    header_octets: int
    sent_at: float
    sent_day: int
    has_attachment: bool
    subject: str = attrs.field(repr=False)
    summary: Summary = attrs.field(repr=False)
    text: bytes = attrs.field(repr=False)
    own_lengths: list[int]  # one more than attachments
    own: list[Piece] = attrs.field(repr=False)
    attachments: list[PreparedAttachment]


def prepare(message: NewMessage) -> Prepared:
    """Everything that can be computed before the transaction."""
    raw = message.raw
    made = digest(raw)
    view = memoryview(raw)
    own, lengths, position = bytearray(), [], 0
    for start, end in made.attachments:
        own += view[position:start]
        lengths.append(start - position)
        position = end
    own += view[position:]
    lengths.append(len(raw) - position)
    return Prepared(
        flags=message.flags,
        received_at=message.received_at,
        size_octets=len(raw),
        line_octets=line_octets(raw),
        header_octets=made.structure.body_start,
        sent_at=made.sent_at,
        sent_day=made.sent_day,
        has_attachment=made.has_attachment,
        subject=_storable(made.subject),
        summary=summary(raw, made),
        text=_compressed_text(made),
        own_lengths=lengths,
        own=_pieces(memoryview(own)),
        attachments=[_attachment(view[start:end]) for start, end in made.attachments],
    )


def _storable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def _compressed_text(made: Digest) -> bytes:
    """What searching compares: header, text, and the header fields of the parts."""
    texts = (searchable_lines(made.header), searchable(made.text), searchable_lines(made.mime))
    return zlib.compress("\0".join(texts).encode(), COMPRESSION_LEVEL)


def _attachment(octets: memoryview) -> PreparedAttachment:
    return PreparedAttachment(
        sha256=hashlib.sha256(octets).digest(), size_octets=len(octets), pieces=_pieces(octets)
    )


def _pieces(octets: memoryview) -> list[Piece]:
    starts = range(0, len(octets), PIECE_OCTETS)
    return [_piece(octets[start : start + PIECE_OCTETS]) for start in starts]


def _piece(octets: memoryview) -> Piece:
    compressed = zlib.compress(octets, COMPRESSION_LEVEL)
    if len(compressed) <= len(octets) - len(octets) // 16:
        return _ZLIB, compressed
    return _RAW, bytes(octets)


def store(tx: Transaction, prepared: Prepared) -> int:
    """Insert a content, without any message yet; returns its id."""
    layout = [prepared.own_lengths[0]]
    for attachment, length in zip(prepared.attachments, prepared.own_lengths[1:], strict=True):
        layout += [_store_attachment(tx, attachment), attachment.size_octets, length]
    content_id: int = tx.value(
        "UPDATE mailbox SET last_content_id = last_content_id + 1 RETURNING last_content_id"
    )
    tx.run(
        "INSERT INTO content (id, size_octets, header_octets, sent_at, sent_day, has_attachment,"
        " thread_id, subject, layout, line_octets) VALUES (?,?,?,?,?,?,?,?,?,?)",
        content_id,
        prepared.size_octets,
        prepared.header_octets,
        float(prepared.sent_at),
        prepared.sent_day,
        int(prepared.has_attachment),
        digests.thread_of(tx, content_id, prepared.summary),
        prepared.subject,
        json.dumps(layout),
        prepared.line_octets,
    )
    digests.store(tx, content_id, prepared.summary)
    _store_pieces(tx, "piece", content_id, prepared.own)
    tx.run("INSERT INTO content_text VALUES (?, ?)", content_id, prepared.text)
    return content_id


def _store_attachment(tx: Transaction, attachment: PreparedAttachment) -> int:
    attachment_id: int | None = tx.value(
        "UPDATE attachment SET refs = refs + 1 WHERE sha256 = ? RETURNING id", attachment.sha256
    )
    if attachment_id is None:
        attachment_id = tx.value(
            "INSERT INTO attachment (sha256, refs, size_octets) VALUES (?, 1, ?) RETURNING id",
            attachment.sha256,
            attachment.size_octets,
        )
        _store_pieces(tx, "attachment_piece", attachment_id or 0, attachment.pieces)
    return attachment_id or 0


def _store_pieces(tx: Transaction, table: str, owner: int, pieces: Sequence[Piece]) -> None:
    for number, (codec, octets) in enumerate(pieces):
        piece_id = owner << PIECE_SHIFT | number
        tx.run(f"INSERT INTO {table} VALUES (?, ?, ?)", piece_id, codec, octets)  # noqa: S608


def read_octets(tx: Transaction, content_id: int, layout: str, start: int, end: int) -> bytes:
    """Octets ``start:end`` of a message, reading only the pieces that they are in."""
    lengths = json.loads(layout)
    found: list[bytes] = []
    position = own = 0
    for index in range(0, len(lengths), 3):
        length = lengths[index]
        low, high = max(start - position, 0), min(end - position, length)
        if low < high:
            found.append(_read(tx, "piece", content_id, own + low, own + high))
        position, own = position + length, own + length
        if index + 1 < len(lengths):
            attachment_id, length = lengths[index + 1 : index + 3]
            low, high = max(start - position, 0), min(end - position, length)
            if low < high:
                found.append(_read(tx, "attachment_piece", attachment_id, low, high))
            position += length
    return b"".join(found)


def _read(tx: Transaction, table: str, owner: int, low: int, high: int) -> bytes:
    first, last = low // PIECE_OCTETS, (high - 1) // PIECE_OCTETS
    rows = tx.rows(
        f"SELECT codec, octets FROM {table} WHERE id BETWEEN ? AND ? ORDER BY id",  # noqa: S608
        owner << PIECE_SHIFT | first,
        owner << PIECE_SHIFT | last,
    )
    octets = b"".join(inflate(codec, body) for codec, body in rows)
    result = octets[low - first * PIECE_OCTETS : high - first * PIECE_OCTETS]
    if len(result) != high - low:
        raise Corrupt("A piece of a message is missing.")
    return result


def inflate(codec: int, octets: bytes) -> bytes:
    """A piece as it was. ``Corrupt``."""
    return decompressed(octets) if codec == _ZLIB else octets


def decompressed(octets: bytes) -> bytes:
    """What zlib compressed. ``Corrupt``."""
    try:
        return zlib.decompress(octets)
    except zlib.error:
        raise Corrupt("What is compressed in a mailbox is damaged.") from None


def summarized(tx: Transaction, content_id: int) -> Summary:
    """What is not kept of a content yet, from its octets."""
    raw = _whole(tx, content_id)
    return summary(raw, digest(raw))


def _whole(tx: Transaction, content_id: int) -> bytes:
    row = tx.row("SELECT layout, size_octets FROM content WHERE id = ?", content_id)
    if row is None:
        raise Corrupt("A content is missing.")
    return read_octets(tx, content_id, row[0], 0, row[1])


def is_outdated(tx: Transaction) -> bool:
    """Was what is kept of the messages read in another way than ours?"""
    return bool(tx.value("PRAGMA user_version") != READING)


def outdate(tx: Transaction) -> int:
    """Have every content digested again; until then what is kept of it stays."""
    tx.run("UPDATE content SET is_digested = 0")
    mark_reading(tx)
    return 1


def mark_reading(tx: Transaction) -> None:
    """The number is in the file's header: it needs no table, and changes with the transaction."""
    tx.run(f"PRAGMA user_version = {READING}")


def counted_lines(tx: Transaction, content_id: int) -> int:
    """The like of its size in POP3."""
    return line_octets(_whole(tx, content_id))


def digest_some(tx: Transaction) -> int:
    """Digest contents that are not; returns how many. They may be big, so a few at a time."""
    rows = tx.rows(
        "SELECT id, size_octets FROM content WHERE is_digested = 0 ORDER BY id LIMIT ?",
        DIGEST_BATCH,
    )
    octets = count = 0
    for content_id, size in rows:
        try:
            with translated():
                _digest_again(tx, content_id)
        except Corrupt:
            _give_up(tx, content_id)
        octets, count = octets + size, count + 1
        if octets > DIGEST_OCTETS:
            break
    return count


def _digest_again(tx: Transaction, content_id: int) -> None:
    """Its octets, its number and the thread that it was given stay; what they say may not."""
    raw = _whole(tx, content_id)
    made = digest(raw)
    sums = summary(raw, made)
    thread = tx.value("SELECT thread_id FROM content WHERE id = ?", content_id)
    tx.run(
        "UPDATE content SET header_octets = ?, sent_at = ?, sent_day = ?, has_attachment = ?,"
        " subject = ?, thread_id = ?, line_octets = ?, is_digested = 1 WHERE id = ?",
        made.structure.body_start,
        float(made.sent_at),
        made.sent_day,
        int(made.has_attachment),
        _storable(made.subject),
        thread or digests.thread_of(tx, content_id, sums),
        line_octets(raw),
        content_id,
    )
    digests.remove(tx, content_id)
    digests.store(tx, content_id, sums)
    _replace_text(tx, content_id, _compressed_text(made))


def _give_up(tx: Transaction, content_id: int) -> None:
    """It is damaged: nobody will ever be sent its octets, however many they are."""
    tx.damaged.add(content_id)
    tx.run(
        "UPDATE content SET is_digested = ?, line_octets = coalesce(line_octets, size_octets)"
        " WHERE id = ?",
        _UNREADABLE,
        content_id,
    )


def _replace_text(tx: Transaction, content_id: int, text: bytes) -> None:
    """What is indexed is indexed again, if it is another text."""
    if text == tx.value("SELECT text FROM content_text WHERE content_id = ?", content_id):
        return
    tx.run("DELETE FROM trigram WHERE rowid = ?", content_id)
    tx.run("UPDATE content SET is_indexed = 0 WHERE id = ?", content_id)
    tx.run("INSERT OR REPLACE INTO content_text VALUES (?, ?)", content_id, text)


def remove_unused(tx: Transaction) -> int:
    """Remove some contents that no message has any more, and what only they needed."""
    unused = tx.rows(
        "SELECT id, layout, is_indexed, size_octets FROM content WHERE refs = 0 LIMIT ?",
        REMOVE_BATCH,
    )
    octets = count = 0
    for content_id, layout, is_indexed, size in unused:
        octets, count = octets + size, count + 1
        if is_indexed:
            tx.run("DELETE FROM trigram WHERE rowid = ?", content_id)
        digests.remove(tx, content_id)
        tx.run("DELETE FROM content_text WHERE content_id = ?", content_id)
        _remove_pieces(tx, "piece", content_id)
        tx.run("DELETE FROM content WHERE id = ?", content_id)
        for attachment_id in json.loads(layout)[1::3]:
            _release_attachment(tx, attachment_id)
        if octets > REMOVE_OCTETS:
            break
    return count


def _release_attachment(tx: Transaction, attachment_id: int) -> None:
    refs = tx.value(
        "UPDATE attachment SET refs = refs - 1 WHERE id = ? RETURNING refs", attachment_id
    )
    if refs == 0:
        _remove_pieces(tx, "attachment_piece", attachment_id)
        tx.run("DELETE FROM attachment WHERE id = ?", attachment_id)


def _remove_pieces(tx: Transaction, table: str, owner: int) -> None:
    first, next_owner = owner << PIECE_SHIFT, (owner + 1) << PIECE_SHIFT
    tx.run(f"DELETE FROM {table} WHERE id >= ? AND id < ?", first, next_owner)  # noqa: S608
