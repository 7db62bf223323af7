-- accounts, version 3: users, domains, members, aliases, credentials, sessions, the outbox, settings.
--
-- Columns have the names of the attributes in fe_mail/model/account.py. Times are seconds since
-- the epoch, 0 means never; lists and mappings are JSON; flags are 0 or 1. "serial" is the order
-- of insertion and decides between rows of the same time. Secrets come encrypted or hashed.

CREATE TABLE users (
    serial INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    email TEXT NOT NULL,
    email_key TEXT NOT NULL UNIQUE,        -- email without case
    password_hash TEXT NOT NULL,           -- argon2id, PHC string
    "group" TEXT NOT NULL,
    plan TEXT NOT NULL,
    api_token_hash TEXT NOT NULL,
    api_token_sealed BLOB NOT NULL,
    has_verified_email INTEGER NOT NULL,
    is_banned INTEGER NOT NULL,
    given_name TEXT NOT NULL,
    family_name TEXT NOT NULL,
    locale TEXT NOT NULL,
    timezone TEXT NOT NULL,
    max_quota_per_alias INTEGER NOT NULL,
    created_at REAL NOT NULL,
    updated_at REAL NOT NULL
);
CREATE UNIQUE INDEX users_by_token ON users (api_token_hash) WHERE api_token_hash <> '';

-- One row, for ever: who came first owns the server, and nobody else ever comes first.
CREATE TABLE first_user (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    user_id TEXT NOT NULL
);

-- Several accounts may claim one name; a user is a member of one of them only.
CREATE TABLE domains (
    serial INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,                    -- lower-case A-labels
    plan TEXT NOT NULL,
    verification_record TEXT NOT NULL,
    has_mx_record INTEGER NOT NULL,
    has_txt_record INTEGER NOT NULL,
    has_smtp INTEGER NOT NULL,
    has_dkim_record INTEGER NOT NULL,
    has_return_path_record INTEGER NOT NULL,
    has_dmarc_record INTEGER NOT NULL,
    has_spf_record INTEGER NOT NULL,
    dkim_selector TEXT NOT NULL,
    dkim_private_key BLOB NOT NULL,        -- encrypted
    dkim_public_key TEXT NOT NULL,
    has_adult_content_protection INTEGER NOT NULL,
    has_phishing_protection INTEGER NOT NULL,
    has_executable_protection INTEGER NOT NULL,
    has_virus_protection INTEGER NOT NULL,
    has_recipient_verification INTEGER NOT NULL,
    ignore_mx_check INTEGER NOT NULL,
    is_catchall_regex_disabled INTEGER NOT NULL,
    has_newsletter INTEGER NOT NULL,
    max_recipients_per_alias INTEGER NOT NULL,
    max_quota_per_alias INTEGER NOT NULL,
    smtp_port INTEGER NOT NULL,
    retention_days INTEGER NOT NULL,
    bounce_webhook TEXT NOT NULL,
    webhook_key BLOB NOT NULL,             -- encrypted
    allowlist TEXT NOT NULL,
    denylist TEXT NOT NULL,
    restricted_alias_names TEXT NOT NULL,
    last_checked_at REAL NOT NULL,
    smtp_verified_at REAL NOT NULL,
    created_at REAL NOT NULL,
    updated_at REAL NOT NULL,
    alias_count INTEGER NOT NULL DEFAULT 0,    -- both kept by the triggers on aliases, so that
    storage_used INTEGER NOT NULL DEFAULT 0    -- mail to a domain of 100,000 costs no more
);
CREATE INDEX domains_by_name ON domains (name);

CREATE TABLE members (
    serial INTEGER PRIMARY KEY,
    domain_id TEXT NOT NULL REFERENCES domains (id) ON DELETE CASCADE,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    "group" TEXT NOT NULL,                 -- admin or user
    UNIQUE (domain_id, user_id)
);
CREATE INDEX members_by_user ON members (user_id);

