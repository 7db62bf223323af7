"""Values: what the rest of fe-mail talks about. Frozen, without I/O, without Twisted."""
