"""End-to-end tests: the real twistd, driven by real clients over loopback."""
