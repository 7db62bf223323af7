"""Tests of fe_mail.accounts.sasl: how an exchange goes over lines."""

import base64

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from fe_mail.accounts.sasl import MAX_STEPS, converse, decode_response
from fe_mail.model.errors import Invalid
from fe_mail.model.identity import Identity
from tests.smtp.fakes import ALICE


class Riddle:
    """Asks again until it hears the word; notes what it heard."""

    def __init__(self) -> None:
        self.heard: list[bytes | None] = []

    async def step(self, response: bytes | None) -> bytes | Identity:
        """The next question."""
        self.heard.append(response)
        return ALICE if response == b"word" else b"question %d" % len(self.heard)


class ConverseTests(SynchronousTestCase):
    """From the initial response to an identity."""

    def setUp(self) -> None:
        """Nothing was said."""
        self.riddle = Riddle()
        self.asked: list[bytes] = []

    def converse(self, initial: bytes | None, *lines: bytes) -> "Deferred[Identity]":
        """Let a client say these lines, the last one ever again."""
        said = list(lines)

        async def ask(challenge: bytes) -> bytes:
            self.asked.append(challenge)
            return said.pop(0) if len(said) > 1 else said[0]

        return Deferred.fromCoroutine(converse(self.riddle, initial, ask))

    def test_initial_response(self) -> None:
        """Who knows the word at once is asked nothing."""
        self.assertIs(self.successResultOf(self.converse(b"word")), ALICE)
        self.assertEqual(self.asked, [])

    def test_challenges(self) -> None:
        """Challenges go out in base64, responses come back decoded; an empty one is one."""
        done = self.converse(None, b"", base64.b64encode(b"word"))
        self.assertIs(self.successResultOf(done), ALICE)
        self.assertEqual(self.riddle.heard, [None, b"", b"word"])
        expected = [base64.b64encode(b"question %d" % number) for number in (1, 2)]
        self.assertEqual(self.asked, expected)

    def test_canceled(self) -> None:
        """A star ends it, and is no response."""
        self.failureResultOf(self.converse(None, b"*"), Invalid)
        self.assertEqual(self.riddle.heard, [None])

    def test_endless(self) -> None:
        """Nobody is asked for ever."""
        self.failureResultOf(self.converse(None, b"eA=="), Invalid)
        self.assertEqual(len(self.asked), MAX_STEPS)

    def test_strict_base64(self) -> None:
        """What another reader might take for something else is refused."""
        self.assertEqual(decode_response(b"d29yZA=="), b"word")
        for line in (b"d29yZA", b"d29y ZA==", b"d29yZA==\n", b"d29yZA==x", b"=", b"\xff"):
            with self.assertRaises(Invalid):
                decode_response(line)
