"""
What the owner of a domain reads about deliveries: one entry for each outcome.

Entries carry the envelope and the answer, never a subject or a body. A message that a user of
ours sent is in the log of the sender's domain, one that reached an alias in that alias's. The
journal never stops mail: an entry that cannot be written is only a line in the server's log.
"""

from collections.abc import Mapping

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from fe_mail.model.account import LogEntry
from fe_mail.model.errors import MailError, NotFound
from fe_mail.model.ids import AliasId, new_id
from fe_mail.model.queue import Claim, Outcome
from fe_mail.ports import AccountStore

__all__ = ["MAX_KNOWN_ALIASES", "Journal"]

log = Logger()

MAX_KNOWN_ALIASES = 10_000


class Journal:
    """Writes outcomes into the account store's log."""

    def __init__(self, accounts: AccountStore, clock: IReactorTime) -> None:
        self._accounts = accounts
        self._clock = clock
        self._domain_of: dict[str, str] = {}

    async def record(self, claim: Claim, outcome: Outcome) -> None:
        """One entry for each domain that the delivery concerns."""
        detail = _detail(claim, outcome)
        log.info(
            "{kind} {message_id} to {recipient}: {status}",
            kind=outcome.kind.value,
            session_id=claim.message.peer.session_id,
            remote=outcome.remote,
            **detail,
        )
        try:
            for domain_id, alias_id in await self._concerned(claim):
                await self._accounts.log(self._entry(domain_id, alias_id, outcome, detail))
        except MailError as error:
            log.warn("an outcome could not be recorded: {reason}", reason=error.message)

    async def _concerned(self, claim: Claim) -> set[tuple[str, str]]:
        message, target = claim.message, claim.delivery.target
        concerned = set()
        if message.domain_id:
            concerned.add((message.domain_id, message.alias_id))
        if target.alias_id:
            domain_id = await self._domain(target.alias_id)
            if domain_id:
                concerned.add((domain_id, target.alias_id))
        if not concerned and message.source == "mx":  # a forward: its domain is the recipient's
            domain_id = await self._domain_named(claim.delivery.recipient.rpartition("@")[2])
            concerned.update({(domain_id, "")} if domain_id else ())
        return concerned

    async def _domain_named(self, name: str) -> str:
        """The claim on a name that counts, empty if we host no such domain."""
        claims = await self._accounts.domains_named(name)
        verified = next((domain for domain in claims if domain.has_txt_record), None)
        chosen = verified or next(iter(claims), None)
        return chosen.id if chosen is not None else ""

    async def _domain(self, alias_id: str) -> str:
        """The domain of an alias, empty if it is gone. An alias never changes its domain."""
        known = self._domain_of.get(alias_id)
        if known is not None:
            return known
        try:
            alias = await self._accounts.alias(AliasId(alias_id))
        except NotFound:
            return ""
        if len(self._domain_of) >= MAX_KNOWN_ALIASES:
            self._domain_of.clear()
        self._domain_of[alias_id] = alias.domain_id
        return alias.domain_id

    def _entry(
        self, domain_id: str, alias_id: str, outcome: Outcome, detail: Mapping[str, str]
    ) -> LogEntry:
        now = self._clock.seconds()
        return LogEntry(
            id=new_id(now),
            created_at=now,
            kind=outcome.kind.value,
            domain_id=domain_id,
            alias_id=alias_id,
            remote=outcome.remote,
            detail=detail,
        )


def _detail(claim: Claim, outcome: Outcome) -> dict[str, str]:
    return {
        "message_id": claim.message.id,
        "from": claim.message.reverse_path,
        "recipient": claim.delivery.recipient,
        "status": outcome.line,
        "tls": outcome.tls,
        "source": claim.message.source,
        **({"note": outcome.note} if outcome.note else {}),
    }
