"""Tests of fe_mail.mailauth: signing, dkim, tags, canonical; dkimpy is the oracle both ways."""

import base64
import hashlib
from collections.abc import Coroutine
from typing import Any, ClassVar

import dkim
from dkim import canonicalization
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from fe_mail.mailauth.canonical import BodyHash
from fe_mail.mailauth.dkim import MAX_SIGNATURES, Result, Verdict, examine, verify
from fe_mail.mailauth.signing import SigningKey, generate_key, sign, sign_header
from fe_mail.mailauth.tags import parse_signature, parse_tags
from fe_mail.model.dns import Answer
from fe_mail.model.errors import Invalid, Unavailable

NOW = 1_700_000_000.0
HEADER = b"From: A <a@b.example>\r\nTo:  x@y.example\r\nSubject: hi\r\n  there\r\nX-Y: z\r\n\r\n"
MESSAGE = HEADER + b"hello  world \r\n\r\n\tx\r\n\r\n\r\n"
NAME = "s1._domainkey.b.example"
SPACES = st.lists(
    st.sampled_from([b" ", b"\t", b"\r\n", b"a", b"bc", b"\r", b"\n", b"  \r\n"]), max_size=30
)
JUNK = [b"", b";", b"=", b" ", b"\r\n ", b"\xff", b"A", b":"]
PEM = generate_key(2048)
KEY = SigningKey.from_pem(PEM)
RECORD = f"v=DKIM1; k=rsa; p={KEY.public_base64}"


class Table:
    """TXT records by name; a name with None has no answer."""

    def __init__(self, **records: str | None) -> None:
        self.asked: list[str] = []
        self.records: dict[str, tuple[str, ...] | None] = {}
        self.publish(RECORD)

    def publish(self, *records: str) -> None:
        """What the name of the key says."""
        self.records[NAME] = records

    async def query(self, name: str, kind: object) -> Answer[str]:
        """Answer from the table."""
        self.asked.append(name)
        found = self.records.get(name, ())
        if found is None:
            raise Unavailable
        return Answer(records=found, exists=bool(found))


class DKIMTestCase(SynchronousTestCase):
    """Signing and verifying with a table of keys."""

    def setUp(self) -> None:
        """The key of b.example is published."""
        self.resolver = Table()

    def now(self, work: Coroutine[Any, Any, Any]) -> Any:
        """The result of a coroutine that needs no waiting."""
        return self.successResultOf(Deferred.fromCoroutine(work))

    def verify(self, raw: bytes, now: float = NOW) -> tuple[Verdict, ...]:
        """The verdicts of a message."""
        found = self.now(verify(raw, self.resolver, now))  # type: ignore[arg-type]  # txt only
        assert isinstance(found, tuple)
        return found

    def only(self, raw: bytes, now: float = NOW) -> Verdict:
        """The one verdict."""
        (verdict,) = self.verify(raw, now)
        return verdict

    def signed(self, raw: bytes = MESSAGE, key: SigningKey = KEY) -> bytes:
        """A signed message."""
        return sign(raw, key, domain="b.example", selector="s1", now=NOW) + raw

    def edited(self, old: str, new: str, raw: bytes = MESSAGE) -> bytes:
        """A message with a signature in which the signer wrote something else (and hashed it)."""
        return self.signed(raw).replace(old.encode(), new.encode(), 1)


