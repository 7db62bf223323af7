"""
The set-up page of a domain as values: what to publish, how each record stands, and what follows.

Nothing is green but what was found right by a check: the one just made, or the last one that
counted, as the domain remembers it.
"""

from collections.abc import Iterable, Mapping

import attrs

from fe_mail.accounts.dns_findings import RecordCheck, Verdict
from fe_mail.accounts.dns_records import DNSRecord, full_name
from fe_mail.accounts.domains import Verification
from fe_mail.model.account import Domain
from fe_mail.web.i18n import N_

__all__ = ["Board", "Card"]

_TITLES: Mapping[str, str] = {
    "mx": N_("Incoming mail"),
    "verification": N_("Ownership"),
    "spf": N_("Permitted senders (SPF)"),
    "dkim": N_("Signature (DKIM)"),
    "return_path": N_("Returned mail"),
    "dmarc": N_("Protection against forgery (DMARC)"),
    "reach": N_("Port 25"),
    "helo": N_("The server as a sender (SPF)"),
    "ptr": N_("Name of the address (PTR)"),
}
_EXPLANATIONS: Mapping[str, str] = {
    "mx": N_("Tells the world to bring the mail of this domain here."),
    "verification": N_("Proves that the domain is yours."),
    "spf": N_("Says which servers may send for this domain: those of the MX records."),
    "dkim": N_("Lets others verify the signature under what you send."),
    "return_path": N_("Nothing uses it yet; you may leave it out."),
    "dmarc": N_(
        "Tells others what to do with mail that only pretends to come from you. Begin with reports "
        "(p=none). When they show that your own mail passes, change it to p=quarantine, later to "
        "p=reject."
    ),
    "reach": N_("A connection to where mail comes in, tried from this server."),
    "helo": N_("Reports about mail that could not be delivered are sent in the server's own name."),
    "ptr": N_("Whoever gave you the address sets it: a hosting company, an Internet provider."),
}
_WORST_FIRST = tuple(
    verdict.value
    for verdict in (
        Verdict.WRONG,
        Verdict.MISSING,
        Verdict.UNKNOWN,
        Verdict.SILENT,
        Verdict.DOUBTFUL,
        Verdict.RIGHT,
    )
)
_UNDECIDED = (Verdict.UNKNOWN.value, Verdict.SILENT.value)
_UNUSED = "return_path"
_SENDING = ("spf", "dkim", "dmarc", "return_path")


@attrs.frozen(kw_only=True)
class Card:
    """
    The records of one purpose (and, for the server's hosts, of one name), and how they stand.

    ``state`` is the value of a verdict; unchecked it is ``right`` if the last check found it so,
    else ``required``, ``recommended``, ``optional``, or nothing for what nobody remembers.
    """

    records: tuple[DNSRecord, ...]
    name: str  # the whole one
    state: str
    result: RecordCheck | None = None

    @property
    def record(self) -> DNSRecord:
        """The first."""
        return self.records[0]

    @property
    def title(self) -> str:
        """What the record is for, in a few words; empty for a host."""
        return _TITLES.get(self.record.purpose, "")

    @property
    def explanation(self) -> str:
        """And in one sentence."""
        return _EXPLANATIONS.get(self.record.purpose, "")

    @property
    def counts(self) -> bool:
        """Mail needs it, or is refused for it."""
        return self.record.required if self.result is None else self.result.counts

    @property
    def is_settled(self) -> bool:
        """Nothing is to be done."""
        return self.state in (Verdict.RIGHT.value, Verdict.DOUBTFUL.value)


@attrs.frozen(kw_only=True)
class Board:
    """``outcome``: of all cards together, see ``_outcome``."""

    receiving: tuple[Card, ...]
    sending: tuple[Card, ...]
    hosts: tuple[Card, ...]  # names of the server
    server: tuple[Card, ...]  # what else it needs
    is_checked: bool
    outcome: str

    @classmethod
    def of(
        cls,
        domain: Domain,
        records: Iterable[DNSRecord],
        server_records: Iterable[DNSRecord],
        verification: Verification | None,
    ) -> "Board":
        """What the page shows."""
        results = verification.results if verification else ()
        of_server = verification.server if verification else ()
        cards = _cards(domain, records, results, _flags(domain))
        server = _cards(domain, server_records, of_server, {})
        counted = (*cards, *server) if verification else cards
        return cls(
            receiving=tuple(card for card in cards if card.record.purpose not in _SENDING),
            sending=tuple(card for card in cards if card.record.purpose in _SENDING),
            hosts=tuple(card for card in server if _is_host(card)),
            server=tuple(card for card in server if not _is_host(card)),
            is_checked=verification is not None,
            outcome=_outcome(counted),
        )

    @property
    def is_server_in_order(self) -> bool:
        """Nobody has to do anything about the server, nor to publish what lies in this zone."""
        if self.is_checked:
            return all(card.is_settled for card in (*self.hosts, *self.server))
        is_elsewhere = all(card.record.name.endswith(".") for card in self.hosts)
        return is_elsewhere or self.outcome in ("ready", "almost")

    @property
    def hosts_state(self) -> str:
        """That of the worst of them; empty if none was checked."""
        states = {card.state for card in self.hosts}
        return next((state for state in _WORST_FIRST if state in states), "")


def _is_host(card: Card) -> bool:
    return card.record.purpose == "host"


def _cards(
    domain: Domain,
    records: Iterable[DNSRecord],
    results: Iterable[RecordCheck],
    flags: Mapping[str, bool],
) -> tuple[Card, ...]:
    groups: dict[tuple[str, str], list[DNSRecord]] = {}
    for record in records:
        groups.setdefault(_key(record, domain), []).append(record)
    found = {_key(result.record, domain): result for result in results}
    return tuple(
        Card(
            records=tuple(group),
            name=key[1],
            state=_state(group[0], found.get(key), flags),
            result=found.get(key),
        )
        for key, group in groups.items()
    )


def _key(record: DNSRecord, domain: Domain) -> tuple[str, str]:
    return record.purpose, full_name(record, domain)


def _state(record: DNSRecord, result: RecordCheck | None, flags: Mapping[str, bool]) -> str:
    if result is not None and not (record.purpose == _UNUSED and not result.passed):
        return result.verdict.value
    if record.purpose not in flags:
        return ""
    unchecked = "required" if record.required else "recommended"
    if record.purpose == _UNUSED:
        unchecked = "optional"
    return Verdict.RIGHT.value if flags[record.purpose] else unchecked


def _outcome(cards: Iterable[Card]) -> str:
    """
    ``wanting``: mail needs something that is not there. ``unknown``: that cannot be told, and
    nothing is wrong; ``partly``: something recommended is. ``almost``: only that is. ``ready``.
    """
    counted = (card for card in cards if card.record.purpose != _UNUSED)
    wanting = [card for card in counted if not card.is_settled]
    faults = [card for card in wanting if card.state not in _UNDECIDED]
    if any(card.counts for card in faults):
        return "wanting"
    if any(card.counts for card in wanting):
        return "partly" if faults else "unknown"
    return "almost" if wanting else "ready"


def _flags(domain: Domain) -> dict[str, bool]:
    """What the last check that counted has found, by the purpose of a record."""
    return {
        "mx": domain.has_mx_record,
        "verification": domain.has_txt_record,
        "spf": domain.has_spf_record,
        "dkim": domain.has_dkim_record,
        "return_path": domain.has_return_path_record,
        "dmarc": domain.has_dmarc_record,
    }
