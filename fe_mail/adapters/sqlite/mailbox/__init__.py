"""Encrypted mailboxes, one SQLite file per alias; ``store`` says how they are laid out."""

from fe_mail.adapters.sqlite.mailbox.store import SQLiteMailboxStore

__all__ = ["SQLiteMailboxStore"]
