-- mailbox, from version 1 to 2: every message stays; what is new of it is digested in the background,
-- a few at a time, and until then when somebody asks for it.

DROP TRIGGER message_added;
DROP TRIGGER message_removed;
DROP TRIGGER message_flagged;

ALTER TABLE mailbox ADD COLUMN object_prefix TEXT NOT NULL DEFAULT '';
ALTER TABLE mailbox ADD COLUMN last_content_id INTEGER NOT NULL DEFAULT 0;
UPDATE mailbox SET object_prefix = lower(hex(randomblob(4))),
    last_content_id = (SELECT coalesce(max(id), 0) FROM content);

ALTER TABLE folder ADD COLUMN vanished_horizon INTEGER NOT NULL DEFAULT 0;

CREATE TABLE new_flagset (
    id INTEGER PRIMARY KEY AUTOINCREMENT,  -- never used again
    flags TEXT NOT NULL UNIQUE,            -- sorted, a space between them
    is_seen INTEGER NOT NULL,
    is_deleted INTEGER NOT NULL
) STRICT;
INSERT INTO new_flagset SELECT id, flags, is_seen, is_deleted FROM flagset;
DROP TABLE flagset;
ALTER TABLE new_flagset RENAME TO flagset;

CREATE TABLE new_content (
    id INTEGER PRIMARY KEY,                -- never used again
    refs INTEGER NOT NULL DEFAULT 0,
    size_octets INTEGER NOT NULL,
    header_octets INTEGER NOT NULL,
    sent_at REAL NOT NULL,                 -- the Date field; 0: none
    sent_day INTEGER NOT NULL,             -- as its writer saw it, proleptic ordinal; 0: none
    is_indexed INTEGER NOT NULL DEFAULT 0,
    is_digested INTEGER NOT NULL DEFAULT 1,  -- 0: has no digest, structure and thread yet
    has_attachment INTEGER NOT NULL,
    thread_id INTEGER NOT NULL DEFAULT 0,  -- 0: not known yet
    subject TEXT NOT NULL,                 -- decoded
    layout TEXT NOT NULL                   -- JSON [own octets, attachment id, own octets, ...]
) STRICT;
INSERT INTO new_content SELECT
    id, refs, size_octets, header_octets, sent_at, sent_day, is_indexed, 0, has_attachment, 0,
    subject, layout
FROM content;
DROP TABLE content;
ALTER TABLE new_content RENAME TO content;
CREATE INDEX content_unused ON content (id) WHERE refs = 0;
CREATE INDEX content_unindexed ON content (id) WHERE is_indexed = 0;
CREATE INDEX content_undigested ON content (id) WHERE is_digested = 0;

CREATE TABLE new_message (
    folder_id INTEGER NOT NULL REFERENCES folder (id),
    uid INTEGER NOT NULL,
    modseq INTEGER NOT NULL,
    flagset_id INTEGER NOT NULL,
    content_id INTEGER NOT NULL,
    size_octets INTEGER NOT NULL,
    received_at REAL NOT NULL,
    PRIMARY KEY (folder_id, uid)
) STRICT, WITHOUT ROWID;
INSERT INTO new_message SELECT * FROM message;
DROP TABLE message;
ALTER TABLE new_message RENAME TO message;
CREATE INDEX message_by_modseq ON message (folder_id, modseq);

-- What lists of messages show and are sorted by: the ENVELOPE as IMAP writes it, and decoded,
-- folded values. RFC 5256 §2.1, §3; RFC 5957; RFC 8621 §4.1.
CREATE TABLE digest (
    content_id INTEGER PRIMARY KEY REFERENCES content (id),
    envelope BLOB NOT NULL,
    base_subject TEXT NOT NULL,
    from_mailbox TEXT NOT NULL,            -- of the first address
    to_mailbox TEXT NOT NULL,
    cc_mailbox TEXT NOT NULL,
    from_display TEXT NOT NULL,            -- its display name, else its address
    to_display TEXT NOT NULL,
    message_id TEXT NOT NULL,              -- without angle brackets; empty: none
    in_reply_to TEXT NOT NULL,             -- the like, a space between them
    reference_ids TEXT NOT NULL            -- the like
) STRICT;

-- What a message is made of: BODY and BODYSTRUCTURE as IMAP writes them, and where its parts are.
CREATE TABLE structure (
    content_id INTEGER PRIMARY KEY REFERENCES content (id),
    body BLOB NOT NULL,
    bodystructure BLOB NOT NULL,
    outline TEXT NOT NULL,                 -- JSON, see codec.py
    fields BLOB,                           -- the usual header fields, see imap/header_index.py
    preview TEXT NOT NULL                  -- how the text begins
) STRICT;

