-- Keys of mailboxes are compared and set by their epoch; what a change leaves to be done is noted.
ALTER TABLE aliases ADD COLUMN epoch INTEGER NOT NULL DEFAULT 0;

CREATE TABLE unsettled (
    alias_id TEXT PRIMARY KEY,
    epoch INTEGER NOT NULL,
    due_at REAL NOT NULL
) WITHOUT ROWID;

CREATE TABLE first_user (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    user_id TEXT NOT NULL
);
INSERT INTO first_user SELECT 1, id FROM users ORDER BY serial LIMIT 1;

-- The log moves to the file of the queue, see adapters/sqlite/journal.py. Nothing used the settings.
DROP INDEX log_by_age;
DROP INDEX log_by_domain;
DROP INDEX log_by_alias;
DROP TABLE settings;
