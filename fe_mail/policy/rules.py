"""
What a rule is: a name, one question, and a refusal if the answer is bad.

A table is a tuple of rules, read top to bottom; the first refusal decides. ``count`` hears the
name of every rule that refused, so each rule has its own counter. Rules are coroutines since
some ask a port; most answer at once.
"""

from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

import attrs

from fe_mail.model.status import Status

__all__ = ["Count", "Rule", "first_refusal", "uncounted"]

F = TypeVar("F")
Count = Callable[[str], None]


@attrs.frozen
class Rule(Generic[F]):
    """One line of a table. ``name`` is dotted and stable: metrics and logs use it."""

    name: str
    description: str
    check: Callable[[F], Awaitable[Status | None]]


def uncounted(name: str) -> None:
    """The counter hook of those who do not count."""


async def first_refusal(
    table: tuple[Rule[F], ...], facts: F, count: Count = uncounted
) -> Status | None:
    """Ask the rules in order; the first refusal ends it, None means that all agree."""
    for rule in table:
        refusal = await rule.check(facts)
        if refusal is not None:
            count(rule.name)
            return refusal
    return None
