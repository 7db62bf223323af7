"""Domains: the list, a new one, and the set-up page with its DNS records and live check."""

from collections import Counter
from collections.abc import Mapping, Sequence

import attrs

from fe_mail.accounts.dns_checks import RecordCheck
from fe_mail.accounts.dns_records import DNSRecord
from fe_mail.accounts.domains import is_admin
from fe_mail.model.account import Domain
from fe_mail.model.errors import AlreadyExists, Invalid, MailError
from fe_mail.model.sentence import Paragraph
from fe_mail.web.i18n import N_
from fe_mail.web.lists import Listing, listing_query
from fe_mail.web.results import Page, Redirect, Result
from fe_mail.web.visit import Visit, account_path

__all__ = ["add", "ask_new", "home", "index", "remove", "set_up", "verify"]

_TITLES: Mapping[str, str] = {
    "mx": N_("Incoming mail"),
    "verification": N_("Ownership"),
    "spf": N_("Permitted senders (SPF)"),
    "dkim": N_("Signature (DKIM)"),
    "return_path": N_("Returned mail"),
    "dmarc": N_("Protection against forgery (DMARC)"),
}
_EXPLANATIONS: Mapping[str, str] = {
    "mx": N_("Tells the world to bring the mail of this domain here."),
    "verification": N_("Proves that the domain is yours."),
    "spf": N_("Says which servers may send for this domain: those of the MX records."),
    "dkim": N_("Lets others verify the signature under what you send."),
    "return_path": N_("Brings reports about mail that could not be delivered back to us."),
    "dmarc": N_("Tells others to refuse mail that only pretends to come from you."),
}


@attrs.frozen
class Card:
    """
    One record on the set-up page, and how it stands.

    ``number`` counts the records of one purpose. ``state`` is ``correct``, ``wrong``,
    ``undecided``, or, unchecked, ``required`` or ``recommended``.
    """

    record: DNSRecord
    number: int
    state: str
    result: RecordCheck | None

    @property
    def title(self) -> str:
        """What the record is for, in a few words."""
        return _TITLES.get(self.record.purpose, self.record.type)

    @property
    def explanation(self) -> str:
        """And in one sentence."""
        return _EXPLANATIONS.get(self.record.purpose, "")


async def home(visit: Visit) -> Result:
    """The account begins with the domains."""
    return Redirect("/my-account/domains")


async def index(visit: Visit) -> Result:
    """The visitor's domains; who has none gets the form for the first."""
    query = listing_query(visit, ("name", "created_at"))
    found = await visit.services.domains.list(visit.owner, query)
    if not found.total and not query.q:
        return Redirect("/my-account/domains/new")
    return Page("domains/index.html", {"listing": Listing(found, query)}, part="domains/table.html")


async def ask_new(visit: Visit) -> Result:
    """The form for a new domain."""
    return Page("domains/new.html")


async def add(visit: Visit) -> Result:
    """Add a domain with a catch-all to the visitor's own address."""
    name = visit.field("domain").lower()
    try:
        if name.startswith("www."):
            raise Invalid(N_("Leave out the “www.”: mail belongs to the domain itself."), "domain")
        domain = await visit.services.domains.create(visit.owner, name)
    except AlreadyExists:
        known = await visit.services.domains.get(visit.owner, name)
        return Redirect(account_path("domains", known.name, "aliases"), "domain-known", known.name)
    except MailError as error:
        return visit.refused("domains/new.html", error)
    mailbox = await visit.services.prospects.own_mailbox(domain, visit.owner.email)
    if mailbox is not None:
        path = account_path("domains", domain.name, "aliases", mailbox.name, "generate-password")
        return Redirect(path, "domain-added-mailbox", mailbox.address)
    return Redirect(account_path("domains", domain.name), "domain-added", domain.name)


async def set_up(visit: Visit, domain_id: str) -> Result:
    """The records to publish, and how they stand."""
    domain = await visit.services.domains.get(visit.owner, domain_id)
    return _set_up_page(visit, domain, ())


def _set_up_page(
    visit: Visit,
    domain: Domain,
    results: Sequence[RecordCheck],
    error: MailError | None = None,
) -> Page:
    cards = _cards(domain, visit.services.domains.records(domain), results)
    values = {
        "domain": domain,
        "is_admin": is_admin(visit.owner, domain),
        "cards": cards,
        "is_ready": all(card.state == "correct" for card in cards),
    }
    return Page("domains/show.html", values, error=error)


def _cards(
    domain: Domain, records: Sequence[DNSRecord], results: Sequence[RecordCheck]
) -> list[Card]:
    """Several MX records share one result; what it says stands under the first."""
    flags = _flags(domain)
    found = {result.purpose: result for result in results}
    numbers: Counter[str] = Counter()
    cards = []
    for record in records:
        numbers[record.purpose] += 1
        number, result = numbers[record.purpose], found.get(record.purpose)
        state = _state(record, result, flags.get(record.purpose, False))
        cards.append(Card(record, number, state, result if number == 1 else None))
    return cards


def _state(record: DNSRecord, result: RecordCheck | None, was_right: bool) -> str:
    if result is None:
        unchecked = "required" if record.required else "recommended"
        return "correct" if was_right else unchecked
    if result.is_undecided:
        return "undecided"
    return "correct" if result.passed else "wrong"


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


async def verify(visit: Visit, domain_id: str) -> Result:
    """Look the records up now and explain what is wrong."""
    domain = await visit.services.domains.get(visit.owner, domain_id)
    visit.services.domains.require_admin(visit.owner, domain)
    verification = await visit.services.domains.verify(visit.owner, domain)
    wrong = [result for result in verification.results if not result.passed]
    path = account_path("domains", domain.name)
    if not wrong:
        return Redirect(path, "domain-verified", is_reload=True)
    if not any(result.record.required for result in wrong):
        return _set_up_page(visit, verification.domain, verification.results)
    error = Invalid(N_("Not everything is in place yet. What is missing is explained below."))
    if verification.is_undecided:
        error = Invalid(N_("The DNS did not answer every question, so nothing was changed."))
    if visit.is_script:
        error = Invalid(Paragraph(tuple(result.sentence for result in wrong), ", "))
    return _set_up_page(visit, verification.domain, verification.results, error)


async def remove(visit: Visit, domain_id: str) -> Result:
    """Remove a domain; a person types its name first."""
    domain = await visit.services.domains.get(visit.owner, domain_id)
    visit.services.domains.require_admin(visit.owner, domain)
    if not visit.is_script and visit.field("confirm").lower() != domain.name.lower():
        error = Invalid(N_("Type the name of the domain to remove it."), "confirm")
        return _set_up_page(visit, domain, (), error)
    await visit.services.domains.delete(visit.owner, domain)
    return Redirect("/my-account/domains", "domain-removed", domain.name)
