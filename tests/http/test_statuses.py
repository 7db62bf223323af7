"""Every error of ours has a status."""

from twisted.trial.unittest import SynchronousTestCase

from fe_mail.http.statuses import error_object, status_of
from fe_mail.model import errors


class StatusTests(SynchronousTestCase):
    """The table."""

    def test_all(self) -> None:
        """Only damaged data and a wrong schema are our own faults."""
        faults = {name for name in errors.__all__ if status_of(getattr(errors, name)()) == 500}
        self.assertEqual({"MailError", "Corrupt", "Missing", "SchemaTooNew"}, faults)

    def test_codes(self) -> None:
        """Some messages of the reference have a status of their own."""
        self.assertEqual(400, status_of(errors.Invalid()))
        self.assertEqual(403, status_of(errors.Invalid(code="WRONG_PASSWORD")))
        self.assertEqual(408, status_of(errors.Invalid(code="DNS_TIMEOUT")))

    def test_object(self) -> None:
        """What every client reads."""
        self.assertEqual(
            {"statusCode": 404, "error": "Not Found", "message": "Gone."},
            error_object(404, "Gone."),
        )
