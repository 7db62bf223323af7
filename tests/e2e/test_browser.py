"""
The first hour of a newcomer, in a real browser against a real first start.

twistd runs as in production (no demo): the Basic-auth gate, registration of the first account, a
domain whose records the test publishes in a name server of its own as the page says, the live
check, an alias, its password shown once; then mail to that alias, read with IMAP, and answered.
"""

import imaplib
import os
import re
import signal
import smtplib
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import unittest
from email.message import EmailMessage
from pathlib import Path

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
import dns.zone
from twisted.trial.unittest import SynchronousTestCase

from tests.e2e.support import require, wait_for

ADMIN_PASSWORD = "correct horse battery staple 42"
WAIT_MILLISECONDS = 15_000


def free_port() -> int:
    """A TCP port that nobody has."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class NameServer(threading.Thread):
    """Answers from ``records``: (name, type) to texts of rdata. Unknown names do not exist."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.records: dict[tuple[str, str], list[str]] = {}

    @property
    def port(self) -> int:
        """Of UDP on loopback."""
        return int(self.socket.getsockname()[1])

    def run(self) -> None:
        """Until the socket is closed."""
        while True:
            try:
                wire, client = self.socket.recvfrom(4096)
            except OSError:
                return
            query = dns.message.from_wire(wire)
            answer = dns.message.make_response(query, recursion_available=True)
            question = query.question[0]
            name = question.name.to_text(omit_final_dot=True).lower()
            kind = dns.rdatatype.to_text(question.rdtype)
            if not any(known == name for known, _ in self.records):
                answer.set_rcode(dns.rcode.NXDOMAIN)
            for text in self.records.get((name, kind), []):
                answer.answer.append(dns.rrset.from_text(question.name, 60, "IN", kind, text))
            self.socket.sendto(answer.to_wire(), client)


