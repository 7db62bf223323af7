"""
What must be true of a file of accounts, and is not: one sentence for each exception.

The schema keeps most of it true. This looks for what a damaged disk or a foreign program did, and
for what no constraint can say.
"""

from fe_mail.adapters.sqlite.database import Cursor

__all__ = ["check_accounts"]

_CHECKS = (
    (
        "SELECT id FROM domains WHERE NOT EXISTS (SELECT 1 FROM members"
        " WHERE domain_id = domains.id AND \"group\" = 'admin')",
        "Domain {} has no admin.",
    ),
    (
        "SELECT id FROM aliases WHERE sealing_key = x'' AND EXISTS"
        " (SELECT 1 FROM credentials WHERE alias_id = aliases.id)",
        "Alias {} has credentials but no mailbox.",
    ),
    (
        "SELECT id FROM domains WHERE (alias_count, storage_used) <> (SELECT count(*),"
        " ifnull(sum(aliases.storage_used), 0) FROM aliases WHERE domain_id = domains.id)",
        "Domain {} has wrong counts.",
    ),
    (
        "SELECT id FROM users WHERE email_key <> fold(email)",
        "User {} cannot be found by e-mail address.",
    ),
)


def check_accounts(cursor: Cursor) -> tuple[str, ...]:
    """Every broken invariant, one sentence each."""
    damage = cursor.execute("PRAGMA integrity_check").fetchall()
    found = [f"The accounts' file is damaged: {line}." for (line,) in damage if line != "ok"]
    stray = cursor.execute("PRAGMA foreign_key_check").fetchall()
    found.extend(f"Row {row[1]} of {row[0]} refers to no {row[2]}." for row in stray)
    for statement, sentence in _CHECKS:
        rows = cursor.execute(statement).fetchall()
        found.extend(sentence.format(row_id) for (row_id,) in rows)
    return tuple(found)
