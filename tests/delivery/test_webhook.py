"""Tests of fe_mail.delivery.webhook: what is sent, how it is signed, what an answer means."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from fe_mail.accounts.webhook_keys import WebhookKeys
from fe_mail.adapters.memory.http import MemoryHTTP
from fe_mail.adapters.sqlite.queue_bodies import SMALL_OCTETS as QUEUE_SMALL_OCTETS
from fe_mail.delivery.webhook import (
    BIG_AT_ONCE,
    RETRY_SECONDS,
    SIGNATURE_FIELD,
    SMALL_OCTETS,
    TIMEOUT_SECONDS,
    WebhookCourier,
    signature_of,
)
from fe_mail.model.envelope import Peer
from fe_mail.model.errors import Invalid, NotFound, PermissionDenied, Unavailable
from fe_mail.model.page import Query
from fe_mail.model.queue import Claim, Handling, Outcome, OutcomeKind, Target
from fe_mail.model.web import Posting, WebAnswer
from tests.fakes import InlineThreads
from tests.queue.base import MESSAGE, PostOfficeTestCase

URL = "https://hook.test/secret-path?x=1"
OK = WebAnswer(status=200)
DOCUMENT = Path(__file__).parents[2] / "docs" / "webhooks.rst"


def documented_check() -> Callable[[str, bytes, str], bool]:
    """The function that the documentation gives to receivers."""
    text = DOCUMENT.read_text("utf-8")
    block = text.partition(".. code-block:: python\n\n")[2]
    lines = []
    for line in block.splitlines():
        if line and not line.startswith("   "):
            break
        lines.append(line[3:])
    names: dict[str, Any] = {}
    exec("\n".join(lines), names)  # our own documentation
    found: Callable[[str, bytes, str], bool] = names["is_genuine"]
    return found


class WebhookTestCase(PostOfficeTestCase):
    """An alias ``hook`` that leads to a URL, a web, a courier."""

    def setUp(self) -> None:
        """The web answers 200."""
        super().setUp()
        self.hook = self.add_alias(self.domain, "hook", URL)
        self.web = MemoryHTTP({URL: OK})
        self.keys = WebhookKeys(self.accounts, self.keyring, self.clock)
        self.courier = self.make(self.web)

    def make(self, web: Any) -> WebhookCourier:
        """A courier whose retries are not random."""
        return WebhookCourier(
            self.accounts,
            self.queue,
            web,
            self.keys,
            self.clock,
            InlineThreads().run,
            self.log_book,
            hostname="mx.example.net",
            version="1.2",
            random=lambda: 0.0,
        )

    def claim_for(
        self, raw: bytes = MESSAGE, url: str = URL, tags: tuple[str, ...] = (), **more: Any
    ) -> Claim:
        """A claim on a message."""
        values: dict[str, Any] = {
            "size_octets": len(raw),
            "reverse_path": "carol@elsewhere.test",
            "created_at": 1_700_000_000.25,
            "source": "mx",
            "peer": Peer(ip="192.0.2.7", port=4000, helo="client.test", host="c.test"),
            **more,
        }
        target = Target(courier="webhook", address=url, alias_id=self.hook.id)
        message = self.message(**values)
        handling = Handling(fields=tags)
        return self.claim_on(
            message, target, raw=raw, recipient="hook@example.org", handling=handling
        )

    def deliver(self, claim: Claim | None = None) -> Outcome:
        """Deliver, letting the time for a second try pass."""
        work = Deferred.fromCoroutine(self.courier.deliver(claim or self.claim_for()))
        self.clock.advance(RETRY_SECONDS)
        (outcome,) = self.successResultOf(work)
        return outcome

    def answer(self, *answers: Any) -> Outcome:
        """Deliver to a web that says these things in turn."""
        self.web.answers[URL] = list(answers)
        self.web.posted.clear()
        self.web.timeouts.clear()
        return self.deliver()

    def body(self) -> dict[str, Any]:
        """The only document that was posted."""
        (posting,) = self.web.posted
        document: dict[str, Any] = json.loads(b"".join(posting.body))
        return document


class RequestTests(WebhookTestCase):
    """What is sent."""

    def test_tags(self) -> None:
        """What rules tagged the message with stands above it."""
        self.deliver(self.claim_for(tags=("X-Spam: yes",)))
        self.assertEqual(self.body()["raw"], f"X-Spam: yes\r\n{MESSAGE.decode()}")

    def test_document(self) -> None:
        """The message, how it came, and False for what is not evaluated."""
        outcome = self.deliver()
        self.assertIs(outcome.kind, OutcomeKind.DELIVERED)
        document = self.body()
        self.assertEqual(document["subject"], "hello")
        self.assertEqual(document["raw"], MESSAGE.decode())
        self.assertEqual(document["recipients"], ["hook@example.org"])
        self.assertEqual(
            document["session"],
            {
                "recipient": "hook@example.org",
                "remoteAddress": "192.0.2.7",
                "remotePort": 4000,
                "clientHostname": "c.test",
                "hostNameAppearsAs": "client.test",
                "sender": "carol@elsewhere.test",
                "mta": "mx.example.net",
                "arrivalDate": "2023-11-14T22:13:20.250Z",
                "arrivalTime": 1_700_000_000_250,
            },
        )
        for name in ("dkim", "spf", "arc", "dmarc", "bimi"):
            self.assertIs(document[name], False)

    def test_signed(self) -> None:
        """A key of the domain's own, made with the first message, checks with documented code."""
        self.deliver()
        (posting,) = self.web.posted
        body = b"".join(posting.body)
        self.assertEqual(posting.headers["Content-Type"], "application/json")
        self.assertEqual(posting.headers["User-Agent"], "fe-mail/1.2")
        key = self.now(self.keys.key(self.domain.id))
        self.assertRegex(key, "^[0-9a-f]{64}$")
        is_genuine = documented_check()
        self.assertTrue(is_genuine(key, body, posting.headers[SIGNATURE_FIELD]))
        self.assertFalse(is_genuine(key, body + b" ", posting.headers[SIGNATURE_FIELD]))

    def test_signature(self) -> None:
        """HMAC-SHA256 as everybody computes it (RFC 4231 §4.3), however the body is cut."""
        expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        self.assertEqual(signature_of([b"what do ya ", b"want for nothing?"], "Jefe"), expected)

    def test_less(self) -> None:
        """The URL may wish no raw message and no attachments; any other value is a yes."""
        raw = (
            b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\ntext\r\n--b\r\n"
            b"Content-Type: image/png\r\n\r\nx\r\n--b--\r\n"
        )
        for query, expected in (
            ("", {"raw", "attachments"}),
            ("?raw=false", {"attachments"}),
            ("?attachments=false&raw=true", {"raw"}),
            ("?Raw=1&raw=FALSE&attachments=false", set()),
        ):
            url = f"https://hook.test/{query}"
            self.web.answers[url] = OK
            self.web.posted.clear()
            self.deliver(self.claim_for(raw, url))
            self.assertEqual({"raw", "attachments"} & set(self.body()), expected, query)

    def test_hostile(self) -> None:
        """Octets of any kind become a document."""
        self.deliver(self.claim_for(b"Subject: \xff\x00\r\nX\r\n\r\n\xfe\xff\r\n"))
        self.assertEqual(self.body()["subject"], "\u00ff")

    def test_big(self) -> None:
        """Only a few big messages are in memory at once; small ones pass them by."""
        waiting: list[Deferred[WebAnswer]] = []

        class Slow:
            """Answers when told."""

            async def post(self, posting: Posting, timeout_seconds: float) -> WebAnswer:
                """Wait."""
                waiting.append(Deferred())
                return await waiting[-1]

        self.courier = self.make(Slow())
        big = self.claim_for(size_octets=SMALL_OCTETS + 1)
        works = [Deferred.fromCoroutine(self.courier.deliver(big)) for _ in range(BIG_AT_ONCE + 1)]
        self.assertEqual(len(waiting), BIG_AT_ONCE)
        works.append(Deferred.fromCoroutine(self.courier.deliver(self.claim_for())))
        self.assertEqual(len(waiting), BIG_AT_ONCE + 1)
        while waiting:
            waiting.pop(0).callback(OK)
        for work in works:
            (outcome,) = self.successResultOf(work)
            self.assertIs(outcome.kind, OutcomeKind.DELIVERED)