class FirstRun:
    """``twistd fe-mail`` in a new directory, with names of ours."""

    def __init__(self, names: NameServer) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="fe-mail-e2e-"))
        listeners = [
            "MX",
            "SMTP",
            "SUBMISSION",
            "IMAP",
            "POP3",
            "WEB_HTTPS",
            "WEB",
            "API",
            "METRICS",
        ]
        self.ports = {name: free_port() for name in listeners}
        environ = {f"{name}_PORT": str(port) for name, port in self.ports.items()}
        environ |= {
            "DOMAIN": "first.test",
            "DNS_SERVERS": f"127.0.0.1#{names.port}",
            "WEB_URL": f"https://localhost:{self.ports['WEB_HTTPS']}",
            "AUTH_BASIC_PASSWORD": "gate-password",
            "SERVER_ADDRESSES": "192.0.2.25",
        }
        twistd = str(Path(sys.executable).with_name("twistd"))
        self.process = subprocess.Popen(
            [twistd, "--nodaemon", "--pidfile=", "fe-mail", "--directory", str(self.directory)],
            env={**os.environ, **environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.lines: list[str] = []
        threading.Thread(target=self._collect, daemon=True).start()
        wait_for("the server", lambda: any("Ready after" in line for line in self.lines), 60)

    def _collect(self) -> None:
        assert self.process.stdout is not None
        self.lines.extend(self.process.stdout)

    @property
    def context(self) -> ssl.SSLContext:
        """Trusts the self-signed certificate."""
        return ssl.create_default_context(cafile=str(self.directory / "ssl" / "fullchain.pem"))

    def stop(self) -> None:
        """End it."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(20)


class OnboardingTests(SynchronousTestCase):
    """Register, add domain, add alias, generate password, send, receive, reply."""

    timeout = 300

    def setUp(self) -> None:
        """A browser, a name server, a server in its first run."""
        chromium = require("chromium", "chromium")
        try:
            from playwright.sync_api import sync_playwright
        except ImportError:
            raise unittest.SkipTest("install playwright (make does)") from None
        self.names = NameServer()
        self.names.start()
        self.addCleanup(self.names.socket.close)
        self.server = FirstRun(self.names)
        self.addCleanup(self.server.stop)
        playwright = sync_playwright().start()
        self.addCleanup(playwright.stop)
        browser = playwright.chromium.launch(
            executable_path=chromium,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        self.addCleanup(browser.close)
        self.page = browser.new_page(
            ignore_https_errors=True,
            http_credentials={"username": "admin", "password": "gate-password"},
        )
        self.page.set_default_timeout(WAIT_MILLISECONDS)
        self.complaints: list[str] = []
        self.page.on(
            "console",
            lambda said: self.complaints.append(said.text) if said.type == "error" else None,
        )

    def go(self, path: str) -> None:
        """Open a page."""
        self.page.goto(f"https://localhost:{self.server.ports['WEB_HTTPS']}{path}")

    def test_from_nothing_to_an_answered_message(self) -> None:
        """Everything that a newcomer does, once."""
        self.register()
        self.add_domain()
        self.publish_and_check()
        username, password = self.add_alias()
        self.exchange_mail(username, password)
        broken = [text for text in self.complaints if "Content Security Policy" in text]
        self.assertEqual(broken, [], "a page broke its own policy")

    def register(self) -> None:
        """The first account becomes the admin."""
        self.go("/")
        self.page.get_by_label("E-mail address").first.fill("owner@elsewhere.example")
        self.page.get_by_label("Password").first.fill(ADMIN_PASSWORD)
        self.page.get_by_role("button", name="Create account").first.click()
        self.page.wait_for_url("**/my-account/domains**")

    def add_domain(self) -> None:
        """Its set-up page shows the records to publish."""
        self.go("/en/my-account/domains/new")
        self.page.locator("input[name=domain]").fill("first.test")
        self.page.get_by_role("button", name="Add domain").click()
        self.page.wait_for_url("**/my-account/domains/first.test")

    def publish_and_check(self) -> None:
        """The check explains what is missing, and is content when it is there."""
        check = self.page.get_by_role("button", name="Check the records now")
        check.click()
        text = self.page.locator("main").inner_text()
        self.assertIn("forward-email-site-verification=", text)
        self.publish()
        self.page.get_by_role("button", name="Check the records now").click()
        wait_for(
            "the domain to verify",
            lambda: "MX correct" in self.page.locator("main").inner_text(),
            20,
        )
        # Whether port 25 of an address that only we believe in answers, nobody can tell.
        text = self.page.locator("main").inner_text()
        self.assertIn("Nothing wrong was found, but not everything can be told", text)
        self.assertIn("nobody answers at port 25 of 192.0.2.25", text)

    def publish(self) -> None:
        """What the command line says is to be published, in our name server."""
        program = Path(sys.executable).with_name("fe-mail")
        listed = subprocess.run(
            [
                *(program, "--directory", str(self.server.directory)),
                *("domain", "records", "first.test", "--zone"),
            ],
            env={**os.environ, "DOMAIN": "first.test", "SERVER_ADDRESSES": "192.0.2.25"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        zone = dns.zone.from_text(listed, check_origin=False, relativize=False)
        for name, node in zone.nodes.items():
            for found in node.rdatasets:
                key = (name.to_text(omit_final_dot=True), dns.rdatatype.to_text(found.rdtype))
                self.names.records[key] = [rdata.to_text() for rdata in found]

    def add_alias(self) -> tuple[str, str]:
        """An address with a mailbox, and its password."""
        self.go("/en/my-account/domains/first.test/aliases/new")
        self.page.locator("input[name=name]").fill("me")
        self.page.locator("input[name=has_imap]").check()
        recipients = self.page.locator("textarea[name=recipients]")
        recipients.fill("")
        self.page.get_by_role("button", name="Add alias").click()
        self.page.wait_for_url("**/me/generate-password")
        self.page.get_by_role("button", name="Generate password").click()
        shown = self.page.locator("main").inner_text()
        self.assertIn("me@first.test", shown)
        self.assertRegex(shown, r"(?i)recovery code")
        codes = self.page.locator("main code").all_inner_texts()
        password = next(code for code in codes if re.fullmatch(r"[A-Za-z0-9]{24}", code))
        return "me@first.test", password

    def exchange_mail(self, username: str, password: str) -> None:
        """Somebody writes, the newcomer reads and answers; the answer is queued for the world."""
        question = EmailMessage()
        question["From"], question["To"] = "friend@elsewhere.example", username
        question["Subject"] = "Are you there?"
        question.set_content("Hello?\n")
        with smtplib.SMTP("127.0.0.1", self.server.ports["MX"], "client.test", 30) as mx:
            mx.send_message(question)
        imap = imaplib.IMAP4_SSL(
            "localhost", self.server.ports["IMAP"], ssl_context=self.server.context, timeout=30
        )
        imap.login(username, password)

        def arrived() -> bool:
            imap.select("INBOX")
            return bool(imap.search(None, "SUBJECT", '"Are you there?"')[1][0])

        wait_for("the question", arrived)
        answer = EmailMessage()
        answer["From"], answer["To"] = username, username
        answer["Subject"] = "Re: Are you there?"
        answer.set_content("Yes.\n")
        with smtplib.SMTP("localhost", self.server.ports["SUBMISSION"], timeout=30) as client:
            client.starttls(context=self.server.context)
            client.login(username, password)
            client.send_message(answer)

        def answered() -> bool:
            imap.select("INBOX")
            return bool(imap.search(None, "SUBJECT", '"Re: Are you there?"')[1][0])

        wait_for("the answer", answered)
        imap.logout()
