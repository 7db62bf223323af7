-- mailbox, from version 2 to 3: what POP3 says of a message's size is counted when it is digested
-- again, in the background, and until then when somebody asks for it.

ALTER TABLE content ADD COLUMN line_octets INTEGER;
