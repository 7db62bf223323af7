"""The memory that all connections share, as receptions use it: strangers who send long headers."""

from fe_mail.budget import Budget
from fe_mail.model.envelope import Envelope
from fe_mail.model.errors import Unavailable
from fe_mail.policy.limits import MAX_HEADER_OCTETS
from fe_mail.reception.letter import Letter
from tests.queue.base import MESSAGE, PostOfficeTestCase
from tests.reception.test_submission import SubmissionTestCase

HEADER = b"X: " + b"x" * 200_000  # and no end of it
CROWD = 100


class LetterTests(PostOfficeTestCase):
    """What is charged for a header."""

    def setUp(self) -> None:
        """Memory for all that one wants."""
        super().setUp()
        self.memory = Budget(10_000_000)

    def letter(self, *, examines: bool = True) -> Letter:
        """A letter that is being received."""
        return Letter(Envelope(reverse_path=None), 0.0, examines=examines, memory=self.memory)

    def test_header_only(self) -> None:
        """The header, however much body follows, and not more than its limit."""
        letter = self.letter(examines=False)
        letter.feed(b"A: b\r\n\r\n" + b"x" * 100_000)
        letter.feed(b"x" * 100_000)
        self.assertEqual(self.memory.used, 8)
        letter.close()
        letter.close()
        self.assertEqual(self.memory.used, 0)
        self.letter().feed(HEADER * 10)
        self.assertEqual(self.memory.used, MAX_HEADER_OCTETS + 1)

    def test_tiny_fields(self) -> None:
        """Fields that are kept for the signatures cost more than their octets."""
        letter = self.letter()
        letter.feed(b"a:b\r\n" * 4000 + b"\r\n")
        self.assertGreater(self.memory.used, 4000 * 200)
        letter.close()
        self.assertEqual(self.memory.used, 0)

    def test_used_up(self) -> None:
        """Who gets nothing keeps nothing."""
        self.memory = Budget(1000)
        letter = self.letter()
        letter.feed(b"A: " + b"x" * 900)
        self.assertRaises(Unavailable, letter.feed, b"x" * 900)
        self.assertEqual(self.memory.used, 0)


class InboundTests(PostOfficeTestCase):
    """A hundred strangers, memory for five."""

    def test_crowd(self) -> None:
        """They hear that it is too much; when they are gone, mail is taken again."""
        memory = self.reception.memory = Budget(5 * 200_010)
        crowd = [
            self.reception.begin(self.envelope("alice@example.org"), None) for _ in range(CROWD)
        ]
        for spooling in crowd:
            self.now(spooling.write(HEADER))
        self.assertLessEqual(memory.used, memory.octets)
        codes = [self.now(spooling.finish()).code for spooling in crowd[CROWD // 2 :]]
        self.assertEqual(codes, [451] * (CROWD // 2))
        for spooling in crowd[: CROWD // 2]:
            self.now(spooling.abort())
        self.assertEqual(memory.used, 0)
        polite = self.reception.begin(self.envelope("alice@example.org"), None)
        self.now(polite.write(MESSAGE))
        self.assertGreater(memory.used, 0)
        self.assertEqual(self.now(polite.finish()).code, 250)
        self.assertEqual(memory.used, 0)


class SubmissionTests(SubmissionTestCase):
    """Our own users share it."""

    def test_used_up(self) -> None:
        """The message is refused for now, and nothing stays in hand."""
        memory = self.reception.memory = Budget(10)
        self.assertEqual(self.submit().code, 451)
        self.assertEqual((memory.used, self.reception.octets_in_hand), (0, 0))
        self.reception.memory = Budget()
        self.assertEqual(self.submit().code, 250)
        self.assertEqual(self.reception.memory.used, 0)