class AnswerTests(WebhookTestCase):
    """What an answer means."""

    def status(self, *answers: Any) -> tuple[str, int, str, int]:
        """Kind, code, enhanced status, and how many requests it took."""
        outcome = self.answer(*answers)
        return outcome.kind.value, outcome.code, outcome.enhanced, len(self.web.timeouts)

    def test_second_try(self) -> None:
        """What may pass in seconds is tried once more, within the same attempt."""
        self.assertEqual(self.status(WebAnswer(status=503), OK)[0], "delivered")
        self.assertEqual(self.status(Unavailable(), OK)[0], "delivered")
        self.assertEqual(self.web.timeouts, [TIMEOUT_SECONDS] * 2)

    def test_temporary(self) -> None:
        """The queue tries again; a service that has enough is left alone meanwhile."""
        for status, tries in ((408, 2), (500, 2), (503, 2), (599, 2), (429, 1)):
            answer = self.status(WebAnswer(status=status))
            self.assertEqual(answer, ("deferred", 451, "4.3.0", tries), status)
        self.assertEqual(self.status(WebAnswer(status=413)), ("deferred", 451, "4.3.4", 1))
        self.assertEqual(self.status(Unavailable()), ("deferred", 451, "4.4.1", 2))

    def test_success(self) -> None:
        """Every 2xx (RFC 9110 §15.3): frameworks say 201, 202 or 204 by themselves."""
        for status in (200, 201, 202, 204, 206, 299):
            answer = self.status(WebAnswer(status=status))
            self.assertEqual(answer, ("delivered", 250, "2.0.0", 1), status)

    def test_final(self) -> None:
        """What will not change by itself is told to the sender."""
        for status in (199, 300, 301, 302, 400, 401, 404, 410, 499):
            answer = self.status(WebAnswer(status=status))
            self.assertEqual(answer, ("failed", 550, "5.3.0", 1), status)
        for error in (NotFound(), PermissionDenied(), Invalid()):
            self.assertEqual(self.status(error), ("failed", 550, "5.4.4", 1), error)

    def test_texts_hide_the_url(self) -> None:
        """The sender learns neither the URL nor what the service says, nor the host's name."""
        answers = [WebAnswer(status=status, body=b"secret-path") for status in (200, 404, 413, 500)]
        for answer in (*answers, Unavailable(), NotFound(), PermissionDenied(), Invalid()):
            outcome = self.answer(answer)
            self.assertNotIn("secret", outcome.text)
            self.assertNotIn("hook.test", outcome.text + outcome.remote)

    def test_log(self) -> None:
        """The domain's owner reads what the service said: little of it, and escaped."""
        self.answer(WebAnswer(status=400, body=b"no\r\n\x1b[31m \xff" + b"x" * 5000))
        logged = self.now(self.log_book.logs(self.domain.id, Query(), kind="webhook"))
        (entry,) = logged.items
        self.assertEqual(entry.alias_id, self.hook.id)
        self.assertEqual(entry.detail["status"], "HTTP 400")
        self.assertTrue(entry.detail["answer"].startswith(r"no\r\n\x1b[31m \\xffxx"), entry.detail)
        self.assertLessEqual(len(entry.detail["answer"]), 1024)

    def test_alias_gone(self) -> None:
        """Like any address that is gone."""
        claim = self.claim_for()
        self.now(self.accounts.delete_alias(self.hook.id))
        outcome = self.deliver(claim)
        self.assertEqual((outcome.code, outcome.enhanced), (550, "5.1.1"))
        self.assertEqual(self.web.posted, [])

    def test_body_gone(self) -> None:
        """A damaged store is our fault, and temporary."""
        claim = self.claim_for(MESSAGE + b"x" * QUEUE_SMALL_OCTETS)
        assert claim.message.blob is not None
        self.now(self.blobs.delete(claim.message.blob))
        self.assertEqual(self.deliver(claim).code, 451)


