"""
A real client (smtplib) against real listeners on loopback, with TLS and every way to log in.
"""

import base64
import hashlib
import hmac
import secrets
import smtplib
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocolFactory
from twisted.internet.threads import deferToThread
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.trial.unittest import TestCase

from fe_mail.accounts.login import Login
from fe_mail.app.proxy import ProxyFactory
from fe_mail.app.tls import CertificateDirectory, make_self_signed
from fe_mail.smtp.mx import MXFactory
from fe_mail.smtp.submission import SubmissionFactory
from tests.accounts.fakes import AccountsTestCase
from tests.smtp.fakes import RecordingReception

T = TypeVar("T")
HOST = "127.0.0.1"
USER, PASSWORD = "alice@example.org", "correct horse battery"
MESSAGE = b"Subject: hello\r\n\r\n.dot\r\n" + b"line\r\n" * 200_000
FROM, TO = "bob@b.test", ["alice@example.org"]


def scram(username: str, password: str) -> Callable[[bytes | None], str]:
    """A SCRAM-SHA-256 client (RFC 7677) as smtplib wants it: called with each challenge."""
    nonce = secrets.token_urlsafe(18)
    first = f"n={username},r={nonce}"

    def step(challenge: bytes | None = None) -> str:
        if challenge is None:
            return f"n,,{first}"
        server = challenge.decode()
        if server.startswith("v="):
            return ""
        fields = dict(field.split("=", 1) for field in server.split(","))
        salted = hashlib.pbkdf2_hmac(
            "sha256", password.encode(), base64.b64decode(fields["s"]), int(fields["i"])
        )
        client_key = hmac.digest(salted, b"Client Key", "sha256")
        final = f"c=biws,r={fields['r']}"
        stored_key = hashlib.sha256(client_key).digest()
        signature = hmac.digest(stored_key, f"{first},{server},{final}".encode(), "sha256")
        proof = bytes(a ^ b for a, b in zip(client_key, signature, strict=True))
        return f"{final},p={base64.b64encode(proof).decode()}"

    return step


