"""
The first hour of a newcomer, in a real browser against a real first start; and the daily life of
somebody with hundreds of aliases, on a desk and on a phone.

twistd runs as in production (no demo): the Basic-auth gate, registration of the first account, a
domain whose records the test publishes in a name server of its own as the page says, the live
check, an alias, its password shown once; then mail to that alias, read with IMAP, and answered.
"""

import base64
import imaplib
import json
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
import urllib.request
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
import dns.zone
from twisted.trial.unittest import SynchronousTestCase

from tests.e2e.support import DemoServer, require, wait_for

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


class BrowserTestCase(SynchronousTestCase):
    """A browser."""

    timeout = 300

    def launch(self) -> Any:
        """Start it; it ends with the test."""
        chromium = require("chromium", "chromium")
        try:
            from playwright.sync_api import sync_playwright
        except ImportError:
            raise unittest.SkipTest("install playwright (make does)") from None
        playwright = sync_playwright().start()
        self.addCleanup(playwright.stop)
        browser = playwright.chromium.launch(
            executable_path=chromium,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        self.addCleanup(browser.close)
        return browser


class OnboardingTests(BrowserTestCase):
    """Register, add domain, add alias, generate password, send, receive, reply."""

    def setUp(self) -> None:
        """A browser, a name server, a server in its first run."""
        browser = self.launch()
        self.names = NameServer()
        self.names.start()
        self.addCleanup(self.names.socket.close)
        self.server = FirstRun(self.names)
        self.addCleanup(self.server.stop)
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
        self.come_from_elsewhere()
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

    def come_from_elsewhere(self) -> None:
        """A link on another site finds the visitor signed in; a form there does nothing."""
        page = f"https://localhost:{self.server.ports['WEB_HTTPS']}/en/my-account/security"
        link = f"<a href='{page}'>a link</a>"
        form = f"<form method='post' action='{page}'><button>a form</button></form>"
        self.page.goto(f"data:text/html,{link}{form}")
        self.page.get_by_text("a link").click()
        self.page.get_by_role("heading", name="API token").wait_for()
        self.page.goto(f"data:text/html,{link}{form}")
        self.page.get_by_text("a form").click()
        self.page.get_by_text("from another site").wait_for()

    def add_domain(self) -> None:
        """The server's own is offered; its set-up page shows the records to publish."""
        self.go("/en/my-account/domains/new")
        self.assertEqual("first.test", self.page.locator("input[name=domain]").input_value())
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
        # Whether port 25 of an address that only we believe in answers, nobody can tell; and it has
        # no PTR record.
        text = self.page.locator("main").inner_text()
        self.assertIn("Something is missing, and not everything can be told", text)
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


MANY = 120
LONG = "an-address-that-somebody-has-really-given-to-a-shop-far-away"


class DailyTests(BrowserTestCase):
    """The demo's admin, with many aliases."""

    def setUp(self) -> None:
        """The demo, filled by its API."""
        self.browser = self.launch()
        self.server = DemoServer()
        self.addCleanup(self.server.destroy)
        self.server.start()
        for number in range(MANY):
            self.add(f"shop-{number:03}", recipients=[f"{LONG}@example.org", "b@example.org"])
        self.add(LONG, description="x" * 150, labels=["a-long-label", "another-long-label"])
        self.base = "/my-account/domains/demo.test"

    def add(self, name: str, **fields: object) -> None:
        """An alias."""
        facts = self.server.facts
        token = base64.b64encode(f"{facts['api_token']}:".encode()).decode()
        body = json.dumps({"name": name, **fields}).encode()
        headers = {"Authorization": f"Basic {token}", "Content-Type": "application/json"}
        url = f"{facts['api']}/v1/domains/demo.test/aliases"
        request = urllib.request.Request(url, body, headers)
        urllib.request.urlopen(request, timeout=20).close()

    def visit(self, **options: Any) -> Any:
        """A page of somebody who has just signed in."""
        context = self.browser.new_context(**options)
        self.addCleanup(context.close)
        page = context.new_page()
        page.set_default_timeout(WAIT_MILLISECONDS)
        page.goto(f"{self.server.facts['web']}/login")
        page.locator("#email").fill(self.server.facts["admin"]["email"])
        page.locator("#password").fill(self.server.facts["admin"]["password"])
        page.locator("main form button").click()
        page.wait_for_url("**/my-account/domains")
        return page

    def go(self, page: Any, path: str, language: str = "en") -> None:
        """Open a page."""
        page.goto(f"{self.server.facts['web']}/{language}{path}")

    def test_no_page_is_too_wide(self) -> None:
        """On a phone of 360 pixels, and on a small desk, in both languages: nothing is wider."""
        for width in (360, 740, 1000):
            page = self.visit(viewport={"width": width, "height": 800})
            for language in ("en", "da"):
                for path in (
                    "/my-account/domains", "/my-account/domains/new", "/my-account/profile",
                    "/my-account/security", "/my-account/security/new-token", "/my-account/remove",
                    self.base, f"{self.base}/remove", f"{self.base}/webhook-key",
                    f"{self.base}/aliases", f"{self.base}/aliases?q={LONG}",
                    f"{self.base}/aliases?to=alice", f"{self.base}/aliases/new",
                    f"{self.base}/aliases/{LONG}", f"{self.base}/aliases/{LONG}/disable",
                    f"{self.base}/aliases/{LONG}/remove",
                    f"{self.base}/aliases/alice/generate-password",
                    f"{self.base}/aliases/alice/generate-password/anew",
                ):  # fmt: skip
                    self.go(page, path, language)
                    wide = page.evaluate("document.documentElement.scrollWidth")
                    self.assertLessEqual(wide, width, (path, language, width))

    def test_one_line_each(self) -> None:
        """On a desk a row is one line, however long its address; all of it is told to who asks."""
        page = self.visit(viewport={"width": 1000, "height": 800})
        self.go(page, f"{self.base}/aliases")
        heights = page.evaluate(
            "[...document.querySelectorAll('tbody tr')].map(e => e.getBoundingClientRect().height)"
        )
        self.assertEqual(50, len(heights))
        self.assertLess(max(heights), 60)
        long = page.locator(f"a[title='{LONG}@demo.test']")
        self.assertIn(f"{LONG}@demo.test", long.inner_text())

    def test_back_where_one_was(self) -> None:
        """Without any script: edit on page two of a search, and come back to that row."""
        page = self.visit(java_script_enabled=False)
        self.go(page, f"{self.base}/aliases")
        page.locator("#q").fill("shop-")
        page.get_by_role("button", name="Search").click()
        page.get_by_role("link", name="Next").click()
        page.get_by_role("link", name="shop-060@demo.test").first.click()
        page.get_by_label("Description").fill("Found again")
        page.get_by_role("button", name="Save").click()
        page.wait_for_url("**/aliases?q=shop-&**page=2#alias-*")
        self.assertIn("Found again", page.locator("tr:target").inner_text())
        self.assertIn("The alias was saved.", page.title())

    def test_removal_is_asked(self) -> None:
        """The browser itself wants the tick; with it the alias goes."""
        page = self.visit()
        self.go(page, f"{self.base}/aliases/shop-001")
        page.get_by_role("link", name="Remove this alias").click()
        button = page.get_by_role("button", name="Remove this alias")
        button.click()
        self.assertIn("/shop-001/remove", page.url)
        page.get_by_label("I understand").check()
        button.click()
        page.wait_for_url("**/aliases")
        said = page.locator("#said")
        wait_for("the notice to be announced", lambda: "removed" in said.inner_text())

    def test_errors_are_seen(self) -> None:
        """Also inside what was closed: it opens, and the field has the focus and the message."""
        page = self.visit()
        self.add("paul", has_imap=True)
        self.go(page, f"{self.base}/aliases/paul/generate-password")
        page.get_by_text("Choose the password yourself").click()
        page.get_by_label("New password").fill("abc")
        page.get_by_role("button", name="Generate password").click()
        field = page.get_by_label("New password")
        self.assertTrue(field.is_visible())
        self.assertEqual("new_password", page.evaluate("document.activeElement.id"))
        self.assertTrue(page.locator("#new_password-error").is_visible())
        self.assertTrue(page.title().startswith("Error: "))

    def test_language_of_the_visitor(self) -> None:
        """A Danish browser gets Danish, also after a link to an English page."""
        context = self.browser.new_context(locale="da-DK")
        self.addCleanup(context.close)
        page = context.new_page()
        self.go(page, "/login")
        page.goto(f"{self.server.facts['web']}/login")
        self.assertEqual("da", page.locator("html").get_attribute("lang"))
