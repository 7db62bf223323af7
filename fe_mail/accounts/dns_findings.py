"""What a check of the DNS asks with, and what it says."""

import enum
from collections.abc import Iterable
from typing import Any

import attrs

from fe_mail.accounts.dns_records import DNSRecord, full_name
from fe_mail.accounts.site import Site
from fe_mail.model.account import Domain
from fe_mail.model.dns import TXT, Answer, HostAddress
from fe_mail.model.network import is_public, plain_address
from fe_mail.model.sentence import Sentence
from fe_mail.model.vantage import OwnAddresses, Whose
from fe_mail.ports import Resolver, Vantage

__all__ = [
    "MAX_NAMED",
    "Finding",
    "Question",
    "RecordCheck",
    "Verdict",
    "cut",
    "is_made_up",
    "not_from_dns",
    "shown",
    "unknown_addresses",
]

MAX_NAMED = 3  # that a sentence lists
MAX_SHOWN_LENGTH = 120


class Verdict(enum.Enum):
    """How a record stands. Nothing is ``RIGHT`` on a guess."""

    RIGHT = "right"
    DOUBTFUL = "doubtful"  # it works, but
    MISSING = "missing"
    WRONG = "wrong"
    UNKNOWN = "unknown"  # it cannot be told from here
    SILENT = "silent"  # the DNS did not answer


Finding = tuple[Verdict, Sentence]
_SENDERS = ("spf", "helo")  # the purposes of SPF records


@attrs.frozen(kw_only=True)
class RecordCheck:
    """How one record stands."""

    record: DNSRecord
    verdict: Verdict
    sentence: Sentence

    @property
    def passed(self) -> bool:
        """It does what it is for."""
        return self.verdict in (Verdict.RIGHT, Verdict.DOUBTFUL)

    @property
    def is_undecided(self) -> bool:
        """Nobody may conclude anything from it."""
        return self.verdict in (Verdict.UNKNOWN, Verdict.SILENT)

    @property
    def counts(self) -> bool:
        """
        Mail needs the record, or is refused for what stands in its place: an SPF record that does
        not name this server is worse than none (RFC 7208 §8.4).
        """
        is_harmful = self.verdict is Verdict.WRONG and self.purpose in _SENDERS
        return self.record.required or is_harmful

    @property
    def message(self) -> str:
        """What was found, in English."""
        return str(self.sentence)

    @property
    def purpose(self) -> str:
        """Of the record."""
        return self.record.purpose


@attrs.frozen(kw_only=True)
class Question:
    """What a check needs to know. Records of the server are asked for no ``domain``."""

    resolver: Resolver
    vantage: Vantage
    site: Site
    own: OwnAddresses
    record: DNSRecord
    domain: Domain | None = None

    @property
    def name(self) -> str:
        """The full name of the record."""
        return full_name(self.record, self.domain) if self.domain else self.record.name.rstrip(".")

    @property
    def domain_name(self) -> str:
        """Of the domain that is checked."""
        return self.domain.name if self.domain else ""

    async def texts(self, name: str) -> tuple[str, ...]:
        """TXT records."""
        return (await self.resolver.query(name, TXT)).records

    async def text_beside(self) -> Finding | None:
        """Many add the domain to a name a second time: their DNS company adds it too."""
        twice, version = f"{self.name}.{self.domain_name}", self.record.value.partition(";")[0]
        if not any(text.strip().startswith(version) for text in await self.texts(twice)):
            return None
        return Verdict.MISSING, Sentence(
            "The record stands at %(twice)s instead of %(name)s: enter its name without the "
            "domain.",
            twice=twice,
            name=self.name,
        )

    async def addresses(self, host: str) -> tuple[str, ...]:
        """A and AAAA, in their usual spelling."""
        return tuple(map(plain_address, (await self.resolver.query(host, HostAddress)).records))

    def whose(self, address: str) -> Whose:
        """Whose it is; nobody reaches us at one that is not public, unless it was named as ours."""
        found = self.vantage.whose(address)
        return found if found is Whose.OURS or is_public(address) else Whose.FOREIGN


def unknown_addresses() -> Sentence:
    """Why nothing can be said about addresses, and what to do."""
    return Sentence(
        "This server does not know the address under which the Internet sees it. The one who "
        "runs it can set SERVER_ADDRESSES."
    )


def is_made_up(answer: Answer[Any]) -> bool:
    """
    Does it come from this host's own names, as stub resolvers give them for its host name, its
    addresses and what ``/etc/hosts`` has? Those are for this moment only, hardly any others are.
    """
    return bool(answer.records) and answer.ttl == 0


def not_from_dns() -> Sentence:
    """Why an answer that was made up says nothing, and what to do."""
    return Sentence(
        "The answer does not come from the DNS, but from this machine's own list of names. The one "
        "who runs it can set DNS_SERVERS to a name server that asks the DNS."
    )


def shown(values: Iterable[str]) -> Sentence | str:
    """Some names; an empty one is the root, to which a null MX leads (RFC 7505)."""
    found = list(dict.fromkeys(values))
    text = ", ".join(cut(value) or "." for value in found[:MAX_NAMED])
    return Sentence("%(names)s and others", names=text) if len(found) > MAX_NAMED else text


def cut(text: str) -> str:
    """Foreign text in a sentence of ours: printable and short."""
    clean = "".join(char if char.isprintable() else "?" for char in text)
    return clean if len(clean) <= MAX_SHOWN_LENGTH else clean[:MAX_SHOWN_LENGTH] + "…"
