"""
Digests: what is known of a message without reading it, computed once and kept beside its content.

A content of version 1 has none yet: ``contents.digest_some`` makes them in the background, a few in
each transaction, and ``fetching`` one for whoever asks before, which is not kept. Threads are found
at arrival: an e-mail joins the oldest one that names the same message id under the same base
subject, and each links its own id, what it replies to, and the first and last of its references.

RFC 5256 §2.2, §3; RFC 8474 §5; RFC 8621 §3, §4.1.
"""

import hashlib
from collections.abc import Iterable

import attrs

from fe_mail.adapters.mailbox_rules import fold
from fe_mail.adapters.sqlite.mailbox.codec import encode_outline
from fe_mail.adapters.sqlite.mailbox.transaction import Transaction
from fe_mail.imap import formatting
from fe_mail.imap.header_index import index_fields
from fe_mail.model.structure import Digest, SortValues

__all__ = ["Summary", "remove", "store", "summary", "thread_of"]


@attrs.frozen(kw_only=True)
class Summary:
    """The rows of one content in ``digest`` and ``structure``."""

    envelope: bytes = attrs.field(repr=False)
    body: bytes = attrs.field(repr=False)
    bodystructure: bytes = attrs.field(repr=False)
    outline: str = attrs.field(repr=False)
    fields: bytes | None = attrs.field(repr=False)
    preview: str = attrs.field(repr=False)
    sort: SortValues = attrs.field(repr=False)
    named: tuple[int, ...]  # keys of all message ids that it names
    links: tuple[int, ...]  # those of them that it is found by


def summary(raw: bytes, made: Digest) -> Summary:
    """Of a message and its digest."""
    sort = made.sort
    return Summary(
        envelope=formatting.envelope(made.envelope),
        body=formatting.body(made.structure, extended=False),
        bodystructure=formatting.body(made.structure, extended=True),
        outline=encode_outline(made.structure),
        fields=index_fields(raw[: made.structure.body_start]),
        preview=_storable(made.preview),
        sort=sort,
        named=_keys((sort.message_id, *sort.in_reply_to, *sort.references), sort.base_subject),
        links=_links(sort),
    )


def _storable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def store(tx: Transaction, content_id: int, made: Summary) -> None:
    """Keep it, and link the content for others of its thread."""
    sort = made.sort
    tx.run(
        "INSERT INTO digest VALUES (?,?,?,?,?,?,?,?,?,?,?)",
        content_id,
        made.envelope,
        fold(sort.base_subject),
        fold(sort.from_mailbox),
        fold(sort.to_mailbox),
        fold(sort.cc_mailbox),
        fold(sort.from_display),
        fold(sort.to_display),
        _storable(sort.message_id),
        _storable(" ".join(sort.in_reply_to)),
        _storable(" ".join(sort.references)),
    )
    tx.run(
        "INSERT INTO structure VALUES (?,?,?,?,?,?)",
        content_id,
        made.body,
        made.bodystructure,
        made.outline,
        made.fields,
        made.preview,
    )
    links = [(key, content_id) for key in made.links]
    tx.cursor.executemany("INSERT INTO thread_link VALUES (?, ?)", links)


def thread_of(tx: Transaction, content_id: int, made: Summary) -> int:
    """The thread of a content that has none yet: that of an older one, or its own."""
    places = ", ".join("?" * len(made.named))
    found: int | None = tx.value(
        "SELECT thread_id FROM thread_link JOIN content ON content.id = content_id"  # noqa: S608
        f" WHERE key IN ({places}) AND thread_id > 0 ORDER BY content_id LIMIT 1",
        *made.named,
    )
    return found or content_id


def _keys(ids: Iterable[str], base_subject: str) -> tuple[int, ...]:
    """A key for each message id under this subject."""
    subject = fold(base_subject)
    return tuple(_key(each, subject) for each in dict.fromkeys(ids) if each)


def _key(message_id: str, subject: str) -> int:
    text = f"{_storable(message_id)}\0{subject}".encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big", signed=True)


def _links(sort: SortValues) -> tuple[int, ...]:
    """Under what others of its thread find a content: a few keys, however long the thread is."""
    ids = (sort.message_id, *sort.in_reply_to[:1], *sort.references[:1], *sort.references[-1:])
    return _keys(ids, sort.base_subject)


def remove(tx: Transaction, content_id: int) -> None:
    """Forget what is kept here of a content."""
    row = tx.row(
        "SELECT message_id, in_reply_to, reference_ids, base_subject FROM digest"
        " WHERE content_id = ?",
        content_id,
    )
    if row is None:
        return
    sort = SortValues(
        message_id=row[0],
        in_reply_to=tuple(row[1].split()),
        references=tuple(row[2].split()),
        base_subject=row[3],
    )
    links = [(key, content_id) for key in _links(sort)]
    tx.cursor.executemany("DELETE FROM thread_link WHERE key = ? AND content_id = ?", links)
    tx.run("DELETE FROM digest WHERE content_id = ?", content_id)
    tx.run("DELETE FROM structure WHERE content_id = ?", content_id)
