-- mailbox, version 3: everything of one alias, in one encrypted file.

-- One row: the counters of the whole mailbox, and the key pair that mail is sealed to while the
-- mailbox is locked. used_octets is kept by the triggers below.
CREATE TABLE mailbox (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    modseq INTEGER NOT NULL,               -- of the latest mutation (RFC 7162)
    last_uidvalidity INTEGER NOT NULL,     -- no folder ever gets one that is not greater
    used_octets INTEGER NOT NULL,          -- sum of message.size_octets and item.size_octets
    sealing_public BLOB NOT NULL,
    sealing_private BLOB NOT NULL,
    object_prefix TEXT NOT NULL DEFAULT '',        -- of object ids, so that no two mailboxes share one
    last_content_id INTEGER NOT NULL DEFAULT 0     -- no content ever gets one that is not greater
) STRICT;

-- Every parent of a folder has a row. The counts are kept by the triggers below.
CREATE TABLE folder (
    id INTEGER PRIMARY KEY AUTOINCREMENT,  -- never used again
    name TEXT NOT NULL UNIQUE,             -- normalized, "/" between levels
    uidvalidity INTEGER NOT NULL UNIQUE,
    special_use TEXT NOT NULL,             -- "\Sent", empty for none
    subscribed INTEGER NOT NULL DEFAULT 1,
    selectable INTEGER NOT NULL,           -- 0: \Noselect, only there for its children
    uidnext INTEGER NOT NULL DEFAULT 1,
    recent_from INTEGER NOT NULL DEFAULT 1,  -- UIDs from here on were seen by no session yet
    highest_modseq INTEGER NOT NULL,
    messages INTEGER NOT NULL DEFAULT 0,
    unseen INTEGER NOT NULL DEFAULT 0,
    deleted INTEGER NOT NULL DEFAULT 0,
    size_octets INTEGER NOT NULL DEFAULT 0,
    vanished_horizon INTEGER NOT NULL DEFAULT 0    -- what vanished up to this ModSeq may be forgotten
) STRICT;

-- The spelling in which a keyword was first seen.
CREATE TABLE keyword (
    folded TEXT PRIMARY KEY,
    spelling TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Every combination of flags that messages have: one small number in each message. Combinations
-- that no message has any more are removed when there are many.
CREATE TABLE flagset (
    id INTEGER PRIMARY KEY AUTOINCREMENT,  -- never used again
    flags TEXT NOT NULL UNIQUE,            -- sorted, a space between them
    is_seen INTEGER NOT NULL,
    is_deleted INTEGER NOT NULL
) STRICT;

-- What was stored once, however many folders have a message of it. refs is kept by the triggers;
-- the program removes what has none left, with its digest, pieces, text and index entry. The id is
-- the number of the e-mail (RFC 8474 EMAILID), thread_id that of the first one of its thread.
CREATE TABLE content (
    id INTEGER PRIMARY KEY,                -- never used again
    refs INTEGER NOT NULL DEFAULT 0,
    size_octets INTEGER NOT NULL,
    header_octets INTEGER NOT NULL,
    sent_at REAL NOT NULL,                 -- the Date field; 0: none
    sent_day INTEGER NOT NULL,             -- as its writer saw it, proleptic ordinal; 0: none
    is_indexed INTEGER NOT NULL DEFAULT 0,
    is_digested INTEGER NOT NULL DEFAULT 1,  -- 0: to be read (again), see contents.py; 2: cannot be
    has_attachment INTEGER NOT NULL,
    thread_id INTEGER NOT NULL DEFAULT 0,  -- 0: not known yet
    subject TEXT NOT NULL,                 -- decoded
    layout TEXT NOT NULL,                  -- JSON [own octets, attachment id, own octets, ...]
    line_octets INTEGER                    -- as POP3 sends it, every line with CRLF; NULL: not counted
) STRICT;
CREATE INDEX content_unused ON content (id) WHERE refs = 0;
CREATE INDEX content_unindexed ON content (id) WHERE is_indexed = 0;
CREATE INDEX content_undigested ON content (id) WHERE is_digested = 0;

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

-- The own octets of a content in pieces of a fixed size: id = content id << 20 | number.
-- codec 0: as they are, 1: zlib.
CREATE TABLE piece (
    id INTEGER PRIMARY KEY,
    codec INTEGER NOT NULL,
    octets BLOB NOT NULL
) STRICT;

-- Bodies of parts that are stored once by their hash, in pieces like the above.
CREATE TABLE attachment (
    id INTEGER PRIMARY KEY,
    sha256 BLOB NOT NULL UNIQUE,
    refs INTEGER NOT NULL,
    size_octets INTEGER NOT NULL
) STRICT;
CREATE TABLE attachment_piece (
    id INTEGER PRIMARY KEY,
    codec INTEGER NOT NULL,
    octets BLOB NOT NULL
) STRICT;

-- What searching compares: header, NUL, text, NUL, header fields of the parts, all of it decoded and
-- as ``searchable`` makes it; zlib.
CREATE TABLE content_text (
    content_id INTEGER PRIMARY KEY REFERENCES content (id),
    text BLOB NOT NULL
) STRICT;

-- Which texts have which three characters. It only finds candidates: the text itself decides.
CREATE VIRTUAL TABLE trigram USING fts5 (
    text, content='', contentless_delete=1, detail=none, tokenize='trigram case_sensitive 1'
);

-- Contents and flag sets have no foreign keys, because messages would need one more index for each.
CREATE TABLE message (
    folder_id INTEGER NOT NULL REFERENCES folder (id),
    uid INTEGER NOT NULL,
    modseq INTEGER NOT NULL,
    flagset_id INTEGER NOT NULL,
    content_id INTEGER NOT NULL,
    size_octets INTEGER NOT NULL,
    received_at REAL NOT NULL,
    PRIMARY KEY (folder_id, uid)
) STRICT, WITHOUT ROWID;
CREATE INDEX message_by_modseq ON message (folder_id, modseq);

-- The other half of the change log: UIDs that are gone.
CREATE TABLE vanished (
    folder_id INTEGER NOT NULL REFERENCES folder (id) ON DELETE CASCADE,
    uid INTEGER NOT NULL,
    modseq INTEGER NOT NULL,
    PRIMARY KEY (folder_id, uid)
) STRICT, WITHOUT ROWID;
CREATE INDEX vanished_by_modseq ON vanished (folder_id, modseq);

-- Deliveries that arrived lately, so that none arrives twice.
CREATE TABLE delivery (
    id TEXT PRIMARY KEY,
    arrived_at REAL NOT NULL
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
