"""Tests of what the SQLite adapters have in common."""
