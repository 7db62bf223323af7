-- The mailboxes of version 1 get epoch 0; their sealing keys are learned from the next delivery.
ALTER TABLE mailbox ADD COLUMN epoch INTEGER NOT NULL DEFAULT 0;
ALTER TABLE mailbox ADD COLUMN key_mark BLOB;
ALTER TABLE mailbox ADD COLUMN ended_at REAL NOT NULL DEFAULT 0;