class OracleTests(DKIMTestCase):
    """Both implementations agree."""

    BODIES: ClassVar[tuple[bytes, ...]] = (
        b"hello  world \r\n\r\n\tx\r\n\r\n\r\n",
        b"",
        b"no newline",
        b"\r\n\r\n",
        b" \r\n \r\nx",
        b"x " * 100_000 + b"\r\n",
        b"x\r\n" * 50_000 + b"\r\n" * 50_000,
        b"\r\n" * 70_000 + b"x",
    )

    def test_we_sign(self) -> None:
        """dkimpy accepts what we sign."""
        for body in self.BODIES:
            raw = self.signed(HEADER + body)
            good = dkim.verify(raw, dnsfunc=lambda _name, timeout=5: RECORD.encode())
            self.assertTrue(good, body[:40])

    def test_we_verify(self) -> None:
        """We accept what dkimpy signs, in all canonicalizations."""
        for body in self.BODIES:
            raw = HEADER + body
            for head in (b"simple", b"relaxed"):
                for tail in (b"simple", b"relaxed"):
                    field = dkim.sign(raw, b"s1", b"b.example", PEM, canonicalize=(head, tail))
                    verdict = self.only(field + raw, 4e9)
                    self.assertIs(verdict.result, Result.PASS, (head, tail, body[:40]))

    @settings(max_examples=100, deadline=None)
    @given(SPACES)
    def test_bodies(self, pieces: list[bytes]) -> None:
        """Canonical bodies are the same, and however they are cut."""
        body = b"".join(pieces).replace(b"\r\n", b"\n").replace(b"\r", b"").replace(b"\n", b"\r\n")
        body = body.rstrip(b" \t")  # dkimpy keeps blanks of a line without end; RFC 6376 does not
        for relaxed, oracle in ((True, canonicalization.Relaxed), (False, canonicalization.Simple)):
            expected = hashlib.sha256(oracle.canonicalize_body(body)).digest()
            if not body.strip() and relaxed:
                expected = hashlib.sha256(b"").digest()
            whole = BodyHash(relaxed=relaxed)
            whole.update(body)
            self.assertEqual(whole.digest(), expected, body)

    @settings(max_examples=200, deadline=None)
    @given(SPACES, st.booleans())
    def test_any_split(self, pieces: list[bytes], relaxed: bool) -> None:
        """Any cut gives the same hash and size, bare CR and LF included."""
        whole, parts = BodyHash(relaxed=relaxed), BodyHash(relaxed=relaxed)
        whole.update(b"".join(pieces))
        for piece in pieces:
            parts.update(piece)
        self.assertEqual(whole.digest(), parts.digest())
        self.assertEqual(whole.total_octets, parts.total_octets)


class SignTests(DKIMTestCase):
    """What we sign."""

    def test_pass(self) -> None:
        """Our own signature passes, and says who signed."""
        verdict = self.only(self.signed())
        self.assertIs(verdict.result, Result.PASS, verdict)
        self.assertEqual((verdict.domain, verdict.selector), ("b.example", "s1"))
        self.assertEqual((verdict.identity, verdict.algorithm), ("@b.example", "rsa-sha256"))
        self.assertEqual(self.resolver.asked, [NAME])

    def test_ed25519(self) -> None:
        """The other algorithm (RFC 8463)."""
        key = SigningKey.from_pem(generate_key(0))
        self.resolver.publish(f"v=DKIM1; k=ed25519; p={key.public_base64}")
        self.assertIs(self.only(self.signed(key=key)).result, Result.PASS)
        self.assertIs(self.only(self.signed(key=key) + b"x").result, Result.FAIL)

    def test_streamed_body(self) -> None:
        """Hashing the body while it passes gives the same field."""
        body = BodyHash()
        for octet in MESSAGE[len(HEADER) :]:
            body.update(bytes((octet,)))
        field = sign_header(HEADER, body.digest(), KEY, domain="b.example", selector="s1", now=NOW)
        self.assertEqual(field + MESSAGE, self.signed())

    def test_short_lines(self) -> None:
        """The field folds."""
        field = self.signed().partition(b"From:")[0]
        self.assertLess(max(map(len, field.split(b"\r\n"))), 79)

    def test_oversigned(self) -> None:
        """A second From, Subject, Date ... put on top or below breaks the signature."""
        raw = self.signed()
        for name in (b"From", b"To", b"Cc", b"Subject", b"Date", b"Reply-To", b"Content-Type"):
            extra = name + b": evil@evil.example\r\n"
            self.assertIs(self.only(extra + raw).result, Result.FAIL, name)
            below = raw.replace(b"X-Y: z\r\n", b"X-Y: z\r\n" + extra)
            self.assertIs(self.only(below).result, Result.FAIL, name)

    def test_unsigned_fields_are_free(self) -> None:
        """Received and the like may be added on the way."""
        raw = b"Received: from x\r\nReturn-Path: <>\r\n" + self.signed()
        self.assertIs(self.only(raw).result, Result.PASS)

    def test_keys(self) -> None:
        """Other things than keys are refused."""
        for pem in (b"", b"x", PEM[:100]):
            self.assertRaises(Invalid, SigningKey.from_pem, pem)


