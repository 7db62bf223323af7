-- mailbox, version 1: everything of one alias, in one encrypted file.

-- One row: the counters of the whole mailbox, and the key pair that mail is sealed to while the
-- mailbox is locked. used_octets is kept by the triggers below.
CREATE TABLE mailbox (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    modseq INTEGER NOT NULL,               -- of the latest mutation (RFC 7162)
    last_uidvalidity INTEGER NOT NULL,     -- no folder ever gets one that is not greater
    used_octets INTEGER NOT NULL,          -- sum of message.size_octets
    sealing_public BLOB NOT NULL,
    sealing_private BLOB NOT NULL
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
    size_octets INTEGER NOT NULL DEFAULT 0
) STRICT;

-- The spelling in which a keyword was first seen.
CREATE TABLE keyword (
    folded TEXT PRIMARY KEY,
    spelling TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Every combination of flags that messages have: one small number in each message.
CREATE TABLE flagset (
    id INTEGER PRIMARY KEY,
    flags TEXT NOT NULL UNIQUE,            -- sorted, a space between them
    is_seen INTEGER NOT NULL,
    is_deleted INTEGER NOT NULL
) STRICT;

-- What was stored once, however many folders have a message of it. refs is kept by the triggers;
-- the program removes what has none left, with its pieces, text and index entry.
CREATE TABLE content (
    id INTEGER PRIMARY KEY,
    refs INTEGER NOT NULL DEFAULT 0,
    size_octets INTEGER NOT NULL,
    header_octets INTEGER NOT NULL,
    sent_at REAL NOT NULL,                 -- the Date field; 0: none
    sent_day INTEGER NOT NULL,             -- as its writer saw it, proleptic ordinal; 0: none
    is_indexed INTEGER NOT NULL DEFAULT 0,
    has_attachment INTEGER NOT NULL,
    subject TEXT NOT NULL,                 -- decoded
    layout TEXT NOT NULL,                  -- JSON [own octets, attachment id, own octets, ...]
    envelope TEXT NOT NULL,                -- JSON
    structure TEXT NOT NULL                -- JSON
) STRICT;
CREATE INDEX content_unused ON content (id) WHERE refs = 0;
CREATE INDEX content_unindexed ON content (id) WHERE is_indexed = 0;

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

-- What searching compares: decoded, folded header, NUL, decoded, folded text; zlib.
CREATE TABLE content_text (
    content_id INTEGER PRIMARY KEY REFERENCES content (id),
    text BLOB NOT NULL
) STRICT;

-- Which texts have which three characters. It only finds candidates: the text itself decides.
CREATE VIRTUAL TABLE trigram USING fts5 (
    text, content='', contentless_delete=1, detail=none, tokenize='trigram case_sensitive 1'
);

-- A content has no foreign key, because its messages would need one more index for it.
CREATE TABLE message (
    folder_id INTEGER NOT NULL REFERENCES folder (id),
    uid INTEGER NOT NULL,
    modseq INTEGER NOT NULL,
    flagset_id INTEGER NOT NULL REFERENCES flagset (id),
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

-- Deliveries that arrived, so that none arrives twice.
CREATE TABLE delivery (
    id TEXT PRIMARY KEY,
    arrived_at REAL NOT NULL
) STRICT, WITHOUT ROWID;

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
