"""The POP3 dialogues of tests/dialogues, played against the real server."""

from tests.dialogue import play
from tests.pop3.base import POP3TestCase


class SecureDialogueTests(POP3TestCase):
    """Dialogues under TLS."""

    def test_session(self) -> None:
        """A session from greeting to QUIT."""
        play("pop3_session.txt", self.connect, self.clock)

    def test_retr(self) -> None:
        """RETR and TOP are byte-stuffed and end their lines."""
        play("pop3_retr.txt", self.connect, self.clock)

    def test_errors(self) -> None:
        """Wrong commands are refused, one reply each."""
        play("pop3_errors.txt", self.connect, self.clock)

    def test_auth(self) -> None:
        """SASL with its ways to fail."""
        play("pop3_auth.txt", self.connect, self.clock)

    def test_failures(self) -> None:
        """Guessing ends the connection."""
        play("pop3_failures.txt", self.connect, self.clock)

    def test_pipelining(self) -> None:
        """Many commands in one segment."""
        play("pop3_pipelining.txt", self.connect, self.clock)
        self.assertEqual(self.inbox(), (1, 3))

    def test_line_ends(self) -> None:
        """What was written with bare line feeds does nothing."""
        play("pop3_line_ends.txt", self.connect, self.clock)
        self.assertEqual(self.inbox(), (1, 2, 3))

    def test_timeouts(self) -> None:
        """Autologout, which deletes nothing."""
        play("pop3_timeouts.txt", self.connect, self.clock)
        self.assertEqual(self.inbox(), (1, 2, 3))


class ClearDialogueTests(POP3TestCase):
    """Dialogues without TLS."""

    is_secure = False

    def test_clear(self) -> None:
        """No login in the clear."""
        play("pop3_clear.txt", self.connect, self.clock)