class VerifyTests(DKIMTestCase):
    """What we accept, and why not."""

    def check(self, raw: bytes, result: Result, reason: str = "", now: float = NOW) -> None:
        """The message has this result."""
        verdict = self.only(raw, now)
        self.assertIs(verdict.result, result, verdict)
        self.assertIn(reason, verdict.reason)

    def test_none(self) -> None:
        """No signature."""
        self.check(MESSAGE, Result.NONE)

    def test_changes(self) -> None:
        """A changed body, header or signature fails."""
        raw = self.signed()
        self.check(raw + b"more", Result.FAIL, "body")
        self.check(raw.replace(b"Subject: hi", b"Subject: ho"), Result.FAIL, "not match")
        self.check(raw.replace(b"c=relaxed/relaxed", b"c=relaxed/simple"), Result.FAIL)

    def test_broken_tags(self) -> None:
        """Each rule of RFC 6376 §6.1.1."""
        for old, new in (
            ("v=1", "v=2"),
            ("v=1; ", ""),
            ("a=rsa-sha256", "a=rsa-sha1"),
            ("d=b.example", "d=b..example"),
            ("d=b.example", "d="),
            ("d=b.example", "d=b.example; d=c.example"),
            ("s=s1", "s=s1/x"),
            ("c=relaxed/relaxed", "c=x"),
            ("h=from", "h=to"),
            ("bh=", "bh=!"),
            ("t=", "i=@evil.example; t="),
            ("t=", "i=@evilb.example; t="),
            ("t=", "q=http; t="),
            ("t=", "l=x; t="),
            ("t=", "x=1; t="),
            ("t=1", "t=9"),
        ):
            raw = self.edited(old, new)
            if old == "h=from":
                raw = raw.replace(b"from:", b"xx:")
            self.check(raw, Result.PERMERROR)

    def test_identity_below(self) -> None:
        """i= may be below d=, unless the key says no."""
        field = self.edited("t=", "i=x@sub.b.example; t=")
        self.check(field, Result.FAIL)  # hashed without i=, but not refused for it
        self.resolver.publish(RECORD + "; t=s")
        self.check(field, Result.PERMERROR, "subdomains")

    def test_expired(self) -> None:
        """x= in the past."""
        self.check(self.edited("t=", "x=1700000001; t="), Result.PERMERROR, "expired", NOW + 9)

    def test_body_length(self) -> None:
        """Appending behind l= must not pass (spec/security row 10)."""
        field = dkim.sign(MESSAGE, b"s1", b"b.example", PEM, length=True)
        self.check(field + MESSAGE, Result.PASS, now=4e9)
        self.check(field + MESSAGE + b"<h1>evil</h1>\r\n", Result.NEUTRAL, "not signed", 4e9)
        cut = field + HEADER + b"h\r\n"
        self.check(cut, Result.PERMERROR, "shorter", 4e9)

    def test_weak_key(self) -> None:
        """RSA below 1024 bits is no signature (RFC 8301)."""
        weak = (
            "MFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBANNm2/cQ3F7Wb1NUzMlUmPLjQ9CkUjIDZqc1d6+2PzGDg3cn+j0rJ"
            "Wq9e7rD1mRvW5mJ0qL8M2C3m0rK0eHnq2sCAwEAAQ=="
        )
        self.resolver.publish(f"v=DKIM1; p={weak}")
        self.check(self.signed(), Result.PERMERROR, "weak")

    def test_key_records(self) -> None:
        """Missing, revoked, foreign, malformed, several."""
        p = KEY.public_base64
        for records, reason in (
            ((), "no key"),
            (("v=DKIM1; p=",), "revoked"),
            (("v=DKIM1",), "no key"),
            (("v=DKIM2; p=" + p,), "none of DKIM"),
            (("k=ed25519; p=" + p,), "another kind"),
            (("h=sha1; p=" + p,), "hash"),
            (("s=tlsrpt; p=" + p,), "e-mail"),
            (("p=!!!",), "base64"),
            (("p=AAAA",), "read"),
            (("nonsense",), "malformed"),
            ((RECORD, RECORD), "more than one"),
        ):
            self.resolver.publish(*records)
            self.check(self.signed(), Result.PERMERROR, reason)

    def test_accepted_records(self) -> None:
        """Spaces, defaults, and the testing flag."""
        p = KEY.public_base64
        for record in (f" p={p[:50]} {p[50:]} ;", f"v=DKIM1;s=email:x;h=sha1:sha256;n=x;p={p}"):
            self.resolver.publish(record)
            self.check(self.signed(), Result.PASS)
        self.resolver.publish(RECORD + "; t=y")
        self.assertTrue(self.only(self.signed()).is_testing)

    def test_no_answer(self) -> None:
        """Trouble in DNS is temporary."""
        self.resolver.records[NAME] = None
        self.check(self.signed(), Result.TEMPERROR)

    def test_many_signatures(self) -> None:
        """Only so many are looked at, and so many questions asked."""
        field = self.signed().removesuffix(MESSAGE)
        verdicts = self.verify(field * 50 + MESSAGE)
        self.assertEqual(len(verdicts), MAX_SIGNATURES)
        self.assertTrue(all(verdict.result is Result.PASS for verdict in verdicts))

    @settings(max_examples=300, deadline=None)
    @given(st.data())
    def test_malformed(self, data: st.DataObject) -> None:
        """Whatever is done to a signature: no exception, and no pass for changed content."""
        field = bytearray(self.signed().removesuffix(MESSAGE))
        for _ in range(data.draw(st.integers(1, 4))):
            at = data.draw(st.integers(0, len(field) - 1))
            junk = data.draw(st.sampled_from(JUNK))
            field[at : at + data.draw(st.integers(0, 3))] = junk
        examine(bytes(field) + MESSAGE, NOW)
        for verdict in self.verify(bytes(field) + MESSAGE.replace(b"hello", b"HELLO")):
            self.assertIsNot(verdict.result, Result.PASS)

    @settings(max_examples=200, deadline=None)
    @given(st.binary(max_size=80))
    def test_any_value(self, value: bytes) -> None:
        """Tag lists raise Invalid or nothing."""
        for parse in (parse_signature, lambda octets: parse_tags(octets.decode("latin-1"))):
            try:
                parse(value)
            except Invalid:
                continue


