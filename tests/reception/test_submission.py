"""Tests of fe_mail.reception.submission: users send as themselves, completed and signed."""

import email
import re
from typing import Any

from twisted.internet.defer import Deferred

from fe_mail.adapters.memory.resolver import TableResolver
from fe_mail.adapters.threads import InlineThreads
from fe_mail.mailauth.dkim import Result, verify
from fe_mail.mailauth.signing import SigningKey, generate_key, sign
from fe_mail.message.headers import MAX_FIELDS
from fe_mail.model.account import Alias
from fe_mail.model.address import Address, parse_address
from fe_mail.model.envelope import Peer
from fe_mail.model.identity import Identity
from fe_mail.model.queue import DeliveryState, QueuedMessage
from fe_mail.model.status import Status
from fe_mail.policy.limits import MAX_RECIPIENTS
from fe_mail.policy.outbound import SubmissionFacts
from fe_mail.policy.rules import Accept, Action, Discard, Hold, Rule, Tag
from fe_mail.reception import signing, submission
from fe_mail.reception.submission import SubmissionReception
from tests.queue.base import KEY, PEER, PostOfficeTestCase

MAIL = (
    b"From: Alice <alice@example.org>\r\n"
    b"To: bob@elsewhere.test\r\n"
    b"Bcc: secret@elsewhere.test,\r\n\tother@elsewhere.test\r\n"
    b"Subject: hello\r\n"
    b"\r\n"
    b"Hello Bob\r\n"
)


class SubmissionTestCase(PostOfficeTestCase):
    """Alice is signed in; her domain has a key."""

    def setUp(self) -> None:
        """Give the domain a key."""
        super().setUp()
        self.pem = generate_key(0)
        self.update_domain(
            dkim_selector="fe-1", dkim_private_key=self.keyring.protect(self.pem, "dkim")
        )
        self.reception = self.make()
        self.identity = self.identity_of(self.alice)

    def make(self, **more: Any) -> SubmissionReception:
        """A reception."""
        options: dict[str, Any] = {"count": self.counted.append, **more}
        return SubmissionReception(
            self.router,
            self.accounts,
            self.intake,
            self.counters,
            signing.Signer(self.keyring, self.clock, InlineThreads().run),
            self.clock,
            hostname="mx.example.net",
            run=InlineThreads().run,
            **options,
        )

    def update_domain(self, **changes: object) -> None:
        """Change the domain in the store."""
        self.domain = self.now(
            self.accounts.update_domain(self.domain.id, self.clock.seconds(), **changes)
        )

    def identity_of(self, alias: Alias) -> Identity:
        """As after login."""
        return Identity(
            alias=self.now(self.accounts.alias(alias.id)),
            domain=self.domain,
            credential_id="c",
            mailbox_key=KEY,
        )

    def submit(
        self, message: bytes = MAIL, *to: str, sender: str = "alice@example.org", **more: Any
    ) -> Status:
        """Send to recipients."""
        envelope = self.envelope(*(to or ("bob@elsewhere.test",)), sender=sender, **more)
        return self.hand_in(envelope, message, self.reception, self.identity)


