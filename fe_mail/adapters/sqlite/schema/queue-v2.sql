-- queue, version 2: everything that was accepted and is not settled yet, and the journal of what
-- became of it.

-- One row: the start of the machine whose clock the leases count by.
CREATE TABLE boot (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    boot_id TEXT NOT NULL
) STRICT;
INSERT INTO boot VALUES (1, '');

-- One row per message. Times are seconds since the epoch.
CREATE TABLE messages (
    serial INTEGER PRIMARY KEY,            -- order of arrival
    id TEXT NOT NULL UNIQUE,
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
    is_sender_proven INTEGER NOT NULL,     -- of mail from outside: a report may go there
    peer TEXT NOT NULL,                    -- JSON object
    blob TEXT NOT NULL,                    -- of a large body, which is outside; or empty
    body BLOB                              -- a small one; last, since reading a row stops before
) STRICT;
CREATE INDEX messages_by_alias ON messages (alias_id) WHERE alias_id <> '';
CREATE INDEX messages_by_domain ON messages (domain_id) WHERE domain_id <> '';
CREATE UNIQUE INDEX messages_by_blob ON messages (blob) WHERE blob <> '';

-- One row per resolved target. A message goes, with all its rows, when none of them is waiting
-- or held any more. A delivery is *ready* when it waits and nobody has a lease on it.
CREATE TABLE deliveries (
    message INTEGER NOT NULL REFERENCES messages (serial) ON DELETE CASCADE,
    number INTEGER NOT NULL,
    recipient TEXT NOT NULL,
    courier TEXT NOT NULL,
    address TEXT NOT NULL,
    target_alias_id TEXT NOT NULL,
    target_domain_id TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('waiting', 'held', 'delivered', 'failed')),
    hold_reason TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    next_attempt_at REAL NOT NULL,
    notify TEXT NOT NULL,                  -- JSON list
    original_recipient TEXT NOT NULL,
    last_status TEXT NOT NULL,
    last_attempt_at REAL NOT NULL,
    delayed_notice_at REAL NOT NULL,
    handling TEXT NOT NULL,                -- JSON object: folder, keywords, fields; empty: none
    kind TEXT NOT NULL,                    -- these three: fe_mail/model/lane.py
    owner TEXT NOT NULL,
    lane TEXT NOT NULL,
    token TEXT NOT NULL,                   -- proves the lease, also one that ran out; or empty
    lease_until REAL NOT NULL,             -- by the clock of this start of the machine; 0: no lease
    PRIMARY KEY (message, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX deliveries_ready ON deliveries (lane, owner, next_attempt_at)
    WHERE state = 'waiting' AND lease_until = 0;
CREATE INDEX deliveries_leased ON deliveries (lease_until) WHERE lease_until > 0;
CREATE INDEX deliveries_held ON deliveries (message) WHERE state = 'held';

-- Who waits where: one row for each owner and lane with a ready delivery, kept by the triggers
-- below. So claiming looks at lines and not at deliveries: 100,000 for a host that is slow cost
-- mail for others nothing.
CREATE TABLE turns (
    kind TEXT NOT NULL,
    owner TEXT NOT NULL,
    lane TEXT NOT NULL,
    waiting INTEGER NOT NULL,
    due_at REAL NOT NULL,                  -- the earliest of them, or rest_until if that is later
    rest_until REAL NOT NULL,
    PRIMARY KEY (kind, owner, lane)
) STRICT, WITHOUT ROWID;
CREATE INDEX turns_due ON turns (kind, owner, due_at);
CREATE INDEX turns_by_time ON turns (due_at);
CREATE INDEX turns_by_lane ON turns (lane);

CREATE TRIGGER delivery_added AFTER INSERT ON deliveries
WHEN NEW.state = 'waiting' AND NEW.lease_until = 0 BEGIN
    INSERT INTO turns VALUES (NEW.kind, NEW.owner, NEW.lane, 1, NEW.next_attempt_at, 0)
    ON CONFLICT DO UPDATE SET
        waiting = waiting + 1, due_at = max(rest_until, min(due_at, NEW.next_attempt_at));
END;

CREATE TRIGGER delivery_changed AFTER UPDATE OF state, lease_until, next_attempt_at ON deliveries
WHEN (OLD.state = 'waiting' AND OLD.lease_until = 0) OR (NEW.state = 'waiting' AND NEW.lease_until = 0)
BEGIN
    INSERT INTO turns
    SELECT NEW.kind, NEW.owner, NEW.lane, 0, NEW.next_attempt_at, 0
    WHERE NEW.state = 'waiting' AND NEW.lease_until = 0
    ON CONFLICT DO NOTHING;
    UPDATE turns SET
        waiting = waiting + (NEW.state = 'waiting' AND NEW.lease_until = 0)
            - (OLD.state = 'waiting' AND OLD.lease_until = 0),
        due_at = max(rest_until, coalesce(
            (
                SELECT min(next_attempt_at) FROM deliveries
                WHERE lane = NEW.lane AND owner = NEW.owner
                    AND state = 'waiting' AND lease_until = 0
            ),
            0
        ))
    WHERE kind = NEW.kind AND owner = NEW.owner AND lane = NEW.lane;
    DELETE FROM turns
    WHERE kind = NEW.kind AND owner = NEW.owner AND lane = NEW.lane AND waiting = 0;
END;

CREATE TRIGGER delivery_removed AFTER DELETE ON deliveries
WHEN OLD.state = 'waiting' AND OLD.lease_until = 0 BEGIN
    UPDATE turns SET
        waiting = waiting - 1,
        due_at = max(rest_until, coalesce(
            (
                SELECT min(next_attempt_at) FROM deliveries
                WHERE lane = OLD.lane AND owner = OLD.owner
                    AND state = 'waiting' AND lease_until = 0
            ),
            0
        ))
    WHERE kind = OLD.kind AND owner = OLD.owner AND lane = OLD.lane;
    DELETE FROM turns
    WHERE kind = OLD.kind AND owner = OLD.owner AND lane = OLD.lane AND waiting = 0;
END;

-- What became of mail, for the owners of domains: envelope only. It refers to nothing: an entry
-- outlives what it is about. Ids begin with the second in which they were made.
CREATE TABLE log (
    id TEXT PRIMARY KEY,
    created_at REAL NOT NULL,
    kind TEXT NOT NULL,
    domain_id TEXT NOT NULL,
    alias_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    remote TEXT NOT NULL,
    detail TEXT NOT NULL                   -- JSON object
) STRICT, WITHOUT ROWID;
CREATE INDEX log_by_domain ON log (domain_id, id);
CREATE INDEX log_by_alias ON log (alias_id, id) WHERE alias_id <> '';
