"""
Python's imaplib against a real listener on loopback: STARTTLS, and a session like a client's.
"""

import datetime
import imaplib
import ssl
import time
from collections.abc import Callable
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IListeningPort
from twisted.internet.ssl import CertificateOptions, KeyPair, PrivateCertificate
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from fe_mail.accounts.failed_logins import FailedLogins
from fe_mail.accounts.login import Login
from fe_mail.accounts.passwords import new_credential
from fe_mail.adapters.memory.bus import MemoryBus
from fe_mail.adapters.sqlite.mailbox import SQLiteMailboxStore
from fe_mail.adapters.threads import InlineThreads
from fe_mail.errands import Errands
from fe_mail.imap.factory import IMAPFactory
from fe_mail.model.account import Alias, Domain, Member, User
from fe_mail.model.ids import AliasId, DomainId, UserId
from tests.fakes import MemoryAccountStore, MemoryJournal, QuickKeyring, give_keys, memory_counters
from tests.imap.base import KEY, PASSWORD, message

__all__ = ["ImaplibTests"]


def certificate_options() -> CertificateOptions:
    """A self-signed certificate for loopback."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    pem += key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    loaded: Any = PrivateCertificate.loadPEM(pem)
    assert isinstance(loaded.privateKey, KeyPair)
    options: CertificateOptions = loaded.options()
    return options


class ImaplibTests(TestCase):
    """The client runs in a thread, the server in the reactor."""

    timeout = 20
    port: IListeningPort

    async def listen(self, implicit: bool) -> None:
        """A server with one alias."""
        from twisted.internet import reactor

        clock: Any = reactor
        bus, keyring, accounts = MemoryBus(clock), QuickKeyring(), MemoryAccountStore()
        mailboxes = SQLiteMailboxStore(self.mktemp(), bus, InlineThreads(), clock, key=b"s" * 32)
        await mailboxes.start()
        self.addCleanup(lambda: Deferred.fromCoroutine(mailboxes.stop()))
        user = User(id=UserId("u"), email="u@example.com", password_hash="")
        await accounts.add_user(user)
        domain = Domain(
            id=DomainId("d"),
            name="example.org",
            members=(Member(user_id=user.id, group="admin"),),
            has_txt_record=True,
            has_mx_record=True,
        )
        await accounts.add_domain(domain)
        alias = Alias(
            id=AliasId("a"), domain_id=domain.id, user_id=user.id, name="alice", has_imap=True
        )
        await accounts.add_alias(alias)
        sealing_key = await mailboxes.create(alias.id, KEY)
        credential = await new_credential(
            keyring, alias.id, PASSWORD, KEY, clock.seconds(), iterations=4096
        )
        await give_keys(accounts, alias.id, [credential], sealing_key)
        self.factory = IMAPFactory(
            Login(
                accounts,
                keyring,
                memory_counters(clock),
                clock,
                FailedLogins(MemoryJournal(), Errands(clock), clock),
                Errands(clock),
            ),
            mailboxes,
            bus,
            hostname="localhost",
            clock=clock,
            tls=None if implicit else certificate_options(),
        )
        if implicit:
            options = certificate_options()
            self.port = clock.listenSSL(0, self.factory, options, interface="127.0.0.1")
        else:
            self.port = clock.listenTCP(0, self.factory, interface="127.0.0.1")

    def run_client(
        self, work: Callable[[imaplib.IMAP4], None], implicit: bool = False
    ) -> "Deferred[None]":
        """Let ``work`` speak in a thread, then stop the server."""

        def connect() -> None:
            host: Any = self.port.getHost()
            context = ssl.create_default_context()
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            if implicit:
                with imaplib.IMAP4_SSL(
                    host.host, host.port, ssl_context=context, timeout=10
                ) as client:
                    work(client)
                return
            with imaplib.IMAP4(host.host, host.port, timeout=10) as client:
                self.assertEqual(client.starttls(context)[0], "OK")
                self.assertIn("AUTH=PLAIN", client.capabilities)
                work(client)

        async def session() -> None:
            await self.listen(implicit)
            try:
                await deferToThread(connect)
            finally:
                await self.port.stopListening()
                await self.factory.drain()

        return Deferred.fromCoroutine(session())

    def test_session(self) -> "Deferred[None]":
        """Login, append, search, fetch, store, copy, expunge, logout."""

        def work(client: imaplib.IMAP4) -> None:
            client.login("alice@example.org", PASSWORD)
            raw = message("æ".encode().hex(), body="Line one\r\n.\r\n" * 50_000)
            date = imaplib.Time2Internaldate(time.time())
            self.assertEqual(client.append("INBOX", "\\Seen", date, raw)[0], "OK")
            self.assertEqual(client.append("INBOX", "", "", message("two"))[0], "OK")
            self.assertEqual(client.select()[1], [b"2"])
            self.assertEqual(client.search(None, "UNSEEN")[1], [b"2"])
            _, answer = client.fetch("1", "(BODY.PEEK[])")
            self.assertEqual(answer[0][1], raw)  # type: ignore[index]
            _, answer = client.uid("fetch", "1:*", "(FLAGS RFC822.SIZE)")
            self.assertEqual(len(answer), 2)
            self.assertEqual(client.copy("1:2", '"Sent Mail"')[0], "OK")
            self.assertEqual(client.store("1", "+FLAGS", "(\\Deleted)")[0], "OK")
            self.assertEqual(client.expunge()[1], [b"1"])
            self.assertEqual(client.list()[0], "OK")
            self.assertEqual(client.status("INBOX", "(MESSAGES)")[1], [b'"INBOX" (MESSAGES 1)'])
            self.assertEqual(client.select("Nowhere")[0], "NO")
            self.assertEqual(client.logout()[0], "BYE")

        return self.run_client(work)

    def test_authenticate(self) -> "Deferred[None]":
        """SASL PLAIN through imaplib, and a refused password first."""

        def work(client: imaplib.IMAP4) -> None:
            self.assertRaises(imaplib.IMAP4.error, client.login, "alice@example.org", "wrong")
            secret = f"\0alice@example.org\0{PASSWORD}".encode()
            self.assertEqual(client.authenticate("PLAIN", lambda _: secret)[0], "OK")
            self.assertEqual(client.noop()[0], "OK")

        return self.run_client(work)

    def test_implicit_tls(self) -> "Deferred[None]":
        """On a TLS listener login is possible at once, and a big message comes back whole."""

        def work(client: imaplib.IMAP4) -> None:
            self.assertIn("AUTH=SCRAM-SHA-256", client.capabilities)
            self.assertNotIn("STARTTLS", client.capabilities)
            client.login("alice@example.org", PASSWORD)
            raw = message("big", body="0123456789abcdef\r\n" * 200_000)
            self.assertEqual(client.append("INBOX", "", "", raw)[0], "OK")
            client.select()
            _, answer = client.fetch("1", "(RFC822)")
            self.assertEqual(answer[0][1], raw)  # type: ignore[index]
            (session,) = [each.session for each in self.factory.registry]
            self.assertIn("TLS", session.wire.peer.tls)

        return self.run_client(work, implicit=True)
