-- queue, from version 1: reports only to proven senders, and what rules wish for a copy.

ALTER TABLE messages ADD COLUMN is_sender_proven INTEGER NOT NULL DEFAULT 0;
ALTER TABLE deliveries ADD COLUMN handling TEXT NOT NULL DEFAULT '{}';
