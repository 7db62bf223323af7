-- queue, version 2: everything that was accepted and is not settled yet.

-- One row per message; the body is a blob outside, encrypted. Times are seconds since the epoch.
CREATE TABLE messages (
    serial INTEGER PRIMARY KEY,            -- order of arrival
    id TEXT NOT NULL UNIQUE,
    blob TEXT NOT NULL UNIQUE,             -- a body belongs to one message
    size_octets INTEGER NOT NULL,
    reverse_path TEXT NOT NULL,            -- empty: <>
    created_at REAL NOT NULL,
    source TEXT NOT NULL,                  -- mx, submission, bounce, system
    alias_id TEXT NOT NULL,                -- of the submitting alias
    domain_id TEXT NOT NULL,
    envelope_id TEXT NOT NULL,
    dsn_return TEXT NOT NULL,
    is_8bit INTEGER NOT NULL,
    is_utf8 INTEGER NOT NULL,
    requires_tls INTEGER NOT NULL,
    message_id TEXT NOT NULL,              -- the Message-ID header field
    peer TEXT NOT NULL,                    -- JSON object
    is_sender_proven INTEGER NOT NULL DEFAULT 0  -- mail from outside: a report may go there
);
CREATE INDEX messages_by_alias ON messages (alias_id) WHERE alias_id <> '';
CREATE INDEX messages_by_domain ON messages (domain_id) WHERE domain_id <> '';
CREATE INDEX messages_by_age ON messages (created_at);

-- One row per resolved target. A message goes, with all its rows, when none of them is waiting
-- or held any more.
CREATE TABLE deliveries (
    serial INTEGER PRIMARY KEY,            -- order of arrival
    message INTEGER NOT NULL REFERENCES messages (serial) ON DELETE CASCADE,
    number INTEGER NOT NULL,
    recipient TEXT NOT NULL,
    courier TEXT NOT NULL,
    address TEXT NOT NULL,
    target_alias_id TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('waiting', 'held', 'delivered', 'failed')),
    hold_reason TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    next_attempt_at REAL NOT NULL,
    notify TEXT NOT NULL,                  -- JSON list
    original_recipient TEXT NOT NULL,
    last_status TEXT NOT NULL,
    last_attempt_at REAL NOT NULL,
    delayed_notice_at REAL NOT NULL,
    token TEXT NOT NULL DEFAULT '',        -- proves the lease; empty: no lease
    lease_until REAL NOT NULL DEFAULT 0,
    handling TEXT NOT NULL DEFAULT '{}',   -- JSON object: folder, keywords, header fields
    due_at REAL NOT NULL AS (max(next_attempt_at, lease_until)) STORED,
    UNIQUE (message, number)
);
CREATE INDEX deliveries_due ON deliveries (due_at) WHERE state = 'waiting';