class RightsTests(SubmissionTestCase):
    """Who may send, as whom, how much."""

    def sender(
        self, address: str | None, identity: Identity | None = None
    ) -> tuple[int, str] | None:
        """The answer to MAIL FROM."""
        reverse_path = parse_address(address) if address else None
        who = identity or self.identity
        refusal = self.now(self.reception.sender(PEER, who, reverse_path))
        return (refusal.code, refusal.enhanced) if refusal else None

    def test_own_address(self) -> None:
        """The alias, with a tag, in any case; the null reverse-path for receipts."""
        for address in ("alice@example.org", "Alice+x@EXAMPLE.org", None):
            self.assertIsNone(self.sender(address), address)

    def test_foreign_address(self) -> None:
        """Another alias, another domain, a look-alike."""
        for address in ("fan@example.org", "alice@elsewhere.test", '"alice+x@"@example.org'):
            self.assertEqual(self.sender(address), (553, "5.7.1"), address)

    def test_nobody(self) -> None:
        """Without a login nothing at all."""
        refusal = self.now(self.reception.sender(PEER, None, None))
        assert refusal is not None
        self.assertEqual(refusal.code, 530)
        address = Address("x", "y.test")
        refusal = self.now(self.reception.recipient(PEER, None, None, address))
        assert refusal is not None
        self.assertEqual(refusal.code, 530)
        reply = self.hand_in(self.envelope("x@y.test"), MAIL, self.reception, None)
        self.assertEqual(reply.code, 530)

    def test_disabled_since_login(self) -> None:
        """The store decides, not the session."""
        self.change_alias(self.alice, is_enabled=False)
        self.assertEqual(self.sender("alice@example.org"), (535, "5.7.8"))
        self.assertEqual(self.submit().code, 535)
        self.now(self.accounts.delete_alias(self.alice.id))
        self.assertEqual(self.sender("alice@example.org"), (535, "5.7.8"))

    def test_domain_may_not_send(self) -> None:
        """Not approved: 550; a server admin's domain needs no approval."""
        self.update_domain(has_smtp=False)
        self.assertEqual(self.sender("alice@example.org"), (550, "5.7.1"))
        own = self.add_domain("admin.test", self.admin)
        alias = self.add_alias(own, "root", user_id=self.admin.id)
        identity = self.evolve(self.identity_of(alias), domain=own)
        self.assertIsNone(self.sender("root@admin.test", identity))

    def test_recipients(self) -> None:
        """Hosted addresses must exist; the outside is not known here."""
        for address, expected in (
            ("fan@example.org", None),
            ("nobody@example.org", 550),
            ("x@elsewhere.test", None),
        ):
            work = self.reception.recipient(PEER, self.identity, None, parse_address(address))
            refusal = self.now(work)
            self.assertEqual(refusal.code if refusal else None, expected)

    def test_from_field(self) -> None:
        """Exactly one From with exactly one address, which is the alias's own."""
        for field in (
            b"From: fan@example.org",
            b"From: alice@example.org, fan@example.org",
            b"From: alice@example.org\r\nFrom: fan@example.org",
            b"From: fan@example.org\r\nFrom: alice@example.org",
            b"From: group: alice@example.org;",
            b"From: nonsense",
            b"From:",
            b"X: y",
            b'From: "alice@example.org" <fan@example.org>',
        ):
            reply = self.submit(field + b"\r\n\r\nx\r\n")
            self.assertEqual(reply.code, 550, field)
        self.assertEqual(self.entries(), ())
        self.assertEqual(self.submit(b"From: A <ALICE+t@example.org>\r\n\r\nx\r\n").code, 250)

    def test_second_author_behind_a_flood(self) -> None:
        """No From field hides behind more fields than the rules look at."""
        flood = b"X: y\r\n" * MAX_FIELDS
        header = b"From: alice@example.org\r\n" + flood + b"From: fan@example.org\r\n"
        self.assertEqual(self.submit(header + b"\r\nx\r\n").code, 554)
        self.assertEqual(self.entries(), ())

    def test_daily_limit(self) -> None:
        """The allowance is of messages that were good, and comes back after a day."""
        self.reception = self.make(daily_messages=2)
        self.submit(b"From: x@y.test\r\n\r\n")
        self.assertEqual([self.submit().code for _ in range(3)], [250, 250, 550])
        self.assertIn("outbound.message.daily", self.counted)
        self.clock.advance(86_401)
        self.assertEqual(self.submit().code, 250)

    def test_daily_limit_of_a_user(self) -> None:
        """Who owns several domains has one allowance for all of them."""
        self.reception = self.make(daily_messages=2)
        other = self.add_domain("second.test", has_smtp=True)
        second = self.identity_of(self.add_alias(other, "a"))
        self.assertEqual([self.submit().code for _ in range(2)], [250, 250])
        self.identity = self.evolve(second, domain=other)
        mail = b"From: a@second.test\r\n\r\nx\r\n"
        self.assertEqual(self.submit(mail, sender="a@second.test").code, 550)

    def test_daily_limit_of_a_domain(self) -> None:
        """The users of one domain share its allowance; another domain has its own."""
        self.reception = self.make(daily_messages=2)
        self.assertEqual([self.submit().code for _ in range(2)], [250, 250])
        stranger = self.add_user("stranger@example.net")
        beside = self.add_alias(self.domain, "beside", user_id=stranger.id)
        self.identity = self.identity_of(beside)
        mail = b"From: beside@example.org\r\n\r\nx\r\n"
        self.assertEqual(self.submit(mail, sender="beside@example.org").code, 550)
        third = self.add_user("third@example.net")
        own = self.add_domain("third.test", third, has_smtp=True)
        alias = self.add_alias(own, "a", user_id=third.id)
        self.identity = self.evolve(self.identity_of(alias), domain=own)
        mail = b"From: a@third.test\r\n\r\nx\r\n"
        self.assertEqual(self.submit(mail, sender="a@third.test").code, 250)

    def test_refused_later(self) -> None:
        """A message that is not queued after all costs nothing."""
        self.reception = self.make(daily_messages=1)
        key = self.domain.dkim_private_key
        self.update_domain(dkim_private_key=b"x" * 64)
        self.assertEqual([self.submit().code for _ in range(3)], [451, 451, 451])
        self.update_domain(dkim_private_key=key)
        self.assertEqual([self.submit().code for _ in range(2)], [250, 550])

    def test_users_and_domains(self) -> None:
        """Whichever is used up first; what one refuses costs the other nothing."""
        self.reception = self.make(daily_messages=2)
        other = self.add_domain("other.test", has_smtp=True)
        aliases = [
            self.add_alias(self.domain, "guest", user_id=self.admin.id),
            self.add_alias(other, "alice"),
        ]
        self.assertEqual([self.submit().code for _ in range(3)], [250, 250, 550])
        codes = []
        for alias, domain in zip(aliases, (self.domain, other), strict=True):
            self.identity = self.evolve(self.identity_of(alias), domain=domain)
            address = f"{alias.name}@{domain.name}"
            mail = b"From: " + address.encode() + b"\r\n\r\nx\r\n"
            codes.append(self.submit(mail, sender=address).code)
        self.assertEqual(codes, [550, 550])
        third = self.add_alias(other, "guest", user_id=self.admin.id)
        self.identity = self.evolve(self.identity_of(third), domain=other)
        mail = b"From: guest@other.test\r\n\r\nx\r\n"
        codes = [self.submit(mail, sender="guest@other.test").code for _ in range(3)]
        self.assertEqual(codes, [250, 250, 550])

    def test_counters_that_fail(self) -> None:
        """Nobody sends without limit because a disk is full."""
        self.now(self.counters.stop())
        self.assertEqual(self.submit().code, 451)
        self.assertEqual(self.entries(), ())

    def test_recipients_of_one_message(self) -> None:
        """As many as the operator allows, by default those that the listener takes."""
        many = [f"r{number}@elsewhere.test" for number in range(MAX_RECIPIENTS + 1)]
        self.assertEqual(self.submit(MAIL, *many).code, 554)
        self.assertEqual(self.submit(MAIL, *many[1:]).code, 250)
        self.reception = self.make(max_recipients=len(many))
        self.assertEqual(self.submit(MAIL, *many).code, 250)

    def test_recipients_of_the_standard(self) -> None:
        """RFC 5321 §4.5.3.1.8: a hundred at least."""
        self.assertGreaterEqual(MAX_RECIPIENTS, 100)
        many = [f"r{number}@elsewhere.test" for number in range(100)]
        self.assertEqual(self.submit(MAIL, *many).code, 250)

    def test_admins_have_no_limit(self) -> None:
        """The server admin's domain."""
        own = self.add_domain("admin.test", self.admin)
        alias = self.add_alias(own, "root", user_id=self.admin.id)
        self.identity = self.evolve(self.identity_of(alias), domain=own)
        self.reception = self.make(daily_messages=1)
        mail = b"From: root@admin.test\r\n\r\nx\r\n"
        codes = [self.submit(mail, sender="root@admin.test").code for _ in range(3)]
        self.assertEqual(codes, [250, 250, 250])


