"""
Lanes: which deliveries stand in one line, and whose they are.

A *kind* of courier has its places, so that slow web services never take those of mail hosts. A
*lane* is one destination: a mailbox, a domain, a web host. An *owner* is whoever caused a delivery
that leaves this server: a submitting alias, the hosted domain that strangers' mail is forwarded
for, or we ourselves with reports. Own mailboxes have no owners: they are as quick as our disk.

All three are stored with a delivery, so that what has no room need not be looked at to know it.
"""

from fe_mail.model.queue import QueuedDelivery, QueuedMessage, Target

__all__ = ["KINDS", "LOCAL", "SMTP", "WEBHOOK", "kind_of", "lane_of", "owner_of", "source_of"]

LOCAL = "local"
WEBHOOK = "webhook"
SMTP = "smtp"
KINDS = (LOCAL, WEBHOOK, SMTP)


def kind_of(target: Target) -> str:
    """Couriers that have no places of their own speak SMTP."""
    return target.courier if target.courier in (LOCAL, WEBHOOK) else SMTP


def lane_of(target: Target) -> str:
    """Deliveries of one lane share a destination."""
    if target.courier == LOCAL:
        return f"{LOCAL}:{target.alias_id}"
    if target.courier == WEBHOOK:
        return f"{WEBHOOK}:{target.address.partition('://')[2].partition('/')[0].lower()}"
    return f"{SMTP}:{target.address.rpartition('@')[2].lower()}"


def owner_of(message: QueuedMessage, delivery: QueuedDelivery) -> str:
    """``source:who``; empty for mail into our own mailboxes."""
    if delivery.target.courier == LOCAL:
        return ""
    if message.source == "submission":
        return f"submission:{message.alias_id}"
    if message.source == "mx":
        return f"mx:{delivery.recipient.rpartition('@')[2].lower()}"
    return f"{message.source}:"


def source_of(owner: str) -> str:
    """The source of an owner."""
    return owner.partition(":")[0]
