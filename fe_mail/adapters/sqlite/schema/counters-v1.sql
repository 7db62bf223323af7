-- counters, version 1: what limits rest on, and who does what alone.

-- A counter runs out at ends_at, in seconds since the epoch. It is one for each window (seconds).
CREATE TABLE counters (
    name TEXT NOT NULL,
    seconds INTEGER NOT NULL,
    value INTEGER NOT NULL,
    ends_at REAL NOT NULL,
    PRIMARY KEY (name, seconds)
) WITHOUT ROWID;
CREATE INDEX counters_by_end ON counters (ends_at);

-- A row stays when its lease is over, since its token must grow. The times are of the host's
-- steady clock, which begins anew when the host does: a lease that would last for longer than it
-- was given is from before that.
CREATE TABLE leases (
    name TEXT PRIMARY KEY,
    owner TEXT NOT NULL,
    token INTEGER NOT NULL,
    until REAL NOT NULL,
    seconds REAL NOT NULL,
    note TEXT NOT NULL
) WITHOUT ROWID;
