"""
The server's certificate: read from ``ssl/``, reloaded when the files change, self-signed if absent.

``privkey.pem`` and ``fullchain.pem`` are what ACME clients write. A pair that cannot be read
never replaces one that works. TLS 1.2 and later, with forward secrecy and authenticated encryption
only: no suite in CBC mode, whose padding was attacked again and again. RFC 9325 §4.2.
"""

import datetime
import ipaddress
import os
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from OpenSSL import SSL, crypto
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from twisted.internet.ssl import AcceptableCiphers, CertificateOptions, TLSVersion
from twisted.logger import Logger
from twisted.protocols.tls import TLSMemoryBIOProtocol
from zope.interface import implementer

__all__ = ["CertificateDirectory", "make_self_signed"]

CHAIN_NAME = "fullchain.pem"
KEY_NAME = "privkey.pem"
CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"  # those of TLS 1.3 are all of this kind
SELF_SIGNED_DAYS = 825  # the most that strict clients accept
BACKDATE = datetime.timedelta(hours=1)  # for clients whose clock is behind


@implementer(IOpenSSLServerConnectionCreator)
class CertificateDirectory:
    """
    Hands the newest certificate of a directory to every TLS handshake.

    ``load`` raises OSError or ValueError; ``check`` reloads if the files changed and logs what
    happened, for a timer to call.
    """

    log = Logger()

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._context: SSL.Context | None = None
        self._stamp: tuple[int, int] = (0, 0)
        self._refused = ""  # the problem that was logged already

    @property
    def chain_path(self) -> Path:
        """The certificate with its chain, in PEM."""
        return self.directory / CHAIN_NAME

    def load(self) -> None:
        """Read the pair; afterwards new handshakes use it."""
        stamp = self._read_stamp()
        certificates = x509.load_pem_x509_certificates(self.chain_path.read_bytes())
        key = serialization.load_pem_private_key((self.directory / KEY_NAME).read_bytes(), None)
        if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
            raise ValueError("the private key is neither RSA nor elliptic-curve")
        if certificates[0].public_key() != key.public_key():
            raise ValueError("the private key does not belong to the certificate")
        chain = [crypto.X509.from_cryptography(each) for each in certificates]
        options = CertificateOptions(
            privateKey=crypto.PKey.from_cryptography_key(key),
            certificate=chain[0],
            extraCertChain=chain[1:],
            raiseMinimumTo=TLSVersion.TLSv1_2,
            acceptableCiphers=AcceptableCiphers.fromOpenSSLCipherString(CIPHERS),
        )
        self._context = options.getContext()
        self._stamp = stamp

    def check(self) -> bool:
        """Reload if the files changed; True if a new certificate is in use."""
        try:
            if self._read_stamp() == self._stamp:
                return False
            self.load()
        except (OSError, ValueError) as problem:
            if str(problem) != self._refused:
                self._refused = str(problem)
                self.log.warn(
                    "The certificate in {directory} cannot be used ({problem}); the old one stays.",
                    directory=str(self.directory),
                    problem=self._refused,
                )
            return False
        self._refused = ""
        self.log.info("New certificate loaded from {directory}.", directory=str(self.directory))
        return True

    def _read_stamp(self) -> tuple[int, int]:
        return (
            self.chain_path.stat().st_mtime_ns,
            (self.directory / KEY_NAME).stat().st_mtime_ns,
        )

    def serverConnectionForTLS(self, protocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        """A connection with the certificate of this moment (Twisted calls it per handshake)."""
        assert self._context is not None, "load() comes first"
        return SSL.Connection(self._context, None)


def make_self_signed(directory: Path, names: Sequence[str]) -> None:
    """
    Write a self-signed pair for ``names`` (hosts and IP addresses) into ``directory``.

    The certificate can serve as its own trust anchor, so that a demo client can verify it.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:64])])
    public_id = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    usage = x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATE)
        .not_valid_after(now + datetime.timedelta(days=SELF_SIGNED_DAYS))
        .add_extension(x509.SubjectAlternativeName([_general_name(n) for n in names]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), True)
        .add_extension(usage, True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False)
        .add_extension(public_id, False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(public_id), False
        )
        .sign(key, hashes.SHA256())
    )
    directory.mkdir(parents=True, exist_ok=True)
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    _write(directory / KEY_NAME, pem, 0o600)
    _write(directory / CHAIN_NAME, certificate.public_bytes(serialization.Encoding.PEM), 0o644)


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _write(path: Path, content: bytes, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