class ReceptionTests(WebhookTestCase):
    """From the router to the queue."""

    def test_once_for_each_recipient(self) -> None:
        """The program is told of every address that the message was for."""
        self.add_alias(self.domain, "other", URL)
        self.hand_in(self.envelope("hook@example.org", "hook+tag@example.org", "other@example.org"))
        (entry,) = self.entries()
        self.assertEqual(
            [(each.recipient, each.target.address) for each in entry.deliveries],
            [
                ("hook@example.org", URL),
                ("hook+tag@example.org", URL),
                ("other@example.org", URL),
            ],
        )
        first, *others = self.claims()
        self.assertEqual(len(others), 2, "each is a request of its own")
        self.assertIs(self.deliver(first).kind, OutcomeKind.DELIVERED)


class KeyTests(WebhookTestCase):
    """fe_mail.accounts.webhook_keys."""

    def test_stays(self) -> None:
        """The same key for ever, each domain another, encrypted in the store."""
        key = self.now(self.keys.key(self.domain.id))
        again = WebhookKeys(self.accounts, self.keyring, self.clock)
        self.assertEqual(self.now(again.key(self.domain.id)), key)
        other = self.add_domain("other.test")
        self.assertNotEqual(self.now(self.keys.key(other.id)), key)
        stored = self.now(self.accounts.domain(self.domain.id))
        self.assertNotIn(key.encode(), stored.webhook_key)
        self.assertNotIn("webhook_key", repr(stored))

    def test_replaced(self) -> None:
        """The old one is gone at once."""
        key = self.now(self.keys.key(self.domain.id))
        new = self.now(self.keys.replace(self.domain.id))
        self.assertNotEqual(new, key)
        self.assertEqual(self.now(self.keys.key(self.domain.id)), new)

    def test_first_at_once(self) -> None:
        """Two first messages at the same time are signed with the same key."""
        gates: list[Deferred[None]] = []
        accounts = self.accounts

        class Late:
            """A store that answers when told."""

            async def domain(self, domain_id: Any) -> Any:
                """Later."""
                found = await accounts.domain(domain_id)
                gates.append(Deferred())
                await gates[-1]
                return found

            async def update_domain(self, *arguments: Any, **changes: object) -> Any:
                """At once."""
                return await accounts.update_domain(*arguments, **changes)

        keys = WebhookKeys(Late(), self.keyring, self.clock)  # type: ignore[arg-type]
        works = [Deferred.fromCoroutine(keys.key(self.domain.id)) for _ in range(2)]
        while gates:
            gates.pop(0).callback(None)
        one, two = (self.successResultOf(work) for work in works)
        self.assertEqual(one, two)
        self.assertEqual(self.now(self.keys.key(self.domain.id)), one)


class DocumentationTests(SynchronousTestCase):
    """``docs/webhooks.rst``."""

    def test_six_lines(self) -> None:
        """The code is short enough to be copied, and right."""
        is_genuine = documented_check()
        signature = signature_of([b"body"], "key")
        self.assertTrue(is_genuine("key", b"body", signature))
        self.assertFalse(is_genuine("yek", b"body", signature))
