-- Registration closes after the first account; where several have registered it stays as it was.
CREATE TABLE settings (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

INSERT INTO settings
    SELECT 'registration', 'open' WHERE (SELECT count(*) FROM users) > 1;
