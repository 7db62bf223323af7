"""Tests of fe_mail.accounts.scram: the vectors of RFC 7677, and messages that are none."""

import base64
import hashlib

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from fe_mail.accounts import scram
from fe_mail.model.errors import AuthenticationFailed, Invalid

# RFC 7677 §3
CLIENT_FIRST = b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
SERVER_NONCE = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
SERVER_FIRST = (
    "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
)
CLIENT_FINAL = (
    b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
    b"p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
)
SERVER_FINAL = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
SALT = base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")


class VectorTests(SynchronousTestCase):
    """The dialogue of RFC 7677 §3, octet by octet."""

    def setUp(self) -> None:
        """The keys of "pencil"."""
        salted = hashlib.pbkdf2_hmac("sha256", b"pencil", SALT, 4096)
        self.keys = scram.derive_keys(salted)
        self.first = scram.parse_client_first(CLIENT_FIRST)
        self.final = scram.parse_client_final(CLIENT_FINAL)
        self.signed = f"{self.first.bare},{SERVER_FIRST},{self.final.without_proof}"

    def test_server_first(self) -> None:
        """The challenge is the RFC's."""
        built = scram.server_first(self.first.nonce + SERVER_NONCE, SALT, 4096)
        self.assertEqual(built, SERVER_FIRST)

    def test_proof_reveals_client_key(self) -> None:
        """The client's proof gives exactly ClientKey."""
        found = scram.client_key_of(self.final.proof, self.keys.stored_key, self.signed)
        self.assertEqual(found, self.keys.client_key)

    def test_server_final(self) -> None:
        """The server's proof is the RFC's."""
        self.assertEqual(scram.server_final(self.keys.server_key, self.signed), SERVER_FINAL)

    def test_wrong_proof(self) -> None:
        """One changed bit, or another dialogue, reveals nothing."""
        proof = bytes([self.final.proof[0] ^ 1]) + self.final.proof[1:]
        self.assertIsNone(scram.client_key_of(proof, self.keys.stored_key, self.signed))
        other = scram.client_key_of(self.final.proof, self.keys.stored_key, self.signed + "x")
        self.assertIsNone(other)


class ClientFirstTests(SynchronousTestCase):
    """What a client may open with."""

    def test_fields(self) -> None:
        """Names are decoded, the binding header is kept for the comparison later."""
        first = scram.parse_client_first(b"y,a=a=2Cb,n=x=3Dy@z.test,r=abc,x=1")
        self.assertEqual(first.gs2_header, "y,a=a=2Cb,")
        self.assertEqual((first.authzid, first.username), ("a,b", "x=y@z.test"))
        self.assertEqual((first.nonce, first.bare), ("abc", "n=x=3Dy@z.test,r=abc,x=1"))

    def test_channel_binding_is_refused(self) -> None:
        """A client that binds a channel must not be let in without the check."""
        with self.assertRaises(AuthenticationFailed):
            scram.parse_client_first(b"p=tls-exporter,,n=user,r=abc")

    def test_malformed(self) -> None:
        """Anything else is Invalid, and nothing but Invalid."""
        for message in (
            b"", b"n", b"n,", b"n,,", b"n,,n=user", b"n,,n=user,", b"x,,n=user,r=a",
            b"n,,m=1,n=user,r=a", b"n,,n=,r=a", b"n,,n=user,r=", b"n,,n=us=er,r=a",
            b"n,,r=a,n=user", b"n,b=x,n=user,r=a", b"n,,n=user,r=a b", b"n,,n=\xff,r=a",
            b"n,,n=user,r=" + b"a" * 600, b"n,,n=" + b"u" * 5000 + b",r=a", b"n,,n=u\0,r=a",
            b"n,,n=user,r=a,junk",
        ):  # fmt: skip
            with self.assertRaises(Invalid, msg=message):
                scram.parse_client_first(message)

    @settings(max_examples=100, deadline=None)
    @given(st.binary(max_size=80))
    def test_any_octets(self, message: bytes) -> None:
        """Whatever comes, the parser answers with a value or one of its two errors."""
        try:
            parsed = scram.parse_client_first(message)
        except (Invalid, AuthenticationFailed):
            return
        self.assertTrue(message.decode().endswith(parsed.bare))


class ClientFinalTests(SynchronousTestCase):
    """What a client may end with."""

    def test_truncated(self) -> None:
        """Every beginning of a good message is Invalid."""
        for end in range(len(CLIENT_FINAL)):
            with self.assertRaises(Invalid, msg=CLIENT_FINAL[:end]):
                scram.parse_client_final(CLIENT_FINAL[:end])

    def test_malformed(self) -> None:
        """Wrong order, bad base64, short and long proofs."""
        proof = base64.b64encode(b"p" * 32)
        for message in (
            b"r=a,c=biws,p=" + proof, b"c=biws,p=" + proof, b"c=b!ws,r=a,p=" + proof,
            b"c=biws,r=a,p=" + base64.b64encode(b"p" * 31), b"c=biws,r=a,p=\xc3\xa6",
            b"c=biws,r=a,p=" + base64.b64encode(b"p" * 33), b"c=biws,r=a,junk,p=" + proof,
            b"m=1,c=biws,r=a,p=" + proof,
        ):  # fmt: skip
            with self.assertRaises(Invalid, msg=message):
                scram.parse_client_final(message)

    @settings(max_examples=100, deadline=None)
    @given(st.binary(max_size=80))
    def test_any_octets(self, message: bytes) -> None:
        """Whatever comes, the parser answers with a value or Invalid."""
        try:
            parsed = scram.parse_client_final(message)
        except Invalid:
            return
        self.assertTrue(message.decode().startswith(parsed.without_proof))
