"""
The courier into a mailbox of ours.

The delivery's id is the same for every attempt, and the store keeps one message per id: so a
process that is killed between delivering and settling delivers once. A sender that never heard
our 250 sends the same octets again, and gets the same id (see ``delivery_id``).
On top of the message go Return-Path (RFC 5321 §4.4), Delivered-To (the alias), X-Original-To
(the address that the sender wrote, when it is another one) and the fields that rules tagged it
with; rules also choose its folder and keywords. A Return-Path that came with the message is
dropped, since only the last host may say it.
"""

import hashlib
import re

from fe_mail.delivery.courier import outcome_of
from fe_mail.message.headers import header_bounds
from fe_mail.model.account import Alias
from fe_mail.model.errors import Conflict, MailError, NotFound
from fe_mail.model.ids import AliasId
from fe_mail.model.mailbox import Delivery, NewMessage
from fe_mail.model.queue import Claim, Outcome
from fe_mail.ports import AliasStore, MailboxStore, Offload, Queue

__all__ = ["LocalCourier", "delivered_message", "delivery_id"]

INBOX = "INBOX"
ATTEMPTS = 3  # to find the mailbox while it is replaced
OFFLOAD_OCTETS = 1024 * 1024  # copying and hashing more than this is for a thread
_RETURN_PATH = re.compile(
    rb"^return-path[ \t]*:[^\n]*(?:\n[ \t][^\n]*)*(?:\n|\Z)", re.IGNORECASE | re.MULTILINE
)
# The first field, folded lines included: the one that our own MX put on top.
_OUR_TRACE = re.compile(rb"Received:[^\r]*\r\n(?:[ \t][^\r]*\r\n)*")


class LocalCourier:
    """Delivers into the mailbox of the target's alias. Big messages are prepared by ``run``."""

    def __init__(
        self, accounts: AliasStore, mailboxes: MailboxStore, queue: Queue, run: Offload
    ) -> None:
        self._accounts = accounts
        self._mailboxes = mailboxes
        self._queue = queue
        self._run = run

    async def deliver(self, claim: Claim) -> tuple[Outcome, ...]:
        """
        Into its folder. An alias that is gone or lost its mailbox is proven permanent.

        Between reading the alias and delivering its mailbox may be replaced, here or in another
        process. The store then refuses the old key, and the alias is read again.
        """
        return (await self._deliver(claim),)

    async def _deliver(self, claim: Claim) -> Outcome:
        for _ in range(ATTEMPTS):
            try:
                alias = await self._accounts.alias(AliasId(claim.delivery.target.alias_id))
            except NotFound:
                return Outcome.failed(550, "5.1.1", "No such address here.")
            except MailError as error:
                return outcome_of(error)
            outcome = _refusal(alias) or await self._deliver_to(alias, claim)
            if outcome is not None:
                return outcome
        return Outcome.deferred(450, "4.2.1", "The mailbox is being replaced.")

    async def _deliver_to(self, alias: Alias, claim: Claim) -> Outcome | None:
        """None: this is not the alias's mailbox any more."""
        try:
            raw = await self._queue.read_body(claim.message)
        except NotFound:
            # The row outlived its spool: only a damaged store does that; an operator can restore.
            return Outcome.deferred(451, "4.3.0", "The stored message cannot be read now.")
        except MailError as error:
            return outcome_of(error)
        return await self._store(claim, alias, raw)

    async def _store(self, claim: Claim, alias: Alias, raw: bytes) -> Outcome | None:
        handling = claim.delivery.handling

        def prepare() -> Delivery:
            return Delivery(
                id=delivery_id(claim, raw),
                message=NewMessage(
                    raw=delivered_message(claim, alias.address, raw),
                    flags=frozenset(handling.keywords),
                    received_at=claim.message.created_at,
                ),
                folder=handling.folder or INBOX,
            )

        try:
            delivery = await self._run(prepare) if len(raw) > OFFLOAD_OCTETS else prepare()
            await self._mailboxes.deliver(alias.id, alias.sealing_key, delivery)
        except (Conflict, NotFound):
            return None
        except MailError as error:
            return outcome_of(error)
        return Outcome.delivered("Delivered to the mailbox")


def delivery_id(claim: Claim, raw: bytes) -> str:
    """
    What makes two deliveries one: of mail from outside, everything but our own Received field.

    RFC 5321 §4.1.1.4 leaves a sender that lost our answer no choice but to send again; the octets
    are then the same, with the Message-ID and Date of the first time. A message without
    Message-ID is never taken for another one: scripts send equal messages on purpose.
    """
    message = claim.message
    if message.source != "mx" or not message.message_id:
        return f"{message.id}:{claim.delivery.number}"
    digest = hashlib.sha256(f"{message.reverse_path}\n{claim.delivery.recipient}\n".encode())
    trace = _OUR_TRACE.match(raw)
    digest.update(memoryview(raw)[trace.end() if trace else 0 :])
    return digest.hexdigest()


def _refusal(alias: Alias) -> Outcome | None:
    if not alias.has_imap:
        return Outcome.failed(550, "5.1.1", "This address has no mailbox.")
    if not alias.sealing_key:
        return Outcome.deferred(450, "4.2.1", "The mailbox is not set up yet: it has no password.")
    return None


def delivered_message(claim: Claim, delivered_to: str, raw: bytes) -> bytes:
    """The message with its delivery fields on top."""
    original = claim.delivery.recipient
    lines = [f"Return-Path: <{claim.message.reverse_path}>", f"Delivered-To: {delivered_to}"]
    if original.lower() != delivered_to.lower():
        lines.append(f"X-Original-To: {original}")
    fields = "".join(f"{line}\r\n" for line in lines).encode("utf-8")
    return fields + claim.delivery.handling.header + _without_return_path(raw)


def _without_return_path(raw: bytes) -> bytes:
    """Drop such fields from the header, everything else byte for byte."""
    body_start, _ = header_bounds(raw)
    header = raw[:body_start]
    if not _RETURN_PATH.search(header):
        return raw
    return _RETURN_PATH.sub(b"", header) + raw[body_start:]
