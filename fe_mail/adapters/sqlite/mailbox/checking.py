"""
The invariants of a mailbox file, each broken one as a sentence with numbers and no content.

What the triggers keep is counted again; every content is read to its end, so that ``verify``
finds damage before somebody's mail client does.
"""

import json
from collections import Counter
from collections.abc import Iterator

from fe_mail.adapters.mailbox_rules import parents
from fe_mail.adapters.sqlite.mailbox.contents import read_octets
from fe_mail.adapters.sqlite.mailbox.transaction import Transaction
from fe_mail.model.errors import Corrupt

__all__ = ["broken_invariants"]

# One query per invariant; each row that comes back is a number to name.
_QUERIES: tuple[tuple[str, str], ...] = (
    (
        "Folder {}: its counts are not those of its messages.",
        "SELECT id FROM folder WHERE (messages, unseen, deleted, size_octets) IS NOT"
        " (SELECT count(*), count(*) - coalesce(sum(is_seen), 0), coalesce(sum(is_deleted), 0),"
        " coalesce(sum(size_octets), 0) FROM message JOIN flagset ON flagset.id = flagset_id"
        " WHERE folder_id = folder.id)",
    ),
    (
        "Folder {}: a UID is not below UIDNEXT.",
        "SELECT id FROM folder WHERE uidnext <="
        " (SELECT max(uid) FROM message WHERE folder_id = folder.id)",
    ),
    (
        "Folder {}: a ModSeq is above the highest.",
        "SELECT id FROM folder WHERE highest_modseq < max("
        "coalesce((SELECT max(modseq) FROM message WHERE folder_id = folder.id), 0),"
        "coalesce((SELECT max(modseq) FROM vanished WHERE folder_id = folder.id), 0))",
    ),
    (
        "Folder {}: its ModSeq is above the mailbox's.",
        "SELECT id FROM folder WHERE highest_modseq > (SELECT modseq FROM mailbox)",
    ),
    (
        "Folder {}: a message is there and vanished.",
        "SELECT DISTINCT folder_id FROM message JOIN vanished USING (folder_id, uid)",
    ),
    (
        "Content {}: it is not used as often as it counts.",
        "SELECT id FROM content WHERE refs <> coalesce((SELECT used FROM"
        " (SELECT content_id, count(*) AS used FROM message GROUP BY content_id)"
        " WHERE content_id = content.id), 0)",
    ),
    (
        "Content {}: a message has it and it is missing.",
        "SELECT DISTINCT content_id FROM message WHERE content_id NOT IN (SELECT id FROM content)",
    ),
    (
        "Content {}: its number may be given again.",
        "SELECT id FROM content WHERE id > (SELECT last_content_id FROM mailbox)",
    ),
    (
        "Message {}: its flags are missing.",
        "SELECT uid FROM message WHERE flagset_id NOT IN (SELECT id FROM flagset)",
    ),
    (
        "Content {}: its digest is not what it should be.",
        "SELECT id FROM (SELECT id, is_digested, thread_id,"
        " EXISTS (SELECT 1 FROM digest WHERE content_id = content.id) AS has_digest,"
        " EXISTS (SELECT 1 FROM structure WHERE content_id = content.id) AS has_structure"
        " FROM content) WHERE has_digest <> has_structure OR has_digest <> (thread_id > 0)"
        " OR is_digested = 1 AND NOT has_digest",
    ),
    (
        "Content {}: its text is missing.",
        "SELECT id FROM content WHERE id NOT IN (SELECT content_id FROM content_text)",
    ),
    (
        "Content {}: the index does not have what it should.",
        "SELECT id FROM content WHERE is_indexed <>"
        " EXISTS (SELECT 1 FROM trigram_docsize AS entry WHERE entry.id = content.id)"
        " UNION SELECT id FROM trigram_docsize WHERE id NOT IN (SELECT id FROM content)",
    ),
    (
        "Content {}: a message says another size.",
        "SELECT DISTINCT content_id FROM message JOIN content ON content.id = content_id"
        " WHERE message.size_octets <> content.size_octets",
    ),
    (
        "The quota counts {} octets, which messages and records do not have.",
        "SELECT used_octets FROM mailbox WHERE used_octets <>"
        " (SELECT coalesce(sum(size_octets), 0) FROM message)"
        " + (SELECT coalesce(sum(size_octets), 0) FROM item)",
    ),
    (
        "Collection {}: its counts are not those of its items.",
        "SELECT id FROM collection WHERE (items, size_octets) IS NOT (SELECT count(*),"
        " coalesce(sum(size_octets), 0) FROM item WHERE collection_id = collection.id)",
    ),
    (
        "Collection {}: a ModSeq is above the highest.",
        "SELECT id FROM collection WHERE highest_modseq < max("
        "coalesce((SELECT max(modseq) FROM item WHERE collection_id = collection.id), 0),"
        "coalesce((SELECT max(modseq) FROM gone WHERE collection_id = collection.id), 0))"
        " OR highest_modseq > (SELECT modseq FROM mailbox)",
    ),
    (
        "Collection {}: an item is there and gone.",
        "SELECT DISTINCT collection_id FROM item JOIN gone USING (collection_id, name)",
    ),
    (
        "Piece {} belongs to no content.",
        "SELECT id FROM piece WHERE id >> 20 NOT IN (SELECT id FROM content)",
    ),
    (
        "Attachment piece {} belongs to no attachment.",
        "SELECT id FROM attachment_piece WHERE id >> 20 NOT IN (SELECT id FROM attachment)",
    ),
)


def broken_invariants(tx: Transaction) -> tuple[str, ...]:
    """Every broken invariant, one sentence each."""
    damage = [row[0] for row in tx.rows("PRAGMA quick_check(10)") if row[0] != "ok"]
    if damage:
        return ("The file is damaged.",)
    broken = [sentence.format(row[0]) for sentence, sql in _QUERIES for row in tx.rows(sql)]
    if tx.rows("PRAGMA foreign_key_check"):
        broken.append("A row refers to one that is missing.")
    broken += _missing_parents(tx)
    broken += _unreadable(tx)
    broken += _attachments(tx)
    return tuple(broken)


def _missing_parents(tx: Transaction) -> Iterator[str]:
    names = dict(tx.rows("SELECT name, id FROM folder"))
    folders = tx.rows("SELECT name, id FROM folder WHERE selectable")  # what else is subscribed
    for name, folder_id in folders:
        if any(parent not in names for parent in parents(name)):
            yield f"Folder {folder_id}: its parent is missing."


def _unreadable(tx: Transaction) -> Iterator[str]:
    for content_id, layout, size in tx.rows("SELECT id, layout, size_octets FROM content"):
        try:
            lengths = json.loads(layout)
            stated = sum(lengths) - sum(lengths[1::3])
            whole = stated == size and len(read_octets(tx, content_id, layout, 0, size)) == size
        except Corrupt:
            whole = False
        if not whole:
            yield f"Content {content_id}: its octets are not all there."


def _attachments(tx: Transaction) -> Iterator[str]:
    used: Counter[int] = Counter()
    for (layout,) in tx.rows("SELECT layout FROM content"):
        used.update(json.loads(layout)[1::3])
    counted = dict(tx.rows("SELECT id, refs FROM attachment"))
    for attachment_id in sorted(used.keys() | counted.keys()):
        if used[attachment_id] != counted.get(attachment_id):
            yield f"Attachment {attachment_id}: it is not used as often as it counts."
