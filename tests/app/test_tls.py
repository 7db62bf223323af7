"""The certificate directory: self-signed pairs, reloading, refusing what does not fit."""

import contextlib
import datetime
import itertools
import os
import tempfile
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from OpenSSL import SSL
from twisted.internet.testing import EventLoggingObserver
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from fe_mail.app.tls import CertificateDirectory, make_self_signed

DAY = datetime.timedelta(days=1)


def shake(connection: SSL.Connection, client: SSL.Connection) -> None:
    """Let the two agree. ``SSL.Error`` if they cannot."""
    client.set_connect_state()
    connection.set_accept_state()
    for _ in range(10):
        for this, that in ((client, connection), (connection, client)):
            with contextlib.suppress(SSL.WantReadError):
                this.do_handshake()
            with contextlib.suppress(SSL.WantReadError):
                that.bio_write(this.bio_read(65536))


class CipherTests(SynchronousTestCase):
    """What is spoken, with a key of either kind."""

    def server(self, *, is_rsa: bool) -> SSL.Connection:
        """One handshake's worth of it."""
        directory = Path(tempfile.mkdtemp())
        make_self_signed(directory, ["mail.test"])
        if is_rsa:
            key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
            name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mail.test")])
            now = datetime.datetime.now(datetime.UTC)
            certificate = (
                x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + DAY)
            ).sign(key, hashes.SHA256())
            pem = key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
            (directory / "privkey.pem").write_bytes(pem)
            chain = certificate.public_bytes(serialization.Encoding.PEM)
            (directory / "fullchain.pem").write_bytes(chain)
        certificates = CertificateDirectory(directory)
        certificates.load()
        connection: SSL.Connection = certificates.serverConnectionForTLS(None)  # type: ignore[arg-type]
        return connection

    def client(self, ciphers: str) -> SSL.Connection:
        """A client of TLS 1.2 that knows only these."""
        context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        context.set_options(SSL.OP_NO_TLSv1_3)
        context.set_cipher_list(ciphers.encode())
        return SSL.Connection(context, None)

    def test_authenticated(self) -> None:
        """GCM and ChaCha20 with a key that is gone afterwards."""
        for is_rsa, ciphers in itertools.product(
            (False, True), ("ECDHE+AESGCM", "ECDHE+CHACHA20", "ALL")
        ):
            client = self.client(ciphers)
            shake(self.server(is_rsa=is_rsa), client)
            self.assertRegex(str(client.get_cipher_name()), "^ECDHE-.*(GCM|CHACHA20)")

    def test_refused(self) -> None:
        """Suites in CBC mode, and those that a stolen key opens afterwards."""
        for is_rsa, ciphers in itertools.product(
            (False, True),
            ("AES128-SHA:AES256-SHA256", "ECDHE+AES:!AESGCM:!AESCCM", "RSA+AESGCM", "DHE+AES"),
        ):
            with self.subTest(is_rsa=is_rsa, ciphers=ciphers), self.assertRaises(SSL.Error):
                shake(self.server(is_rsa=is_rsa), self.client(ciphers))


class CertificateTests(SynchronousTestCase):
    """``ssl/``."""

    def setUp(self) -> None:
        """A directory with a pair."""
        self.directory = Path(tempfile.mkdtemp())
        make_self_signed(self.directory, ["mail.test", "127.0.0.1"])
        self.certificates = CertificateDirectory(self.directory)
        self.certificates.load()

    def subject(self) -> str:
        """The common name that a new connection would show."""
        connection = self.certificates.serverConnectionForTLS(None)  # type: ignore[arg-type]
        self.assertIsInstance(connection, SSL.Connection)
        client = SSL.Connection(SSL.Context(SSL.TLS_CLIENT_METHOD), None)
        shake(connection, client)
        certificate = client.get_peer_certificate()
        assert certificate is not None
        return str(certificate.get_subject().CN)

    def replace(self, *names: str) -> None:
        """Another pair, with another time stamp."""
        make_self_signed(self.directory, list(names))
        for path in self.directory.iterdir():
            os.utime(path, ns=(1, 10**9))

    def test_self_signed_names(self) -> None:
        """Hosts and addresses are subject alternative names; the key is private."""
        pem = (self.directory / "fullchain.pem").read_bytes()
        names = x509.load_pem_x509_certificate(pem).extensions.get_extension_for_class(
            x509.SubjectAlternativeName
        )
        self.assertEqual(names.value.get_values_for_type(x509.DNSName), ["mail.test"])
        self.assertEqual(
            [str(ip) for ip in names.value.get_values_for_type(x509.IPAddress)], ["127.0.0.1"]
        )
        self.assertEqual((self.directory / "privkey.pem").stat().st_mode & 0o777, 0o600)

    def test_reload_when_the_files_change(self) -> None:
        """The next handshake shows the new certificate."""
        self.assertEqual(self.subject(), "mail.test")
        self.assertFalse(self.certificates.check())
        self.replace("new.test")
        self.assertTrue(self.certificates.check())
        self.assertEqual(self.subject(), "new.test")

    def test_a_broken_pair_never_replaces_a_good_one(self) -> None:
        """Half-written files, a foreign key, a missing file: reported, and nothing changes."""
        observer = EventLoggingObserver.createWithCleanup(self, globalLogPublisher)
        other = Path(tempfile.mkdtemp())
        make_self_signed(other, ["other.test"])
        foreign = (other / "privkey.pem").read_bytes()
        for content in (b"", b"nonsense", foreign):
            (self.directory / "privkey.pem").write_bytes(content)
            os.utime(self.directory / "privkey.pem", ns=(1, 2 * 10**9))
            self.assertFalse(self.certificates.check())
            self.assertFalse(self.certificates.check())  # which is said once
            self.assertEqual(self.subject(), "mail.test")
        (self.directory / "privkey.pem").unlink()
        self.assertFalse(self.certificates.check())
        self.assertEqual(self.subject(), "mail.test")
        self.assertEqual(len(list(observer)), 3)  # an unreadable key is one problem
