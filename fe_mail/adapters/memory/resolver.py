"""
A resolver that answers from a table: the specification of the port, for tests and the demo.

The table maps ``(name, type)`` to records as text, as in a zone file: ``("example.org", "MX")``
to ``("10 mx.example.org.",)``. CNAMEs are followed. ``"A"`` and ``"AAAA"`` records answer for
``HostAddress``, and ``PTR`` is asked by address: ``("192.0.2.1", "PTR")``. A name of the table
exists with every type; any other name does not exist.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any, TypeVar

from twisted.internet.defer import Deferred

from fe_mail.model.dns import (
    AAAA,
    CAA,
    CNAME,
    MX,
    NS,
    PTR,
    SOA,
    SRV,
    TLSA,
    TXT,
    A,
    Answer,
    HostAddress,
    Record,
)
from fe_mail.model.errors import Invalid, Unavailable

__all__ = ["DEFAULT_TTL_SECONDS", "MAX_CNAMES", "TableResolver"]

DEFAULT_TTL_SECONDS = 300
MAX_CNAMES = 8

R = TypeVar("R", bound=Record)


class TableResolver:
    """
    ``failing`` names (or (name, type) pairs) are ``Unavailable``; ``authentic`` names have the
    AD bit. Both may be changed between questions. While ``is_late`` no question is answered
    before ``answer_next``, as with a resolver that takes its time.
    """

    def __init__(
        self,
        table: Mapping[tuple[str, str], Sequence[str]] | None = None,
        *,
        failing: Collection[str | tuple[str, str]] = (),
        authentic: Collection[str] = (),
        ttl: int = DEFAULT_TTL_SECONDS,
    ) -> None:
        self.table = {
            (_fold(name), kind): tuple(rows) for (name, kind), rows in (table or {}).items()
        }
        self.failing = set(failing)
        self.authentic = set(authentic)
        self.ttl = ttl
        self.is_late = False
        self.asked: list[tuple[str, str]] = []
        self.waiting: list[Deferred[None]] = []

    async def query(self, name: str, kind: type[R]) -> Answer[R]:
        """The records of a name."""
        if self.is_late:
            waiter: Deferred[None] = Deferred(self.waiting.remove)
            self.waiting.append(waiter)
            await waiter
        return self._answer(name, kind)

    def answer_next(self) -> None:
        """Answer the oldest question that waits."""
        self.waiting.pop(0).callback(None)

    def _answer(self, name: str, kind: type[R]) -> Answer[R]:
        kinds: tuple[type[Record], ...] = (AAAA, A) if kind is HostAddress else (kind,)
        names = [each.__name__ for each in kinds]
        chain = self._chain(name, follows=kind is not CNAME)
        self.asked.extend((chain[0], each) for each in names)
        failed = [each for each in names if self._is_failing(chain, each)]
        records: list[Any] = [
            _READERS[each](row)
            for each in kinds
            if each.__name__ not in failed
            for row in self.table.get((chain[-1], each.__name__), ())
        ]
        if failed and not records:
            raise Unavailable("The domain name system does not answer.")
        if kind in _ORDERS:
            records.sort(key=_ORDERS[kind])
        return Answer(
            records=tuple(records),
            ttl=self.ttl,
            authentic=all(link in self.authentic for link in chain),
            exists=any(known == chain[-1] for known, _ in self.table),
        )

    def _chain(self, name: str, follows: bool) -> list[str]:
        """The name and those that it is an alias of."""
        chain = [_fold(name)]
        while follows and (chain[-1], "CNAME") in self.table:
            target = _fold(self.table[chain[-1], "CNAME"][0])
            if len(chain) > MAX_CNAMES or target in chain:
                raise Unavailable("The domain name system is misconfigured for this name.")
            chain.append(target)
        return chain

    def _is_failing(self, chain: list[str], kind: str) -> bool:
        return any(link in self.failing or (link, kind) in self.failing for link in chain)


def _fold(name: str) -> str:
    return name.lower().rstrip(".")


def _numbers(row: str, count: int) -> tuple[list[int], str]:
    """The leading numbers of a record and the rest of it."""
    *words, rest = row.split(maxsplit=count)
    if len(words) != count or not all(word.isdigit() for word in words):
        raise Invalid("A record of the table needs more numbers.")
    return [int(word) for word in words], rest


def _mx(row: str) -> MX:
    (preference,), host = _numbers(row, 1)
    return MX(preference, _fold(host))


def _srv(row: str) -> SRV:
    (priority, weight, port), target = _numbers(row, 3)
    return SRV(priority, weight, port, _fold(target))


def _tlsa(row: str) -> TLSA:
    (usage, selector, matching), data = _numbers(row, 3)
    return TLSA(usage, selector, matching, bytes.fromhex(data))


def _caa(row: str) -> CAA:
    (flags,), rest = _numbers(row, 1)
    tag, _, value = rest.partition(" ")
    return CAA(flags, tag, value.strip('"'))


def _soa(row: str) -> SOA:
    primary, mailbox, *numbers = row.split()
    serial, refresh, retry, expire, minimum = map(int, numbers)
    return SOA(_fold(primary), _fold(mailbox), serial, refresh, retry, expire, minimum)


_READERS: Mapping[type[Record], Callable[[str], Record]] = MappingProxyType(
    {
        A: A,
        AAAA: AAAA,
        TXT: TXT,
        CNAME: lambda row: CNAME(_fold(row)),
        PTR: lambda row: PTR(_fold(row)),
        NS: lambda row: NS(_fold(row)),
        MX: _mx,
        SRV: _srv,
        TLSA: _tlsa,
        CAA: _caa,
        SOA: _soa,
    }
)
_ORDERS: Mapping[type[Record], Callable[[Any], int]] = MappingProxyType(
    {MX: lambda record: int(record.preference), SRV: lambda record: int(record.priority)}
)