-- Which e-mails name a message id under a base subject (key: a hash of both), to find threads.
CREATE TABLE thread_link (
    key INTEGER NOT NULL,
    content_id INTEGER NOT NULL REFERENCES content (id),
    PRIMARY KEY (key, content_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX delivery_by_arrival ON delivery (arrived_at);

-- Records beside the messages: calendars, address books, scripts, subscriptions. Each change of an
-- item is a change of its collection, under the ModSeq of its transaction.
CREATE TABLE collection (
    id INTEGER PRIMARY KEY AUTOINCREMENT,  -- never used again
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    properties TEXT NOT NULL,              -- JSON object of texts
    highest_modseq INTEGER NOT NULL,
    gone_horizon INTEGER NOT NULL DEFAULT 0,  -- what went up to this ModSeq may be forgotten
    items INTEGER NOT NULL DEFAULT 0,      -- kept by the triggers below, like the octets
    size_octets INTEGER NOT NULL DEFAULT 0,
    UNIQUE (kind, name)
) STRICT;
CREATE TABLE item (
    id INTEGER PRIMARY KEY,
    collection_id INTEGER NOT NULL REFERENCES collection (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    etag TEXT NOT NULL,                    -- a hash of the octets
    modseq INTEGER NOT NULL,
    size_octets INTEGER NOT NULL,
    octets BLOB NOT NULL,
    UNIQUE (collection_id, name)
) STRICT;
CREATE INDEX item_by_modseq ON item (collection_id, modseq);

-- What items are found by: a key may have several values of one item.
CREATE TABLE item_value (
    collection_id INTEGER NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    item_id INTEGER NOT NULL REFERENCES item (id) ON DELETE CASCADE,
    PRIMARY KEY (collection_id, key, value, item_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX item_value_by_item ON item_value (item_id);

-- Items that are gone, for those who looked before.
CREATE TABLE gone (
    collection_id INTEGER NOT NULL REFERENCES collection (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    modseq INTEGER NOT NULL,
    PRIMARY KEY (collection_id, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX gone_by_modseq ON gone (collection_id, modseq);

CREATE TRIGGER item_added AFTER INSERT ON item BEGIN
    UPDATE collection SET items = items + 1, size_octets = size_octets + NEW.size_octets
    WHERE id = NEW.collection_id;
    UPDATE mailbox SET used_octets = used_octets + NEW.size_octets;
END;

CREATE TRIGGER item_removed AFTER DELETE ON item BEGIN
    UPDATE collection SET items = items - 1, size_octets = size_octets - OLD.size_octets
    WHERE id = OLD.collection_id;
    UPDATE mailbox SET used_octets = used_octets - OLD.size_octets;
END;

CREATE TRIGGER item_changed AFTER UPDATE OF size_octets ON item BEGIN
    UPDATE collection SET size_octets = size_octets + NEW.size_octets - OLD.size_octets
    WHERE id = NEW.collection_id;
    UPDATE mailbox SET used_octets = used_octets + NEW.size_octets - OLD.size_octets;
END;

CREATE TRIGGER message_added AFTER INSERT ON message BEGIN
    UPDATE folder SET
        messages = messages + 1,
        unseen = unseen + (SELECT 1 - is_seen FROM flagset WHERE id = NEW.flagset_id),
        deleted = deleted + (SELECT is_deleted FROM flagset WHERE id = NEW.flagset_id),
        size_octets = size_octets + NEW.size_octets
    WHERE id = NEW.folder_id;
    UPDATE content SET refs = refs + 1 WHERE id = NEW.content_id;
    UPDATE mailbox SET used_octets = used_octets + NEW.size_octets;
END;

CREATE TRIGGER message_removed AFTER DELETE ON message BEGIN
    UPDATE folder SET
        messages = messages - 1,
        unseen = unseen - (SELECT 1 - is_seen FROM flagset WHERE id = OLD.flagset_id),
        deleted = deleted - (SELECT is_deleted FROM flagset WHERE id = OLD.flagset_id),
        size_octets = size_octets - OLD.size_octets
    WHERE id = OLD.folder_id;
    UPDATE content SET refs = refs - 1 WHERE id = OLD.content_id;
    UPDATE mailbox SET used_octets = used_octets - OLD.size_octets;
END;

CREATE TRIGGER message_flagged AFTER UPDATE OF flagset_id ON message BEGIN
    UPDATE folder SET
        unseen = unseen
            + (SELECT 1 - is_seen FROM flagset WHERE id = NEW.flagset_id)
            - (SELECT 1 - is_seen FROM flagset WHERE id = OLD.flagset_id),
        deleted = deleted
            + (SELECT is_deleted FROM flagset WHERE id = NEW.flagset_id)
            - (SELECT is_deleted FROM flagset WHERE id = OLD.flagset_id)
    WHERE id = NEW.folder_id;
END;
