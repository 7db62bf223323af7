"""Tests of fe_mail.reception.system_mail: mail that the server writes to people."""

from typing import Any

import attrs

from fe_mail.accounts.notices import Notice
from fe_mail.adapters.memory.resolver import TableResolver
from fe_mail.mailauth.dkim import Result, verify
from fe_mail.mailauth.signing import SigningKey, generate_key
from fe_mail.message.headers import first_value, header_fields
from fe_mail.model.errors import Invalid
from fe_mail.model.sentence import Sentence
from fe_mail.reception.signing import OwnDomain
from fe_mail.reception.system_mail import LINE_CHARACTERS, SystemMailer
from tests.queue.base import PostOfficeTestCase

NOTICE = Notice(
    to="bob@elsewhere.test",
    language="da",
    subject=Sentence("Hello %(name)s", name="\u00e6\r\nBcc: x@y.test"),
    paragraphs=(Sentence("One."), Sentence("Two.")),
)


class SystemMailTests(PostOfficeTestCase):
    """The server is ``example.org``'s."""

    def mailer(self, **more: Any) -> SystemMailer:
        """As the application makes it."""
        return SystemMailer(
            self.router,
            self.intake,
            OwnDomain("example.org", self.accounts, self.signer),
            self.clock,
            lambda language, text: f"{language}: {text}",
            hostname="mx.example.org",
            name="fe-mail",
            **more,
        )

    def test_sent(self) -> None:
        """To its reader alone, in his language, from postmaster, answered by no machine."""
        self.now(self.mailer().send(NOTICE))
        (entry,) = self.entries()
        self.assertEqual((entry.message.reverse_path, entry.message.source), ("", "system"))
        (delivery,) = entry.deliveries
        self.assertEqual(
            (delivery.target.courier, delivery.target.address), ("remote", "bob@elsewhere.test")
        )
        fields = header_fields(self.stored())
        self.assertEqual(first_value(fields, b"auto-submitted"), b"auto-generated")
        self.assertIn(b"<postmaster@example.org>", first_value(fields, b"from") or b"")
        self.assertIsNone(first_value(fields, b"bcc"))
        self.assertTrue(self.stored().endswith(b"da: One.\r\n\r\nTwo.\r\n"))

    def test_short_lines(self) -> None:
        """Text is broken between words; a link is not."""
        link = f"https://mail.example.org/verify/{'a-b_' * 40}"
        text = Sentence(f"{'word ' * 40}\n\n{link}")
        self.now(self.mailer().send(attrs.evolve(NOTICE, paragraphs=(text,))))
        body = self.stored().decode("ascii").split("\r\n\r\n", 1)[1]
        self.assertIn(f"\r\n\r\n{link}\r\n", body)
        lines = [line for line in body.split("\r\n") if line != link]
        self.assertTrue(all(len(line) <= LINE_CHARACTERS for line in lines), lines)

    def test_signed(self) -> None:
        """By the key of the server's own domain, if it is hosted here; else as it is."""
        self.now(self.mailer().send(NOTICE))
        self.assertNotIn(b"DKIM-Signature", self.stored())
        pem = generate_key(0)
        changes = {"dkim_selector": "fe-1", "dkim_private_key": self.keyring.protect(pem, "dkim")}
        now = self.clock.seconds()
        self.now(self.accounts.update_domain(self.domain.id, now, **changes))
        self.clock.advance(1)  # messages of one moment have no order
        self.now(self.mailer().send(NOTICE))
        record = f"v=DKIM1; k=ed25519; p={SigningKey.from_pem(pem).public_base64}"
        resolver = TableResolver({("fe-1._domainkey.example.org", "TXT"): (record,)})
        raw = self.now(self.queue.read_body(self.entries()[-1].message))
        (verdict,) = self.now(verify(raw, resolver, now))
        self.assertIs(verdict.result, Result.PASS, verdict)
        self.assertEqual(verdict.domain, "example.org")

    def test_to_ourselves(self) -> None:
        """A hosted address gets it without a detour."""
        self.now(self.mailer().send(self.to("alice@example.org")))
        (entry,) = self.entries()
        self.assertEqual([each.target.courier for each in entry.deliveries], ["local"])

    def to(self, address: str) -> Notice:
        """The same for somebody else."""
        return Notice(
            to=address, language="en", subject=NOTICE.subject, paragraphs=NOTICE.paragraphs
        )

    def test_to_nobody(self) -> None:
        """A hosted address that does not exist, and what is no address, are refused."""
        for address in ("nobody@example.org", "nothing", "a b@c.test"):
            self.fails(Invalid, self.mailer().send(self.to(address)))
        self.assertEqual(self.entries(), ())

    def test_demo(self) -> None:
        """What would leave a demo is held."""
        self.now(self.mailer(hold=lambda address, target: "a demo").send(NOTICE))
        (entry,) = self.entries()
        self.assertEqual([each.hold_reason for each in entry.deliveries], ["a demo"])
