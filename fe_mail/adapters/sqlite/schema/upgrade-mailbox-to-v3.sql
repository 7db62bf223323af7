-- mailbox, from version 2 to 3: what POP3 says of a message's size is counted in the background, a
-- few messages at a time, and until then when somebody asks for it.

ALTER TABLE content ADD COLUMN line_octets INTEGER;
CREATE INDEX content_uncounted ON content (id) WHERE line_octets IS NULL;
