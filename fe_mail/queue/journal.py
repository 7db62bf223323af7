"""
What the owner of a domain reads about deliveries: one entry for each outcome.

Entries carry the envelope and the answer, never a subject or a body. A message that a user of
ours sent is in the log of the sender's domain, one that reached an alias, or was forwarded by it,
in that alias's. They become durable together with the outcome.
"""

from twisted.logger import Logger

from fe_mail.model.account import LogEntry
from fe_mail.model.ids import AliasId, DomainId, new_id
from fe_mail.model.queue import Claim, Outcome, QueuedDelivery

__all__ = ["entries_of", "tell"]

log = Logger()


def tell(claim: Claim, delivery: QueuedDelivery, outcome: Outcome) -> None:
    """One line in the server's log."""
    message = claim.message
    log.info(
        "{kind} {message_id} from <{from_}> to {recipient}: {status}",
        kind=outcome.kind.value,
        message_id=message.id,
        session_id=message.peer.session_id,
        from_=message.reverse_path,
        recipient=delivery.recipient,
        status=outcome.record,
        remote=outcome.remote,
        tls=outcome.tls,
        source=message.source,
        size_octets=message.size_octets,
    )


def entries_of(
    claim: Claim, delivery: QueuedDelivery, outcome: Outcome, now: float
) -> tuple[LogEntry, ...]:
    """One entry for each domain that the delivery concerns."""
    message, target = claim.message, delivery.target
    concerned = {(message.domain_id, message.alias_id), (target.domain_id, target.alias_id)}
    detail = {
        "message_id": message.id,
        "from": message.reverse_path,
        "recipient": delivery.recipient,
        "status": outcome.record,
        "tls": outcome.tls,
        "source": message.source,
        **({"note": outcome.note} if outcome.note else {}),
    }
    return tuple(
        LogEntry(
            id=new_id(now),
            created_at=now,
            kind=outcome.kind.value,
            domain_id=DomainId(domain_id),
            alias_id=AliasId(alias_id),
            remote=outcome.remote,
            detail=detail,
        )
        for domain_id, alias_id in sorted(concerned)
        if domain_id
    )
