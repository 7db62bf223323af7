"""Tests of fe_mail.accounts.hosted_names: which domains may be added."""

from twisted.trial.unittest import SynchronousTestCase

from fe_mail.accounts.hosted_names import hosted_name
from fe_mail.model.errors import Invalid


class HostedNameTests(SynchronousTestCase):
    """Domains that mail could come here for, and the reasons why others are refused."""

    def test_good(self) -> None:
        """As they are stored."""
        for text in (" Example.ORG. ", "gmail.com.example.org", "mail.gmail.example"):
            self.assertEqual(text.strip().rstrip(".").lower(), hosted_name(text))

    def test_reasons(self) -> None:
        """Each refusal says what is wrong with this one."""
        for text, reason in (
            ("gmail.com", "belongs to a mail provider"),
            ("Outlook.COM.", "belongs to a mail provider"),
            ("1.2.3.4", "1.2.3.4 is an IP address"),
            ("[1.2.3.4]", "1.2.3.4 is an IP address"),
            ("2001:db8::1", "2001:db8::1 is an IP address"),
            ("firma", "only a part of a domain"),
            ("", "Write the name of your domain"),
            ("a b.dk", "not valid"),
            ("fir_ma.dk", "not valid"),
        ):
            error = self.assertRaises(Invalid, hosted_name, text)
            self.assertIn(reason, str(error.sentence), text)
            self.assertEqual("domain", error.field)
