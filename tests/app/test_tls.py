"""The certificate directory: self-signed pairs, reloading, refusing what does not fit."""

import contextlib
import os
import tempfile
from pathlib import Path

from cryptography import x509
from OpenSSL import SSL
from twisted.internet.testing import EventLoggingObserver
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from fe_mail.app.tls import CertificateDirectory, make_self_signed


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
        client_context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        client = SSL.Connection(client_context, None)
        client.set_connect_state()
        connection.set_accept_state()
        for _ in range(10):
            for this, that in ((client, connection), (connection, client)):
                with contextlib.suppress(SSL.WantReadError):
                    this.do_handshake()
                with contextlib.suppress(SSL.WantReadError):
                    that.bio_write(this.bio_read(65536))
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
