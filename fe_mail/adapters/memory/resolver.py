"""
A resolver that answers from a table: the specification of the port, for tests and the demo.

The table maps ``(name, type)`` to records as text, as in a zone file: ``("example.org", "MX")``
to ``("10 mx.example.org.",)``. CNAMEs are followed. ``"A"`` and ``"AAAA"`` records answer
``addresses`` and ``ptr`` is asked by address: ``("192.0.2.1", "PTR")``. A name of the table
exists with every type; any other name does not exist.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TypeVar

from fe_mail.model.dns import MX, Answer
from fe_mail.model.errors import Invalid, Unavailable

__all__ = ["DEFAULT_TTL_SECONDS", "MAX_CNAMES", "TableResolver"]

DEFAULT_TTL_SECONDS = 300
MAX_CNAMES = 8

T = TypeVar("T")


class TableResolver:
    """
    ``failing`` names (or (name, type) pairs) are ``Unavailable``; ``authentic`` names have the
    AD bit. Both may be changed between questions.
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
        self.asked: list[tuple[str, str]] = []

    async def mx(self, name: str) -> Answer[MX]:
        """MX records sorted by preference."""
        answer = self._ask(name, ("MX",), _mx)
        ordered = tuple(sorted(answer.records, key=lambda record: record.preference))
        return self._like(answer, ordered)

    async def addresses(self, name: str) -> Answer[str]:
        """A and AAAA as text, IPv6 first."""
        return self._ask(name, ("AAAA", "A"), str)

    async def txt(self, name: str) -> Answer[str]:
        """TXT records."""
        return self._ask(name, ("TXT",), str)

    async def cname(self, name: str) -> Answer[str]:
        """The canonical name."""
        return self._ask(name, ("CNAME",), _fold, follow=False)

    async def ptr(self, ip: str) -> Answer[str]:
        """Reverse names."""
        return self._ask(ip, ("PTR",), _fold)

    async def ns(self, name: str) -> Answer[str]:
        """Name servers."""
        return self._ask(name, ("NS",), _fold)

    def _ask(
        self, name: str, kinds: tuple[str, ...], read: Callable[[str], T], follow: bool = True
    ) -> Answer[T]:
        key = _fold(name)
        chain = [key]
        while follow and (key, "CNAME") in self.table:
            key = _fold(self.table[key, "CNAME"][0])
            if len(chain) > MAX_CNAMES or key in chain:
                raise Unavailable("The domain name system is misconfigured for this name.")
            chain.append(key)
        self._fail_if_told(chain, kinds)
        rows = [row for kind in kinds for row in self.table.get((key, kind), ())]
        exists = any(known == key for known, _ in self.table)
        return Answer(
            records=tuple(read(row) for row in rows),
            ttl=self.ttl,
            authentic=all(link in self.authentic for link in chain),
            exists=exists,
        )

    def _fail_if_told(self, chain: list[str], kinds: tuple[str, ...]) -> None:
        self.asked.extend((chain[0], kind) for kind in kinds)
        for link in chain:
            if link in self.failing or any((link, kind) in self.failing for kind in kinds):
                raise Unavailable("The domain name system does not answer.")

    def _like(self, answer: Answer[T], records: tuple[T, ...]) -> Answer[T]:
        return Answer(
            records=records, ttl=answer.ttl, authentic=answer.authentic, exists=answer.exists
        )


def _fold(name: str) -> str:
    return name.lower().rstrip(".")


def _mx(row: str) -> MX:
    preference, _, host = row.partition(" ")
    if not preference.isdigit():
        raise Invalid("An MX record of the table needs a preference.")
    return MX(int(preference), _fold(host))
