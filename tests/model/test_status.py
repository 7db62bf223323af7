"""Tests of fe_mail.model.status: one table for all who have to say what an error means."""

from twisted.trial.unittest import SynchronousTestCase

from fe_mail.model import errors
from fe_mail.model.status import TEMPORARY, Status, status_for


class StatusTests(SynchronousTestCase):
    """The value."""

    def test_line(self) -> None:
        """As logs and reports show it; what is empty leaves no gap."""
        self.assertEqual(Status(451, "4.4.1", "No answer").line, "451 4.4.1 No answer")
        self.assertEqual(Status(220, "", "mx.test").line, "220 mx.test")
        self.assertEqual(Status(250, "2.0.0").line, "250 2.0.0")

    def test_classes(self) -> None:
        """A 3xx is neither a yes nor a no."""
        found = [(Status(code).is_positive, Status(code).is_permanent) for code in (250, 354, 451)]
        self.assertEqual(found, [(True, False), (False, False), (False, False)])
        self.assertTrue(Status(550).is_permanent)


class TableTests(SynchronousTestCase):
    """Errors of ours."""

    def test_permanent(self) -> None:
        """Only what the sender or the recipient has to change is permanent."""
        permanent = {
            name for name in errors.__all__ if status_for(getattr(errors, name)()).is_permanent
        }
        self.assertEqual(
            permanent,
            {"AuthenticationFailed", "Invalid", "Malformed", "PermissionDenied", "TooBig"},
        )

    def test_private(self) -> None:
        """What is wrong inside, or was not found there, is not told."""
        for kind in (errors.Corrupt, errors.Conflict, errors.NotFound, errors.Unavailable):
            self.assertIs(status_for(kind("/var/lib/x is damaged")), TEMPORARY)

    def test_subclass(self) -> None:
        """A special case of an error has its status, with its own text."""

        class TooLong(errors.TooBig):
            """A test."""

        self.assertEqual(status_for(TooLong("Too long.")), Status(552, "5.3.4", "Too long."))
