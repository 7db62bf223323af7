"""
The courier to programs: a message as JSON, posted to the URL of an alias.

Invariants: every 2xx is success; the body is signed with the key of the alias's domain, so that
the receiver knows who speaks; neither the URL nor anything that the web service says is told to
the sender of the message, who knows the alias only. What the service said is kept for the
domain's own log.

A message is at most once in memory as octets and once as JSON; of those above ``SMALL_OCTETS``
only ``BIG_AT_ONCE`` are under way. A service that got a message and could not say so in time
gets it again: receivers know it by ``messageId``. ``docs/webhooks.rst`` has the format.

RFC 2104 (HMAC); RFC 8259; RFC 9110 §15; RFC 3463 (status codes).
"""

import hmac
import random as random_module
import urllib.parse
from collections.abc import Awaitable, Callable, Sequence

from twisted.internet.defer import DeferredSemaphore
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from fe_mail.accounts.webhook_keys import WebhookKeys
from fe_mail.delivery.courier import LATER, outcome_of
from fe_mail.message.dates import format_iso_date
from fe_mail.message.json_pieces import JSONValue, Raw, json_pieces
from fe_mail.message.parsed import parsed_message
from fe_mail.model.account import Alias, LogEntry
from fe_mail.model.errors import Invalid, MailError, NotFound, PermissionDenied, Unavailable
from fe_mail.model.ids import AliasId, new_id
from fe_mail.model.queue import Claim, Outcome
from fe_mail.model.web import Posting, WebAnswer
from fe_mail.ports import AliasStore, HTTPPost, Journal, Offload, Queue
from fe_mail.waiting import pause

__all__ = ["SIGNATURE_FIELD", "TIMEOUT_SECONDS", "TRIES", "WebhookCourier", "signature_of"]

log = Logger()

SIGNATURE_FIELD = "X-Webhook-Signature"
TIMEOUT_SECONDS = 30.0  # of one try
TRIES = 2  # within one attempt of the queue
RETRY_SECONDS = 2.0  # before the second one, and up to twice as long
SMALL_OCTETS = 256 * 1024
BIG_AT_ONCE = 2
MAX_LOGGED_CHARACTERS = 1024

# What we do not evaluate yet is False, not a result.
_NOT_EVALUATED = ("dkim", "spf", "arc", "dmarc", "bimi")

_GONE = Outcome.failed(550, "5.1.1", "No such address here.")
_NO_ANSWER = Outcome.deferred(451, "4.4.1", "The web service behind the address does not answer.")
_NO_HOST = Outcome.failed(550, "5.4.4", "The web service behind the address does not exist.")
_NOT_PUBLIC = Outcome.failed(550, "5.4.4", "The web service behind the address is not public.")
_TOO_BIG = Outcome.deferred(451, "4.3.4", "The message is too big for the web service now.")


