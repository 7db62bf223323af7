"""
When the date goes back: what was planned under the later one waits for its own interval from now.

Due times and rests are dates. A clock that was ahead (a battery that ran out, a hypervisor, a wrong
key press) leaves some in a future that was never meant. A delivery was planned at its last attempt,
or when its message came; if that is after now, so much of its pause as it was given counts from now
on. Whatever happened, nothing waits for longer than the longest pause there is.
"""

from fe_mail.adapters.sqlite.database import Cursor

__all__ = ["set_back"]

_REST = "UPDATE turns SET rest_until = :now + :rest WHERE rest_until > :now + :rest"
_DELIVERIES = """
    WITH planned AS (
        SELECT message AS serial, number AS which,
            iif(last_attempt_at > 0, last_attempt_at, created_at) AS at
        FROM deliveries JOIN messages ON serial = message
        WHERE state = 'waiting' AND next_attempt_at > :now
    )
    UPDATE deliveries SET
        next_attempt_at = :now + iif(at > :now, max(0, min(next_attempt_at - at, :longest)), 0)
    FROM planned
    WHERE message = serial AND number = which
        AND (at > :now OR next_attempt_at > :now + :longest)
    RETURNING 1
"""
_ATTEMPTS = "UPDATE deliveries SET last_attempt_at = :now WHERE last_attempt_at > :now"
_MESSAGES = "UPDATE messages SET created_at = :now WHERE created_at > :now"
_DUE = """
    UPDATE turns SET due_at = max(rest_until, coalesce(
        (
            SELECT min(next_attempt_at) FROM deliveries
            WHERE lane = turns.lane AND owner = turns.owner
                AND state = 'waiting' AND lease_until = 0
        ),
        0
    ))
    WHERE due_at > :now
"""


def set_back(cursor: Cursor, now: float, longest_seconds: float, rest_seconds: float) -> int:
    """How many deliveries would have waited for a future that was never meant."""
    bindings = {"now": now, "longest": longest_seconds, "rest": rest_seconds}
    for_rest = {"now": now, "rest": rest_seconds}
    cursor.execute(_REST, for_rest)
    moved = len(cursor.execute(_DELIVERIES, bindings).fetchall())
    for statement in (_ATTEMPTS, _MESSAGES, _DUE):
        cursor.execute(statement, {"now": now})
    return moved