class LoopbackTests(AccountsTestCase, TestCase):
    """Listeners on ports of the system's choice."""

    timeout = 60

    def setUp(self) -> None:
        """A certificate, an account, a reception."""
        super().setUp()
        from twisted.internet import reactor

        self.reactor = reactor
        directory = Path(self.mktemp())
        make_self_signed(directory, ["localhost", HOST])
        self.tls = CertificateDirectory(directory)
        self.tls.load()
        self.trust = ssl.create_default_context(cafile=str(self.tls.chain_path))
        alias = self.add_alias(self.add_domain("example.org"), "alice", has_imap=True)
        self.add_credential(alias, PASSWORD)
        self.login = Login(
            self.accounts, self.keyring, self.counters, self.clock, self.failed_logins, self.errands
        )
        self.reception = RecordingReception()

    def listen(self, factory: IProtocolFactory) -> int:
        """Open a port until the end of the test."""
        port = self.reactor.listenTCP(0, factory, interface=HOST)
        self.addCleanup(port.stopListening)
        return int(port.getHost().port)

    def mx(self) -> MXFactory:
        """An MX that drains at the end of the test."""
        factory = MXFactory(self.reception, hostname="mx.test", clock=self.reactor, tls=self.tls)
        self.addCleanup(lambda: Deferred.fromCoroutine(factory.drain()))
        return factory

    def submission(self) -> SubmissionFactory:
        """A submission server, likewise."""
        factory = SubmissionFactory(
            self.reception, self.login, hostname="mx.test", clock=self.reactor, tls=self.tls
        )
        self.addCleanup(lambda: Deferred.fromCoroutine(factory.drain()))
        return factory

    def send(self, client: smtplib.SMTP) -> None:
        """One message."""
        self.assertEqual(client.sendmail(FROM, TO, MESSAGE), {})

    async def test_mx_with_starttls(self) -> None:
        """A big message arrives byte by byte as it was sent, in clear and through TLS."""
        port = self.listen(self.mx())

        def talk() -> None:
            with smtplib.SMTP(HOST, port, timeout=30) as client:
                self.send(client)
                client.starttls(context=self.trust)
                client.ehlo()
                self.assertFalse(client.has_extn("starttls"))
                self.send(client)

        await deferToThread(talk)
        clear, secure = self.reception.messages
        self.assertEqual(clear.content, MESSAGE)
        self.assertEqual(secure.content, MESSAGE)
        self.assertEqual((clear.envelope.peer.protocol, clear.envelope.peer.tls), ("ESMTP", ""))
        self.assertEqual(secure.envelope.peer.protocol, "ESMTPS")
        self.assertRegex(secure.envelope.peer.tls, r"^TLSv1\.3 TLS_[A-Z0-9_]+$")

    async def test_submission_with_implicit_tls(self) -> None:
        """PLAIN, LOGIN and SCRAM-SHA-256 on a port like 465."""
        factory = TLSMemoryBIOFactory(self.tls, False, self.submission())
        port = self.listen(factory)

        def talk(mechanism: str) -> None:
            with smtplib.SMTP_SSL(HOST, port, timeout=30, context=self.trust) as client:
                client.ehlo()
                client.user, client.password = USER, PASSWORD
                ways = {"PLAIN": client.auth_plain, "LOGIN": client.auth_login}
                way = ways.get(mechanism) or scram(USER, PASSWORD)
                self.assertEqual(client.auth(mechanism, way)[0], 235)
                self.send(client)

        for mechanism in ("PLAIN", "LOGIN", "SCRAM-SHA-256"):
            await deferToThread(talk, mechanism)
        for message in self.reception.messages:
            self.assertEqual(message.envelope.peer.protocol, "ESMTPSA")
            self.assertIn("TLSv1.3", message.envelope.peer.tls)
            self.assertEqual(message.content, MESSAGE)
        names = [identity.alias.name for identity in self.reception.identities if identity]
        self.assertEqual(names, ["alice"] * 3)

    async def test_submission_with_starttls(self) -> None:
        """A port like 587: no login before TLS, and a wrong password is refused."""
        port = self.listen(self.submission())

        def talk() -> tuple[int, int]:
            with smtplib.SMTP(HOST, port, timeout=30) as client:
                client.ehlo()
                before = client.docmd("AUTH", "PLAIN AAAA")[0]
                client.starttls(context=self.trust)
                with self.assertRaises(smtplib.SMTPAuthenticationError) as caught:
                    client.login(USER, "wrong")
                client.login(USER, PASSWORD)
                self.send(client)
                return before, caught.exception.smtp_code

        self.assertEqual(await deferToThread(talk), (538, 535))
        self.assertEqual(len(self.reception.messages), 1)

    async def test_behind_a_proxy(self) -> None:
        """With the PROXY protocol the peer is the one it names, also after STARTTLS."""
        port = self.listen(ProxyFactory(self.mx(), self.reactor))

        class Proxied(smtplib.SMTP):
            def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
                sock = socket.create_connection((host, port), timeout)
                sock.sendall(b"PROXY TCP4 203.0.113.9 192.0.2.2 4711 25\r\n")
                return sock

        def talk() -> None:
            with Proxied(HOST, port, timeout=30) as client:
                client.starttls(context=self.trust)
                self.send(client)

        await deferToThread(talk)
        peer = self.reception.messages[0].envelope.peer
        self.assertEqual((peer.ip, peer.port, peer.protocol), ("203.0.113.9", 4711, "ESMTPS"))
        self.assertIn("TLSv1.3", peer.tls)

    async def test_clear_text_behind_starttls(self) -> None:
        """S1: whatever follows STARTTLS in clear, early or late, is never answered inside TLS."""
        port = self.listen(self.mx())
        evil = b"EHLO c\r\nMAIL FROM:<evil@b.test>\r\n"
        waits = (False, True)
        for wait in waits:
            said = await deferToThread(self._inject, port, evil, wait)
            self.assertNotIn(b"250 2.1.0", said)
        self.assertEqual(self.reception.steps, ["connected"] * len(waits))

    def _inject(self, port: int, evil: bytes, wait: bool) -> bytes:
        with socket.create_connection((HOST, port), 30) as sock:
            sock.recv(1000)
            if wait:
                sock.sendall(b"STARTTLS\r\n")
                self.assertTrue(sock.recv(1000).startswith(b"220 2.0.0"))
                sock.sendall(evil)
            else:
                sock.sendall(b"STARTTLS\r\n" + evil)
            said = b""
            while some := sock.recv(1000):
                said += some
            return said
