"""The README's commands for a newcomer, on a server: mail arrives, or it is told why not."""

import smtplib
import socket
import tempfile
from pathlib import Path

from tests.e2e.test_operator import CommandCase
from tests.e2e.test_running import ServiceCase

PASSWORD = "mulled otter 84 quay\n"


class NewcomerTests(ServiceCase, CommandCase):
    """``user add admin@example.org``, ``domain add example.org``."""

    def setUp(self) -> None:
        """A server that nobody has used."""
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]
        directory = Path(tempfile.mkdtemp(prefix="fe-mail-e2e-"))
        (directory / ".env").write_text("DOMAIN=example.org\n")
        environ = {"MX_LISTEN": f"tcp:{self.port}:interface=127.0.0.1"}
        self.log = self.launch(environ, directory=directory)
        self.command("user", "add", "admin@example.org", stdin=PASSWORD)
        self.added = self.command("domain", "add", "example.org")

    def ask(self, *recipients: str, sender: str = "carol@elsewhere.test") -> list[int]:
        """The codes of RCPT, in one transaction."""
        with smtplib.SMTP("127.0.0.1", self.port, "client.test", timeout=20) as client:
            client.ehlo()
            client.mail(sender)
            return [client.rcpt(recipient)[0] for recipient in recipients]

    def test_everything_arrives(self) -> None:
        """After these two steps alone: the account's address, any other, those of RFC 2142."""
        self.assertIn("User name:     admin@example.org", self.added)
        self.assertIn("Recovery code:", self.added)
        recipients = (
            *("admin@example.org", "anything@example.org", "abuse@example.org"),
            *("postmaster@example.org", "<postmaster>", "Postmaster@mx.example.org"),
        )
        self.assertEqual(self.ask(*recipients), [250] * len(recipients))
        with smtplib.SMTP("127.0.0.1", self.port, "client.test", timeout=20) as client:
            client.sendmail("carol@elsewhere.test", ["info@example.org"], "Subject: x\r\n\r\nx")
        self.assertIn("Every address leads somewhere.", self.command("route"))
        self.assertIn("admin@example.org", self.command("route", "postmaster@example.org"))

    def test_dead_ends_are_told(self) -> None:
        """A circle is refused; what is removed under another is told of, and mail waits."""
        circle = self.command(
            "alias", "add", "a@example.org", "--recipient", "a@example.org", expect=1
        )
        self.assertIn("a@example.org leads to itself.", circle)
        self.command("alias", "add", "sales@example.org", "--recipient", "x@elsewhere.test")
        self.command("alias", "add", "info@example.org", "--recipient", "sales@example.org")
        self.command("alias", "remove", "*@example.org", "--yes")
        said = self.command("alias", "remove", "sales@example.org", "--yes")
        missing = "info@example.org leads to sales@example.org, which does not exist."
        self.assertIn(f"Note: {missing}", said)
        self.assertIn(missing, self.command("route", expect=1))
        asked = self.ask("info@example.org", "nobody@example.org", "admin@example.org")
        self.assertEqual(asked, [451, 550, 250])
        self.assertIn("Mail for info@example.org waits with its senders", "".join(self.log))

    def test_postmaster_cannot_be_switched_off(self) -> None:
        """Neither by an alias that is disabled nor by removing the catch-all."""
        self.command("alias", "remove", "*@example.org", "--yes")
        self.command(
            *("alias", "add", "postmaster@example.org", "--no-enabled"),
            *("--recipient", "x@elsewhere.test"),
        )
        asked = self.ask("postmaster@example.org", "abuse@example.org", "info@example.org")
        self.assertEqual(asked, [250, 250, 550])

    def test_forged_reports(self) -> None:
        """The catch-all of the server's own domain takes nothing that looks like SRS."""
        forged = "SRS0=AAAAAA=AA=elsewhere.test=carol@example.org"
        self.assertEqual(self.ask(forged, sender=""), [550])
        self.assertEqual(self.ask(forged), [550])

    def test_elsewhere(self) -> None:
        """Whoever wants another address gets it; one of the new domain does not exist yet."""
        self.command("domain", "add", "other.test", "--catchall", "x@elsewhere.test")
        self.assertIn("forward", self.command("route", "any@other.test"))
        self.command("domain", "add", "none.test", "--catchall", "none")
        self.assertIn("5.1.1", self.command("route", "any@none.test", expect=1))
        said = self.command("domain", "add", "third.test", "--catchall", "x@third.test", expect=1)
        self.assertIn("does not exist yet", said)

    def test_names(self) -> None:
        """Domains are listed in Unicode, and understood either way."""
        self.command("domain", "add", "blåbær.example")
        self.assertIn("blåbær.example", self.command("domain", "list"))
        self.command("alias", "add", "x@blåbær.example", "--recipient", "a@røgeri.example")
        listed = self.command("alias", "list", "xn--blbr-roah.example")
        self.assertIn("x@blåbær.example", listed)
        self.assertIn("a@røgeri.example", listed)
        self.assertNotIn("xn--", listed)