class WebhookCourier:
    """
    Posts to the target's URL. ``run`` builds bodies away from the reactor's thread; ``hostname``
    is ours, ``version`` that of the software.
    """

    def __init__(
        self,
        accounts: AliasStore,
        queue: Queue,
        post: HTTPPost,
        keys: WebhookKeys,
        clock: IReactorTime,
        run: Offload,
        journal: Journal,
        *,
        hostname: str,
        version: str = "",
        random: Callable[[], float] = random_module.random,
    ) -> None:
        self._accounts = accounts
        self._queue = queue
        self._post = post
        self._keys = keys
        self._clock = clock
        self._run = run
        self._journal = journal
        self._hostname = hostname
        self._agent = f"fe-mail/{version}" if version else "fe-mail"
        self._random = random
        self._big = DeferredSemaphore(BIG_AT_ONCE)

    async def deliver(self, claim: Claim) -> tuple[Outcome, ...]:
        """Post it, twice if need be. An alias that is gone is proven permanent."""
        return (await self._found(claim),)

    async def _found(self, claim: Claim) -> Outcome:
        try:
            alias = await self._accounts.alias(AliasId(claim.delivery.target.alias_id))
            key = await self._keys.key(alias.domain_id)
        except NotFound:
            return _GONE
        except MailError as error:
            return outcome_of(error)
        if claim.message.size_octets <= SMALL_OCTETS:
            return await self._deliver(claim, alias, key)
        await self._big.acquire()
        try:
            return await self._deliver(claim, alias, key)
        finally:
            self._big.release()

    async def _deliver(self, claim: Claim, alias: Alias, key: str) -> Outcome:
        try:
            posting = await self._posting(claim, key)
        except NotFound:
            # The row outlived its spool: only a damaged store does that; an operator can restore.
            return Outcome.deferred(451, "4.3.0", "The stored message cannot be read now.")
        except MailError as error:
            return outcome_of(error)
        outcome = _NO_ANSWER
        for number in range(TRIES):
            if number:
                await pause(self._clock, RETRY_SECONDS * (1.0 + self._random()))
            outcome, may_help = await self._try(claim, alias, posting)
            if not may_help:
                break
        return outcome

    async def _posting(self, claim: Claim, key: str) -> Posting:
        raw = claim.delivery.handling.header + await self._queue.read_body(claim.message)
        url = claim.delivery.target.address

        def build() -> Posting:
            body = tuple(json_pieces(payload_of(claim, raw, self._hostname)))
            headers = {
                "Content-Type": "application/json",
                "User-Agent": self._agent,
                SIGNATURE_FIELD: signature_of(body, key),
            }
            return Posting(url=url, headers=headers, body=body)

        building: Awaitable[Posting] = self._run(build)
        return await building

    async def _try(self, claim: Claim, alias: Alias, posting: Posting) -> tuple[Outcome, bool]:
        """What came of one request, and whether another one at once might do better."""
        try:
            answer = await self._post.post(posting, TIMEOUT_SECONDS)
        except (Invalid, NotFound, PermissionDenied) as error:
            await self._record(claim, alias, error.message, b"")
            is_private = isinstance(error, PermissionDenied)
            return (_NOT_PUBLIC if is_private else _NO_HOST), False
        except Unavailable as error:
            await self._record(claim, alias, error.message, b"")
            return _NO_ANSWER, True
        except MailError:
            log.failure("posting {message_id} failed", message_id=claim.message.id)
            return LATER, False
        if not answer.is_success:
            await self._record(claim, alias, f"HTTP {answer.status}", answer.body)
        return _outcome(answer)

    async def _record(self, claim: Claim, alias: Alias, status: str, said: bytes) -> None:
        """For the people who run the web service: what it said, with everything odd escaped."""
        text = said.decode("utf-8", "backslashreplace").encode("unicode_escape").decode("ascii")
        detail = {
            "message_id": claim.message.id,
            "recipient": claim.delivery.recipient,
            "status": status,
            "answer": text[:MAX_LOGGED_CHARACTERS],
        }
        log.info("webhook for {message_id}: {status} {answer}", **detail)
        now = self._clock.seconds()
        entry = LogEntry(
            id=new_id(now),
            created_at=now,
            kind="webhook",
            domain_id=alias.domain_id,
            alias_id=alias.id,
            detail=detail,
        )
        try:
            await self._journal.log(entry)
        except MailError as error:
            log.warn("an answer could not be recorded: {reason}", reason=error.message)


def _outcome(answer: WebAnswer) -> tuple[Outcome, bool]:
    """
    Every 2xx is taken (RFC 9110 §15.3): which one depends on the service's framework. 408, 413, 429
    and every 5xx are temporary; all else, redirects too, is final.

    A second try follows what may pass in seconds: not a service that says that it has enough.
    """
    if answer.is_success:
        return Outcome.delivered("Taken by the web service"), False
    if answer.status == 413:
        return _TOO_BIG, False
    text = f"The web service behind the address answered {answer.status}."
    if answer.status in (408, 429) or answer.status >= 500:
        return Outcome.deferred(451, "4.3.0", text), answer.status != 429
    return Outcome.failed(550, "5.3.0", text), False


def signature_of(body: Sequence[bytes], key: str) -> str:
    """HMAC-SHA256 of the body with the digits of the key as they stand, in hex."""
    code = hmac.new(key.encode("ascii"), digestmod="sha256")
    for piece in body:
        code.update(piece)
    return code.hexdigest()


def payload_of(claim: Claim, raw: bytes, hostname: str) -> dict[str, JSONValue]:
    """The document: the message, then how it came. The URL may wish less of it."""
    wishes = urllib.parse.parse_qs(urllib.parse.urlsplit(claim.delivery.target.address).query)
    payload = parsed_message(raw, with_attachments=_is_wished(wishes, "attachments"))
    if _is_wished(wishes, "raw"):
        payload["raw"] = Raw(raw)
    payload.update(dict.fromkeys(_NOT_EVALUATED, False))
    payload["recipients"] = [claim.delivery.recipient]
    payload["session"] = _session(claim, hostname)
    return payload


def _is_wished(wishes: dict[str, list[str]], name: str) -> bool:
    return wishes.get(name, [""])[-1].lower() != "false"


def _session(claim: Claim, hostname: str) -> dict[str, JSONValue]:
    message, peer = claim.message, claim.message.peer
    return {
        "recipient": claim.delivery.recipient,
        "remoteAddress": peer.ip,
        "remotePort": peer.port,
        "clientHostname": peer.host,
        "hostNameAppearsAs": peer.helo,
        "sender": message.reverse_path,
        "mta": hostname,
        "arrivalDate": format_iso_date(message.created_at),
        "arrivalTime": int(message.created_at * 1000),
    }
