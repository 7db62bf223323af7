"""fe-mail: a whole mail system in one light Twisted process."""
