"""What SEARCH means, said as plainly as possible: the reference that the store is compared to."""

from collections.abc import Callable
from typing import Any

from fe_mail.adapters.mailbox_rules import day_of, searchable, searchable_lines
from fe_mail.message.digest import digest
from fe_mail.model import search
from fe_mail.model.mailbox import FetchedMessage
from fe_mail.model.search import Key
from fe_mail.model.structure import Digest

__all__ = ["matches"]


def matches(key: Key, message: FetchedMessage) -> bool:
    """Does the message, fetched with its octets, match?"""
    return _TESTS[type(key)](key, message)


def _digest(message: FetchedMessage) -> Digest:
    assert message.raw is not None
    return digest(message.raw)


def _header(key: Any, message: FetchedMessage) -> bool:
    name, needle = searchable(key.name), searchable(key.text)
    lines = searchable_lines(_digest(message).header).split("\n")
    fields = (line.split(":", 1) for line in lines if ":" in line)
    return any(field.strip() == name and needle in value.strip() for field, value in fields)


def _body(key: Any, message: FetchedMessage) -> bool:
    return searchable(key.text) in searchable(_digest(message).text)


def _text(key: Any, message: FetchedMessage) -> bool:
    fields = (_digest(message).header, _digest(message).mime)
    needle = searchable(key.text)
    return any(needle in searchable_lines(each) for each in fields) or _body(key, message)


_TESTS: dict[type, Callable[[Any, FetchedMessage], bool]] = {
    search.All: lambda key, m: True,
    search.InUIDs: lambda key, m: any(low <= m.uid <= high for low, high in key.ranges),
    search.Flagged: lambda key, m: key.flag.lower() in {flag.lower() for flag in m.flags},
    search.HeaderContains: _header,
    search.BodyContains: _body,
    search.TextContains: _text,
    search.Before: lambda key, m: day_of(m.received_at) < key.day,
    search.On: lambda key, m: day_of(m.received_at) == key.day,
    search.Since: lambda key, m: day_of(m.received_at) >= key.day,
    search.Larger: lambda key, m: m.size_octets > key.octets,
    search.Smaller: lambda key, m: m.size_octets < key.octets,
    search.ModSeqSince: lambda key, m: m.modseq >= key.modseq,
    search.And: lambda key, m: all(matches(part, m) for part in key.keys),
    search.Or: lambda key, m: matches(key.left, m) or matches(key.right, m),
    search.Not: lambda key, m: not matches(key.key, m),
}
