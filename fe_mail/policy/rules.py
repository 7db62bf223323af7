"""
What a rule is: a name, one question, and an action if the answer is bad.

A table is a tuple of rules, read top to bottom. The first *decisive* action ends it: refuse,
hold, discard, or accept whatever the rules behind would say. ``Tag`` and ``File`` let the others
speak: tags accumulate, the first folder counts. ``count`` hears the name of every rule that
acted, so each rule has its own counter. Rules are coroutines since some ask a port; most answer
at once.

Before there is a message (connection, MAIL, RCPT) a rule can only refuse or accept.
"""

import re
from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar

import attrs

from fe_mail.model.queue import Handling
from fe_mail.model.status import Status

__all__ = [
    "Accept",
    "Action",
    "AtTheDoor",
    "Count",
    "Discard",
    "File",
    "Hold",
    "Judgment",
    "Refuse",
    "Rule",
    "Tag",
    "first_refusal",
    "judge",
    "refuse",
]

F = TypeVar("F")
A_co = TypeVar("A_co", covariant=True)
Count = Callable[[str], None]

_FIELD = re.compile(r"[!-9;-~]+: [^\x00-\x08\x0a-\x1f\x7f]*\Z")


@attrs.frozen
class Refuse:
    """Say no; temporary or for ever, as the status says."""

    status: Status


@attrs.frozen
class Hold:
    """Take the message, and keep it in the queue until an operator releases it."""

    reason: str = attrs.field(validator=attrs.validators.min_len(1))


@attrs.frozen
class Discard:
    """Take the message and drop it in silence."""


@attrs.frozen
class Accept:
    """Take the message, whatever the rules behind would say."""


def _is_field(tag: "Tag", _: Any, field: str) -> None:
    if field and not _FIELD.match(field):
        raise ValueError("a tag is one header field on one line")


@attrs.frozen(kw_only=True)
class Tag:
    """Mark the message: a header field ("X-Spam: yes"), an IMAP keyword ("$Junk"), or both."""

    field: str = attrs.field(default="", validator=_is_field)
    keyword: str = ""


@attrs.frozen
class File:
    """Deliver into this folder of a mailbox; INBOX where it does not exist."""

    folder: str


Decisive = Refuse | Hold | Discard | Accept
Action = Decisive | Tag | File
AtTheDoor = Refuse | Accept


@attrs.frozen
class Rule(Generic[F, A_co]):
    """One line of a table. ``name`` is dotted and stable: metrics and logs use it."""

    name: str
    description: str
    check: Callable[[F], Awaitable[A_co | None]]


@attrs.frozen(kw_only=True)
class Judgment:
    """What a table says of a message."""

    action: Decisive = Accept()
    handling: Handling = Handling()

    @property
    def refusal(self) -> Status | None:
        """The answer, if it is no."""
        return self.action.status if isinstance(self.action, Refuse) else None


def refuse(code: int, enhanced: str, text: str) -> Refuse:
    """Refuse with a status."""
    return Refuse(Status(code, enhanced, text))


async def judge(table: tuple[Rule[F, Action], ...], facts: F, count: Count) -> Judgment:
    """Ask the rules in order, up to the first that decides."""
    handling = Handling()
    for rule in table:
        action = await rule.check(facts)
        if action is None:
            continue
        count(rule.name)
        match action:
            case Tag(field=field, keyword=keyword):
                handling = attrs.evolve(
                    handling,
                    fields=handling.fields + ((field,) if field else ()),
                    keywords=handling.keywords + ((keyword,) if keyword else ()),
                )
            case File(folder=folder):
                handling = attrs.evolve(handling, folder=handling.folder or folder)
            case _:
                return Judgment(action=action, handling=handling)
    return Judgment(handling=handling)


async def first_refusal(
    table: tuple[Rule[F, AtTheDoor], ...], facts: F, count: Count
) -> Status | None:
    """Ask rules that can only refuse or accept; None means that nobody refuses."""
    return (await judge(table, facts, count)).refusal
