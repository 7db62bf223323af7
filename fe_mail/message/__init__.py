"""RFC 5322 and MIME: reading, writing and measuring messages. Pure functions over bytes."""