CREATE TABLE aliases (
    serial INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    domain_id TEXT NOT NULL REFERENCES domains (id) ON DELETE CASCADE,
    user_id TEXT NOT NULL REFERENCES users (id),
    name TEXT NOT NULL,                    -- lower-case local part, "*" or "/regex/flags"
    description TEXT NOT NULL,
    labels TEXT NOT NULL,
    is_enabled INTEGER NOT NULL,
    error_code_if_disabled INTEGER NOT NULL,
    recipients TEXT NOT NULL,
    verified_recipients TEXT NOT NULL,
    pending_recipients TEXT NOT NULL,
    has_recipient_verification INTEGER NOT NULL,
    has_imap INTEGER NOT NULL,
    has_pgp INTEGER NOT NULL,
    public_key TEXT NOT NULL,
    max_quota INTEGER NOT NULL,
    retention INTEGER NOT NULL,
    storage_used INTEGER NOT NULL,
    vacation_responder TEXT NOT NULL,      -- JSON object
    settings TEXT NOT NULL,                -- JSON object
    sealing_key BLOB NOT NULL,             -- public; empty: no mailbox yet
    epoch INTEGER NOT NULL,                -- grows with every change of sealing_key or credentials
    created_at REAL NOT NULL,
    updated_at REAL NOT NULL,
    UNIQUE (domain_id, name)
);
CREATE INDEX aliases_by_user ON aliases (user_id);

CREATE TRIGGER alias_added AFTER INSERT ON aliases BEGIN
    UPDATE domains
    SET alias_count = alias_count + 1, storage_used = storage_used + new.storage_used
    WHERE id = new.domain_id;
END;
CREATE TRIGGER alias_deleted AFTER DELETE ON aliases BEGIN
    UPDATE domains
    SET alias_count = alias_count - 1, storage_used = storage_used - old.storage_used
    WHERE id = old.domain_id;
END;
CREATE TRIGGER alias_grown AFTER UPDATE OF storage_used ON aliases BEGIN
    UPDATE domains
    SET storage_used = storage_used - old.storage_used + new.storage_used
    WHERE id = new.domain_id;
END;

CREATE TABLE credentials (
    serial INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    alias_id TEXT NOT NULL REFERENCES aliases (id) ON DELETE CASCADE,
    kind TEXT NOT NULL,                    -- password or recovery
    description TEXT NOT NULL,
    salt BLOB NOT NULL,
    iterations INTEGER NOT NULL,
    stored_key BLOB NOT NULL,              -- SCRAM-SHA-256 (RFC 5802 section 3)
    server_key BLOB NOT NULL,
    wrapped_key BLOB NOT NULL,             -- the mailbox key under HKDF(ClientKey)
    created_at REAL NOT NULL,
    last_used_at REAL NOT NULL
);
CREATE INDEX credentials_by_alias ON credentials (alias_id);

-- The outbox: aliases whose keys changed, or that are gone, and whose sessions and mailbox files have
-- not followed yet. Written with the change itself; "epoch" is the one that the change led to.
CREATE TABLE unsettled (
    alias_id TEXT PRIMARY KEY,
    epoch INTEGER NOT NULL,
    due_at REAL NOT NULL
) WITHOUT ROWID;

CREATE TABLE web_sessions (
    id TEXT PRIMARY KEY,                   -- sha256 hex of the cookie's token
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created_at REAL NOT NULL,
    expires_at REAL NOT NULL,
    remote TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX web_sessions_by_user ON web_sessions (user_id);
CREATE INDEX web_sessions_by_end ON web_sessions (expires_at);

-- Entries of version 1, until they are moved to the file of the queue.
CREATE TABLE log (
    serial INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    created_at REAL NOT NULL,
    kind TEXT NOT NULL,
    domain_id TEXT NOT NULL,
    alias_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    remote TEXT NOT NULL,
    detail TEXT NOT NULL                   -- JSON object
);

-- What the operator decided while the server runs; what is not here is as a fresh server has it.
CREATE TABLE settings (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Rows as the store hands them out, with what it fills in.
CREATE VIEW domain_rows AS
SELECT
    domains.*,
    (
        SELECT json_group_array(
            json_object('user_id', user_id, 'group', members."group", 'email', email)
            ORDER BY members.serial
        )
        FROM members JOIN users ON users.id = user_id WHERE domain_id = domains.id
    ) AS members,
    EXISTS (SELECT 1 FROM aliases WHERE domain_id = domains.id AND name = '*') AS has_catchall,
    EXISTS (
        SELECT 1 FROM aliases WHERE domain_id = domains.id AND name >= '/' AND name < '0'
    ) AS has_regex,
    EXISTS (
        SELECT 1 FROM members JOIN users ON users.id = user_id
        WHERE domain_id = domains.id AND members."group" = 'admin' AND users."group" = 'admin'
    ) AS owner_is_admin
FROM domains;

CREATE VIEW alias_rows AS
SELECT aliases.*, domains.name AS domain_name, users.email AS user_email
FROM aliases
    JOIN domains ON domains.id = aliases.domain_id
    JOIN users ON users.id = aliases.user_id;
