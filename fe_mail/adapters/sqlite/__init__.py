"""Embedded stores on SQLite, WAL mode, every transaction in a thread."""
