"""An alias whose recipient is a web address: a program gets the mail, and knows from whom."""

import base64
import http.server
import json
import subprocess
import sys
import threading
import urllib.request
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.delivery.test_webhook import documented_check
from tests.e2e.support import shared_server, wait_for

PROGRAM = Path(sys.executable).with_name("fe-mail")


class Hook(http.server.BaseHTTPRequestHandler):
    """Keeps what is posted; the first request of each path gets 503."""

    received: list[tuple[str, dict[str, str], bytes]]

    def do_POST(self) -> None:
        """One message."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        is_first = all(path != self.path for path, _, _ in self.received)
        self.received.append((self.path, dict(self.headers), body))
        self.send_response(503 if is_first else 200)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Not to the terminal."""


class WebhookTests(SynchronousTestCase):
    """A running demo, and a program on the same machine."""

    def setUp(self) -> None:
        """Start both."""
        self.server = shared_server()
        Hook.received = []
        self.web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hook)
        threading.Thread(target=self.web.serve_forever, daemon=True).start()
        self.addCleanup(self.web.server_close)
        self.addCleanup(self.web.shutdown)

    def api(self, path: str, **body: object) -> Any:
        """POST to the API as the admin."""
        token = base64.b64encode(f"{self.server.facts['api_token']}:".encode()).decode()
        request = urllib.request.Request(
            self.server.facts["api"] + path,
            data=json.dumps(body).encode(),
            headers={"Authorization": f"Basic {token}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def test_message_reaches_the_program(self) -> None:
        """From the MX to the hook: parsed, with its attachment, signed, and again after 503."""
        url = f"http://127.0.0.1:{self.web.server_port}/hook"
        self.api("/v1/domains/demo.test/aliases", name="hook", recipients=[url])
        message = EmailMessage()
        message["From"] = "Zoë <zoe@client.test>"
        message["To"] = "hook@demo.test"
        message["Subject"] = "Grüße"
        message["Message-ID"] = "<hook-1@client.test>"
        message.set_content("Hello program\n")
        message.add_attachment(bytes(range(256)), "image", "png", filename="ß.png")
        with self.server.mx() as client:
            client.send_message(message, "zoe@client.test", ["hook@demo.test"])
        wait_for("the second request", lambda: len(Hook.received) == 2)
        (_, _, refused), (path, headers, body) = Hook.received
        self.assertEqual((path, body), ("/hook", refused))
        self.assertEqual(headers["Content-Type"], "application/json")
        self.assertTrue(headers["User-Agent"].startswith("fe-mail/"))
        key = subprocess.run(
            [PROGRAM, "--directory", self.server.directory, "domain", "webhook-key", "demo.test"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        is_genuine = documented_check()
        self.assertTrue(is_genuine(key, body, headers["X-Webhook-Signature"]))
        self.assertFalse(is_genuine(key, body + b" ", headers["X-Webhook-Signature"]))
        mail = json.loads(body)
        self.assertEqual(mail["subject"], "Grüße")
        self.assertEqual(mail["from"]["value"], [{"address": "zoe@client.test", "name": "Zoë"}])
        self.assertEqual(mail["messageId"], "<hook-1@client.test>")
        self.assertEqual(mail["text"].strip(), "Hello program")
        (attachment,) = mail["attachments"]
        self.assertEqual(attachment["filename"], "ß.png")
        self.assertEqual(bytes(attachment["content"]["data"]), bytes(range(256)))
        self.assertEqual(mail["recipients"], ["hook@demo.test"])
        self.assertEqual(mail["session"]["sender"], "zoe@client.test")
        self.assertEqual(mail["session"]["remoteAddress"], "127.0.0.1")
        self.assertIn("Received: from client.test", mail["raw"])

    def test_other_machines_get_nothing(self) -> None:
        """The demo sends nothing into the world, not even this."""
        self.api("/v1/domains/demo.test/aliases", name="far", recipients=["https://far.test/x"])
        with self.server.mx() as client:
            client.sendmail("x@client.test", ["far@demo.test"], b"Subject: far\r\n\r\nbody\r\n")
        listed = subprocess.run(
            [PROGRAM, "--directory", self.server.directory, "queue", "list"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        self.assertRegex(listed, r"https://far\.test/x +held \(demo\)")
