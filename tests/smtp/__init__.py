"""Tests of the SMTP edges: the grammar, the session, the servers."""
