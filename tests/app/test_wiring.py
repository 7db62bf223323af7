"""Tests of fe_mail.app.wiring: what the accounts are told of the server."""

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from fe_mail.app.config import load
from fe_mail.app.wiring import make_site


class SiteTests(SynchronousTestCase):
    """Names follow the listeners."""

    def hosts(self, **environ: str) -> dict[str, tuple[str, ...]]:
        """Host names with what they serve."""
        config = load(Path(self.mktemp()), {"DOMAIN": "a.test", **environ}, write=False)
        return {host.name: host.services for host in make_site(config).hosts}

    def test_hosts(self) -> None:
        """Whatever listens has a name; what does not needs none."""
        every = {
            "mx.a.test": ("mx",),
            "smtp.a.test": ("smtp",),
            "imap.a.test": ("imap",),
            "pop3.a.test": ("pop3",),
            "a.test": ("web",),
            "api.a.test": ("api",),
        }
        self.assertEqual(self.hosts(), every)
        without = {name: does for name, does in every.items() if name != "pop3.a.test"}
        self.assertEqual(self.hosts(POP3_PORT="0"), without)
        listening = self.hosts(POP3_PORT="0", POP3_LISTEN="tcp:995")
        self.assertEqual(listening, every)

    def test_one_host_for_all(self) -> None:
        """A name is listed once, with all that it does."""
        found = self.hosts(SMTP_HOST="mail.a.test", IMAP_HOST="mail.a.test", API_HOST="a.test")
        self.assertEqual(found["mail.a.test"], ("smtp", "imap"))
        self.assertEqual(found["a.test"], ("web", "api"))