class ContentTests(SubmissionTestCase):
    """What becomes of the message."""

    def test_completed(self) -> None:
        """Date and Message-ID are there, Bcc is not, the rest is as it was."""
        reply = self.submit()
        (entry,) = self.entries()
        self.assertEqual(reply.text, f"Queued as {entry.message.id}")
        raw = self.stored()
        self.assertEqual(raw.count(b"\r\nDate: "), 1)
        self.assertEqual(raw.count(b"\r\nMessage-ID: <"), 1)
        self.assertNotIn(b"secret@", raw)
        self.assertNotIn(b"other@", raw)
        self.assertTrue(raw.endswith(b"\r\n\r\nHello Bob\r\n"))
        self.assertTrue(entry.message.message_id.endswith("@example.org>"))
        self.assertEqual(
            (entry.message.alias_id, entry.message.domain_id), (self.alice.id, self.domain.id)
        )

    def test_own_ids_are_kept(self) -> None:
        """What the client wrote stays."""
        header = b"Date: Mon, 1 Jan 2024 00:00:00 +0000\r\nMessage-ID: <own@x.test>\r\n"
        self.submit(header + MAIL)
        self.assertEqual(self.stored().lower().count(b"\r\nmessage-id:"), 1)
        self.assertEqual(self.entries()[0].message.message_id, "<own@x.test>")

    def test_no_trace_of_the_user(self) -> None:
        """Neither our Received field nor what the queue keeps for webhooks says where he sits."""
        self.submit()
        first = self.stored().partition(b"DKIM-Signature")[0]
        self.assertTrue(first.startswith(b"Received: by mx.example.net with ESMTPS id "), first)
        self.assertNotIn(b"192.0.2.7", self.stored())
        kept = self.entries()[0].message.peer
        self.assertEqual(kept, Peer(session_id=PEER.session_id, protocol=PEER.protocol))

    def test_signed(self) -> None:
        """The signature verifies with the domain's public key."""
        public = SigningKey.from_pem(self.pem).public_base64
        record = f"v=DKIM1; k=ed25519; p={public}"
        resolver = TableResolver({("fe-1._domainkey.example.org", "TXT"): (record,)})
        self.submit()
        (verdict,) = self.now(verify(self.stored(), resolver, self.clock.seconds()))
        self.assertIs(verdict.result, Result.PASS, verdict)
        self.assertEqual(verdict.domain, "example.org")

    def test_keys_at_hand(self) -> None:
        """A key is read in a thread, and once; when there are many, the oldest makes room."""
        self.patch(signing, "MAX_SIGNING_KEYS", 2)
        sealed = [self.keyring.protect(generate_key(0), "dkim") for _ in range(3)]
        calls: list[int] = []

        def run(work: Any) -> Deferred[Any]:
            calls.append(number)
            return InlineThreads().run(work)

        signer = signing.Signer(self.keyring, self.clock, run)  # type: ignore[arg-type]
        for number in (0, 0, 1, 0, 1, 2, 1, 0):
            self.update_domain(dkim_private_key=sealed[number])
            self.now(signer.signed(MAIL, self.domain))
        self.assertEqual(calls, [0, 1, 2, 0])

    def test_no_key(self) -> None:
        """A domain without a key sends unsigned."""
        self.update_domain(dkim_private_key=b"")
        self.assertEqual(self.submit().code, 250)
        self.assertNotIn(b"DKIM-Signature", self.stored())

    def test_changed_key(self) -> None:
        """A damaged key is our trouble: temporary, and nothing is queued."""
        self.update_domain(dkim_private_key=b"x" * 64)
        self.assertEqual(self.submit().code, 451)
        self.assertEqual(self.entries(), ())

    def test_big_message(self) -> None:
        """Big ones are signed elsewhere, and arrive whole."""
        body = b"x" * 70 + b"\r\n"
        message = MAIL + body * (signing.OFFLOAD_OCTETS // len(body) + 1)
        spooling = self.reception.begin(
            self.envelope("bob@elsewhere.test", sender="alice@example.org"), self.identity
        )
        self.now(spooling.write(message))
        self.assertEqual(self.now(spooling.finish()).code, 250)
        self.assertTrue(self.stored().endswith(body * 10))
        self.assertEqual(self.reception.octets_in_hand, 0)

    def test_budget(self) -> None:
        """All messages in hand share one budget; what is let go of comes back."""
        self.patch(submission, "MAX_SPOOLING_OCTETS", 300)
        spooling = self.reception.begin(self.envelope("b@x.test"), self.identity)
        self.now(spooling.write(b"x" * 200))
        self.assertEqual(self.submit().code, 451)
        self.now(spooling.abort())
        self.assertEqual(self.reception.octets_in_hand, 0)
        self.assertEqual(self.submit().code, 250)

    def test_any_octets(self) -> None:
        """Whatever is submitted, the answer is a reply and nothing stays in hand."""
        for message in (b"", b"\r\n", b"\n\n", b"From", b"\x00" * 100, b"From: a\r\n" * 2000):
            self.assertEqual(self.submit(message).code // 100, 5)
        self.assertEqual(self.reception.octets_in_hand, 0)


class SentTestCase(SubmissionTestCase):
    """What was sent."""

    def verdict(self) -> Result:
        """Of the signature of the one message."""
        public = SigningKey.from_pem(self.pem).public_base64
        record = f"v=DKIM1; k=ed25519; p={public}"
        resolver = TableResolver({("fe-1._domainkey.example.org", "TXT"): (record,)})
        (verdict,) = self.now(verify(self.stored(), resolver, self.clock.seconds()))
        return verdict.result

    def sent(self, message: bytes, **more: Any) -> tuple[bytes, QueuedMessage]:
        """The message behind our own fields, and what the queue knows of it; it is signed well."""
        for entry in self.entries():
            self.now(self.queue.drop(entry.message.id))
        self.assertEqual(self.submit(message, **more).code, 250, message)
        self.assertIs(self.verdict(), Result.PASS)
        above = re.match(rb"Received: by[^;]*;\r\n\t.* \+0000\r\nDKIM-Signature: ", self.stored())
        assert above is not None, self.stored()
        signature = re.match(rb"[^\r]*\r\n(?:[ \t][^\r]*\r\n)*", self.stored()[above.end() :])
        assert signature is not None
        return self.stored()[above.end() + signature.end() :], self.entries()[0].message


class FormTests(SentTestCase):
    """What we pass on is valid."""

    def test_refused(self) -> None:
        """With the reason, and it costs nothing of the allowance."""
        self.reception = self.make(daily_messages=1)
        for top, reason in (
            (b" x\r\n", "begins with white space"),
            (b"\tSubject: x\r\n", "begins with white space"),
            (b"no field\r\n", "no colon"),
            (b"X: y\r\nno field\r\n", "no colon"),
            (b"Cc : a@b.test\r\n", "followed by white space: Cc"),
            (b"To: a@b.test\r\n", "more than one field of this name: To"),
            (b"Subject: x\r\n", "more than one field of this name: Subject"),
            (b"Date: x\r\nDate: y\r\n", "more than one"),
            (b"Message-ID: <1@b>\r\nMessage-Id: <1@b>\r\n", "more than one"),
            (b"Sender: x\r\nSender: y\r\n", "more than one"),
            (b"References: " + b"x" * 2000 + b"\r\n", "too long"),
        ):
            reply = self.submit(top + MAIL)
            self.assertEqual((reply.code, reply.enhanced), (550, "5.6.0"), top)
            self.assertIn(reason, reply.text)
        self.assertEqual(self.entries(), ())
        self.assertEqual(self.submit().code, 250)

    def test_mbox_line(self) -> None:
        """It goes; what it would have hidden is judged all the same."""
        for line in (b"From alice@example.org Mon Jan  1 00:00:00 2024\r\n", b">From x\r\n"):
            raw, _ = self.sent(line + MAIL)
            self.assertTrue(raw.startswith(b"From: Alice"), raw)
            self.assertEqual(self.submit(line + b" x\r\n" + MAIL).code, 550)
        self.assertEqual(self.submit(b"From : fan@example.org\r\n\r\nx\r\n").code, 550)

    def test_identifiers(self) -> None:
        """Date and Message-ID that are none are ours; the owner's list shows what was sent."""
        header = b"Date: yesterday\r\nMessage-ID: none\r\n"
        raw, message = self.sent(header + MAIL)
        self.assertNotIn(b"yesterday", raw)
        self.assertNotIn(b"none", raw)
        self.assertIn(f"Message-ID: {message.message_id}\r\n".encode(), raw)
        self.assertTrue(message.message_id.endswith("@example.org>"))
        raw, message = self.sent(b"Message-ID: (c) <own@x.test> (d)\r\n" + MAIL)
        self.assertEqual(message.message_id, "<own@x.test>")

    def test_sender(self) -> None:
        """Somebody else's goes, one's own stays (RFC 6409 §8.1)."""
        for field in (
            b"Sender: fan@example.org\r\n",
            b"Sender: boss@bank.test\r\n",
            b"Sender: user@localhost\r\n",
            b"Sender: a@b.test, alice@example.org\r\n",
            b"Sender: \r\n",
            b"Sender: nonsense\r\n",
        ):
            self.assertNotIn(b"Sender", self.sent(field + MAIL)[0], field)
        for field in (b"Sender: Alice+x@example.org\r\n", b'Sender: "alice"@EXAMPLE.org\r\n'):
            self.assertTrue(self.sent(field + MAIL)[0].startswith(field))

    def test_quoted_identity(self) -> None:
        """The same address in quotes is the same address."""
        mail = b'From: "Alice" <"alice"@example.org>\r\nSubject: x\r\n\r\nx\r\n'
        self.sent(mail, sender='"alice"@example.org')
        self.assertEqual(self.submit(mail, sender='"fan"@example.org').code, 553)

    def test_results_in_our_name(self) -> None:
        """None comes from a program of a user's (RFC 8601 §5)."""
        raw, _ = self.sent(b"Authentication-Results: MX.example.net; none\r\n" + MAIL)
        self.assertTrue(raw.startswith(b"From: "))

    def test_8bit(self) -> None:
        """It is encoded before it is signed, so that any host can carry it (RFC 6376 §5.3)."""
        mail = MAIL + "Grüße\r\n".encode()
        for declared in (False, True):
            raw, message = self.sent(mail, is_8bit=declared, is_utf8=declared)
            self.assertTrue(raw.isascii())
            self.assertIn(b"Gr=C3=BC=C3=9Fe\r\n", raw)
            self.assertIn(b"\r\nContent-Type: text/plain; charset=utf-8\r\n", raw)
            self.assertFalse(message.is_8bit)

    def test_long_lines(self) -> None:
        """Those as well, in the header and in the body."""
        header = b"References:" + b" <0123456789@example.org>" * 50 + b"\r\n"
        raw, _ = self.sent(header + MAIL + b"x" * 5000 + b"\r\n.\r\n")
        self.assertLess(max(map(len, raw.split(b"\r\n"))), 999)
        body = email.message_from_bytes(raw).get_payload(decode=True)
        self.assertEqual(body, b"Hello Bob\r\n" + b"x" * 5000 + b"\r\n.\r\n")

    def test_utf8_header(self) -> None:
        """Text and names as encoded words; an address that cannot be said so needs SMTPUTF8."""
        header = "From: Älice <alice@example.org>\r\nSubject: Grüße\r\n"
        raw, message = self.sent(f"{header}To: a@bücher.test\r\n\r\nx\r\n".encode())
        self.assertTrue(raw.isascii())
        self.assertEqual((message.is_8bit, message.is_utf8), (False, False))
        raw, message = self.sent(f"{header}To: ü@b.test\r\n\r\nx\r\n".encode())
        self.assertIn("To: ü@b.test\r\n".encode(), raw)
        self.assertEqual((message.is_8bit, message.is_utf8), (True, True))

    def test_signed_inside(self) -> None:
        """8-bit content that is signed stays, and says so to the next host."""
        mail = (
            b"From: alice@example.org\r\nContent-Type: multipart/signed; boundary=b\r\n\r\n"
            b"--b\r\n\r\n\xc3\xbc\r\n--b\r\nContent-Type: application/x\r\n\r\n--b--\r\n"
        )
        raw, message = self.sent(mail)
        self.assertIn(b"\r\n\r\n--b\r\n\r\n\xc3\xbc\r\n--b\r\n", raw)
        self.assertTrue(message.is_8bit)

    def test_big_and_8bit(self) -> None:
        """What is done in a thread comes to the same."""
        mail = MAIL + ("ü" * 30 + "\r\n").encode() * 20_000
        self.assertGreater(len(mail), signing.OFFLOAD_OCTETS)
        spooling = self.reception.begin(
            self.envelope("b@x.test", sender="alice@example.org"), self.identity
        )
        self.now(spooling.write(mail))
        self.assertEqual(self.now(spooling.finish()).code, 250)
        self.assertTrue(self.stored().isascii())
        self.assertIs(self.verdict(), Result.PASS)


class ResentTests(SentTestCase):
    """Somebody else's message on its way again (RFC 5322 §3.6.6)."""

    ORIGINAL = (
        b"Sender: s@elsewhere.test\r\nFrom: Carol <carol@elsewhere.test>\r\nMessage-ID: odd\r\n"
        b"\r\nGr\xfc\xdfe " + b"x" * 2000 + b"\r\n"
    )
    OWN = b"Resent-From: Alice <alice@example.org>\r\nResent-To: bob@elsewhere.test\r\n"

    def test_unchanged(self) -> None:
        """Under our own fields, whose Date and Message-ID are added."""
        raw, message = self.sent(self.OWN + b"Resent-Bcc: x@y.test\r\n" + self.ORIGINAL)
        added, _, rest = raw.partition(self.OWN)
        self.assertEqual(rest, self.ORIGINAL)
        self.assertRegex(added, rb"\AResent-Date: .* \+0000\r\nResent-Message-ID: <.*>\r\n\Z")
        self.assertTrue(message.is_8bit)
        self.assertFalse(message.is_utf8)

    def test_signature_of_the_author(self) -> None:
        """It still holds, and so does what DMARC makes of it."""
        pem = generate_key(0)
        key = SigningKey.from_pem(pem)
        now = self.clock.seconds()
        field = sign(self.ORIGINAL, key, domain="elsewhere.test", selector="s", now=now)
        self.assertEqual(self.submit(self.OWN + field + self.ORIGINAL).code, 250)
        record = f"v=DKIM1; k=ed25519; p={key.public_base64}"
        resolver = TableResolver({("s._domainkey.elsewhere.test", "TXT"): (record,)})
        _ours, theirs = self.now(verify(self.stored(), resolver, now))
        self.assertEqual((theirs.domain, theirs.result), ("elsewhere.test", Result.PASS))

    def test_own_message(self) -> None:
        """One's own, sent before, may be sent again."""
        raw, _ = self.sent(self.OWN + MAIL)
        self.assertIn(self.OWN + b"From: Alice", raw)

    def test_resent_before(self) -> None:
        """The first block counts, those of others below it stay."""
        before = b"Received: by x.test; x\r\nResent-Sender: x@y.test\r\nResent-From: x@y.test\r\n"
        raw, _ = self.sent(self.OWN + before + self.ORIGINAL)
        self.assertTrue(raw.endswith(self.OWN + before + self.ORIGINAL))
        self.assertEqual(self.submit(before + self.OWN + self.ORIGINAL).code, 550)

    def test_not_ours(self) -> None:
        """Who resends is who signed in; nobody else, and nobody unclear."""
        for block in (
            b"Resent-From: fan@example.org\r\n",
            b"Resent-From: carol@elsewhere.test\r\n",
            b"Resent-From: alice@example.org, carol@elsewhere.test\r\n",
            b"Resent-From: alice@example.org\r\nResent-Sender: fan@example.org\r\n",
            b"Resent-To: bob@elsewhere.test\r\n",
            b"Resent-Sender: alice@example.org\r\n",
            b"Resent-From:\r\n",
        ):
            for message in (self.ORIGINAL, MAIL):
                self.assertEqual(self.submit(block + message).code, 550, block)
        self.assertEqual(self.submit(self.ORIGINAL).code, 550)
        self.assertEqual(self.entries(), ())

    def test_no_neighbor_is_played(self) -> None:
        """Our signature and SPF would prove such a message genuine (RFC 7489 §3.1)."""
        self.add_domain("neighbor.test")
        for author in (
            *("fan@example.org", "nobody@example.org", "x@neighbor.test"),
            *("boss@mail.example.org", "boss@org"),
        ):
            reply = self.submit(self.OWN + f"From: {author}\r\n\r\nx\r\n".encode())
            self.assertEqual((reply.code, reply.enhanced), (550, "5.7.1"), author)
            self.assertIn("only as it was signed here", reply.text)

    def test_neighbor_signed_here(self) -> None:
        """What a neighbor really sent may be resent as it is, and only as it is."""
        fan, alice = self.fan, self.identity
        self.identity = self.identity_of(fan)
        mail = b"From: fan@example.org\r\nTo: alice@example.org\r\nSubject: x\r\n\r\nHello\r\n"
        self.assertEqual(self.submit(mail, sender="fan@example.org").code, 250)
        received = b"Return-Path: <fan@example.org>\r\n" + self.stored()
        self.now(self.queue.drop(self.entries()[0].message.id))
        self.identity = alice
        self.assertEqual(self.submit(self.OWN + received).code, 250)
        self.assertIn(self.OWN + b"Received: by", self.stored())
        for old, new in ((b"Hello", b"Hallo"), (b"Subject: x", b"Subject: y"), (b"fan@", b"boss@")):
            self.assertEqual(self.submit(self.OWN + received.replace(old, new)).code, 550, old)
        self.update_domain(
            dkim_private_key=self.keyring.protect(generate_key(0), "dkim"), dkim_selector="fe-2"
        )
        self.assertEqual(self.submit(self.OWN + received).code, 550)


class ActionTests(SubmissionTestCase):
    """What rules do with the mail of users."""

    def act(self, action: Action) -> None:
        """Submit a message that a rule acts on."""

        async def check(facts: SubmissionFacts) -> Action:
            return action

        self.reception.message_table = (Rule("outbound.message.test", "A test.", check),)
        self.assertEqual(self.submit().code, 250)
        self.assertEqual(self.counted, ["outbound.message.test"])

    def test_accept(self) -> None:
        """What is taken whatever the rules behind it say takes of the allowance all the same."""
        self.reception = self.make(daily_messages=1)
        self.act(Accept())
        self.assertEqual([self.submit().code for _ in range(2)], [550, 550])

    def test_hold(self) -> None:
        """It waits for an operator."""
        self.act(Hold("odd"))
        (delivery,) = self.entries()[0].deliveries
        self.assertEqual((delivery.state, delivery.hold_reason), (DeliveryState.HELD, "odd"))

    def test_tag(self) -> None:
        """The tag goes with it."""
        self.act(Tag(field="X-Odd: yes"))
        self.assertEqual(self.entries()[0].deliveries[0].handling.fields, ("X-Odd: yes",))

    def test_discard(self) -> None:
        """Nothing is kept."""
        self.act(Discard())
        self.assertEqual(self.entries(), ())


class TargetTests(SubmissionTestCase):
    """Where it goes."""

    def targets(self) -> list[tuple[str, str]]:
        """Of the one message."""
        (entry,) = self.entries()
        return [(d.target.courier, d.target.address) for d in entry.deliveries]

    def test_mixed(self) -> None:
        """Hosted recipients are routed here, others go out, one body for all."""
        self.submit(MAIL, "alice@example.org", "fan@example.org", "bob@elsewhere.test")
        self.assertEqual(
            self.targets(),
            [
                ("local", "alice@example.org"),
                ("forward", "fan@elsewhere.test"),
                ("remote", "bob@elsewhere.test"),
            ],
        )

    def test_loopback(self) -> None:
        """The demo sends hosted recipients through the MX, unknown ones still nowhere."""
        self.reception = self.make(loopback=True)
        self.submit(MAIL, "alice@example.org")
        self.assertEqual(self.targets(), [("remote", "alice@example.org")])
        self.assertEqual(self.submit(MAIL, "nobody@example.org").code, 550)

    def test_hold(self) -> None:
        """Outside recipients are held with a reason, others not."""
        self.reception = self.make(
            loopback=True, hold=lambda address, _: "demo" * (address.domain != "example.org")
        )
        self.submit(MAIL, "alice@example.org", "bob@elsewhere.test")
        (entry,) = self.entries()
        self.assertEqual(
            [(d.state, d.hold_reason) for d in entry.deliveries],
            [(DeliveryState.WAITING, ""), (DeliveryState.HELD, "demo")],
        )

    def test_dropped(self) -> None:
        """A disabled alias with 250 stays silent."""
        self.change_alias(self.fan, is_enabled=False, error_code_if_disabled=250)
        for loopback in (False, True):
            self.reception = self.make(loopback=loopback)
            self.assertEqual(self.submit(MAIL, "fan@example.org").code, 250)
        self.assertEqual(self.entries(), ())

    def test_connected(self) -> None:
        """Anybody may connect."""
        self.assertIsNone(
            self.successResultOf(Deferred.fromCoroutine(self.reception.connected(PEER)))
        )
