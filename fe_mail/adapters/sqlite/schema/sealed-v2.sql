-- sealed, version 2: what is known of mailboxes without their keys, and mail that waits for them.

-- One row for each alias: the last of its mailboxes. "epoch" says which, and grows with each one;
-- what comes late with a smaller one changes nothing. "key_mark" is the SHA-256 of the public
-- sealing key: NULL as long as it is not known (mailboxes of version 1), empty when the mailbox is
-- gone, at "ended_at".
-- used_octets follows the encrypted file and may lag behind it; the next unlock sets it right.
-- sealed_octets is kept by the triggers below.
CREATE TABLE mailbox (
    alias_id TEXT PRIMARY KEY,
    epoch INTEGER NOT NULL DEFAULT 0,
    key_mark BLOB,
    ended_at REAL NOT NULL DEFAULT 0,
    limit_octets INTEGER NOT NULL,         -- 0: none
    used_octets INTEGER NOT NULL,
    sealed_octets INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

-- Nothing readable: message, folder, flags and the delivery's id are sealed to the mailbox's public
-- key. Here the id is a keyed hash, in rows of version 1 the id itself.
CREATE TABLE sealed (
    id INTEGER PRIMARY KEY,                -- order of arrival
    alias_id TEXT NOT NULL REFERENCES mailbox (alias_id),
    delivery_id TEXT NOT NULL,
    size_octets INTEGER NOT NULL,          -- of the message
    octets BLOB NOT NULL,
    UNIQUE (alias_id, delivery_id)
) STRICT;

CREATE TRIGGER sealed_added AFTER INSERT ON sealed BEGIN
    UPDATE mailbox SET sealed_octets = sealed_octets + NEW.size_octets
    WHERE alias_id = NEW.alias_id;
END;

CREATE TRIGGER sealed_removed AFTER DELETE ON sealed BEGIN
    UPDATE mailbox SET sealed_octets = sealed_octets - OLD.size_octets
    WHERE alias_id = OLD.alias_id;
END;
