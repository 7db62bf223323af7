-- spool, version 1: the bodies that are small enough to share a commit.

CREATE TABLE blob (
    id TEXT NOT NULL UNIQUE,
    content BLOB NOT NULL
) STRICT;
