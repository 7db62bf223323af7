"""Tests of fe_mail.reception.letter: what is seen of a message, however it is cut."""

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from fe_mail.budget import Budget
from fe_mail.mailauth import dkim
from fe_mail.mailauth.dkim import examine
from fe_mail.mailauth.signing import SigningKey, generate_key, sign
from fe_mail.model.envelope import Envelope
from fe_mail.model.errors import Unavailable
from fe_mail.model.verdicts import Verdicts
from fe_mail.policy.limits import MAX_HEADER_OCTETS
from fe_mail.reception import letter
from fe_mail.reception.letter import Letter
from tests.queue.base import MESSAGE

NOW = 1_000_000.0
KEY = SigningKey.from_pem(generate_key(0))
SIGNED = sign(MESSAGE, KEY, domain="elsewhere.test", selector="s", now=NOW) + MESSAGE


def fed(message: bytes, cuts: list[int] | None = None, *, examines: bool = True) -> Letter:
    """A letter that saw a message in pieces."""
    seen = Letter(Envelope(reverse_path=None), NOW, examines=examines, memory=Budget())
    edges = [0, *sorted(cut % (len(message) + 1) for cut in cuts or []), len(message)]
    for start, end in itertools.pairwise(edges):
        seen.feed(message[start:end])
    return seen


class LetterTests(SynchronousTestCase):
    """Header and signatures."""

    @settings(deadline=None, max_examples=50)
    @given(
        st.sampled_from([SIGNED, MESSAGE, b"\r\nno header", b"A: b\r\n", b"A: b\r\n\r\n", b""]),
        st.lists(st.integers(0, 2000), max_size=8),
    )
    def test_any_cut(self, message: bytes, cuts: list[int]) -> None:
        """As if it had come in one piece, and as ``examine`` sees it."""
        seen, whole = fed(message, cuts), fed(message)
        self.assertEqual(seen.facts(Verdicts()), whole.facts(Verdicts()))
        self.assertEqual(seen.signatures(), examine(message, NOW))

    def test_signed(self) -> None:
        """The hash of the body is known at the end without the body."""
        (one,) = fed(SIGNED).signatures()
        self.assertTrue(one.is_pending)
        (changed,) = fed(SIGNED + b"more\r\n").signatures()
        self.assertIs(changed.verdict.result, dkim.Result.FAIL)

    def test_header_without_end(self) -> None:
        """A header that never ends is not kept for ever."""
        seen = fed(b"X: " + b"x" * (2 * MAX_HEADER_OCTETS), [10, MAX_HEADER_OCTETS])
        facts = seen.facts(Verdicts())
        self.assertEqual(facts.header_octets, MAX_HEADER_OCTETS + 1)
        self.assertFalse(facts.has_header_end)

    def test_many_body_hashes(self) -> None:
        """A peer cannot make us hash each octet as often as it likes."""
        field = SIGNED[: SIGNED.index(b"From:")]
        many = b"".join(
            field.replace(b"v=1;", b"v=1; l=%d;" % limit) for limit in range(dkim.MAX_SIGNATURES)
        )
        results = [one.verdict.result for one in fed(many + MESSAGE).signatures()]
        refused = results.count(dkim.Result.PERMERROR)
        self.assertEqual(refused, dkim.MAX_SIGNATURES - dkim.MAX_BODY_HASHES)

    def test_a_defect_stops_no_message(self) -> None:
        """It is logged, and the signatures cannot be told."""

        def broken(*_: object) -> None:
            raise ZeroDivisionError

        self.patch(letter, "Examination", broken)
        seen = fed(SIGNED, [500])
        self.assertEqual(seen.facts(Verdicts()).received_count, 0)
        self.assertRaises(Unavailable, seen.signatures)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