class VectorTests(DKIMTestCase):
    """RFC 8463 appendix A: a message of somebody else's making."""

    def test_rfc_8463(self) -> None:
        """The Ed25519 signature of the RFC passes."""
        raw = (
            b"DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;\r\n"
            b" d=football.example.com; i=@football.example.com;\r\n"
            b" q=dns/txt; s=brisbane; t=1528637909; h=from : to :\r\n"
            b" subject : date : message-id : from : subject : date;\r\n"
            b" bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r\n"
            b" b=/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11Bus\r\n"
            b" Fa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw==\r\n"
            b"From: Joe SixPack <joe@football.example.com>\r\n"
            b"To: Suzie Q <suzie@shopping.example.net>\r\n"
            b"Subject: Is dinner ready?\r\n"
            b"Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)\r\n"
            b"Message-ID: <20030712040037.46341.5F8J@football.example.com>\r\n"
            b"\r\nHi.\r\n\r\nWe lost the game.  Are you hungry yet?\r\n\r\nJoe.\r\n"
        )
        self.resolver.records["brisbane._domainkey.football.example.com"] = (
            "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=",
        )
        verdict = self.only(raw)
        self.assertIs(verdict.result, Result.PASS, verdict)
        self.assertEqual(
            verdict.signature_prefix,
            base64.b64encode(base64.b64decode("/gCrinpcQOoI")).decode()[:8],
        )
