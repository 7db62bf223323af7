"""Other people's clients: swaks, curl and mbsync against the running demo."""

import json
import subprocess
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.e2e.support import require, shared_server


def run(*command: str | Path, stdin: str = "") -> str:
    """Run a client; its output. A failure shows everything that it said."""
    done = subprocess.run(
        [str(part) for part in command],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if done.returncode != 0:
        raise AssertionError(
            f"{command[0]} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
        )
    return done.stdout


class ClientTests(SynchronousTestCase):
    """One demo server for all of them."""

    def setUp(self) -> None:
        """Start it with the first test."""
        self.server = shared_server()

    def test_swaks_submits_with_starttls(self) -> None:
        """STARTTLS, AUTH PLAIN and LOGIN on the submission port."""
        swaks = require("swaks", "swaks")
        alice, password = self.server.alias("alice")
        bob, _ = self.server.alias("bob")
        for mechanism in ("PLAIN", "LOGIN"):
            said = run(
                swaks, "--server", f"127.0.0.1:{self.server.port('submission')}", "--tls",
                "--auth", mechanism, "--auth-user", alice, "--auth-password", password,
                "--from", alice, "--to", bob, "--h-From", alice,
                "--header", f"Subject: swaks {mechanism}",
            )  # fmt: skip
            self.assertIn("250 2.0.0", said)
            self.server.inbox("bob", f"swaks {mechanism}")

    def test_swaks_delivers_to_the_mx(self) -> None:
        """STARTTLS and PIPELINING on the MX."""
        swaks = require("swaks", "swaks")
        bob, _ = self.server.alias("bob")
        port = self.server.port("mx")
        run(
            swaks, "--server", f"127.0.0.1:{port}", "--tls", "--pipeline", "--helo", "client.test",
            "--from", "x@client.test", "--to", bob, "--header", "Subject: swaks to MX",
        )  # fmt: skip
        self.assertIn(b"ESMTPS", self.server.inbox("bob", "swaks to MX"))

    def test_curl_speaks_all_three(self) -> None:
        """curl sends with SMTPS, reads with IMAPS and POP3S, and asks the API."""
        curl = [
            require("curl", "curl"),
            "--silent",
            "--show-error",
            "--cacert",
            self.server.facts["ca"],
        ]
        alice, password = self.server.alias("alice")
        login = ["--user", f"{alice}:{password}"]
        run(
            *curl, *login, f"smtps://localhost:{self.server.port('submissions')}",
            "--mail-from", alice, "--mail-rcpt", alice, "--upload-file", "-",
            stdin=f"From: {alice}\r\nTo: {alice}\r\nSubject: from curl\r\n\r\ncurl was here\r\n",
        )  # fmt: skip
        self.server.inbox("alice", "from curl")
        found = run(
            *curl, *login, f"imaps://localhost:{self.server.port('imaps')}/INBOX",
            "--request", 'SEARCH SUBJECT "from curl"',
        ).split()  # fmt: skip
        uid = found[-1]
        read = run(
            *curl, *login, f"imaps://localhost:{self.server.port('imaps')}/INBOX;MAILINDEX={uid}"
        )
        self.assertIn("curl was here", read)
        listed = run(*curl, *login, f"pop3s://localhost:{self.server.port('pop3s')}/")
        self.assertTrue(listed.strip())

    def test_curl_asks_the_api(self) -> None:
        """The token of demo.json opens the API."""
        curl = [require("curl", "curl"), "--silent", "--show-error", "--fail-with-body"]
        api, token = self.server.facts["api"], self.server.facts["api_token"]
        account = json.loads(run(*curl, "--user", f"{token}:", f"{api}/v1/account"))
        self.assertEqual(account["email"], self.server.facts["admin"]["email"])
        aliases = json.loads(
            run(*curl, "--user", f"{token}:", f"{api}/v1/domains/demo.test/aliases?name=alice")
        )
        self.assertEqual([alias["name"] for alias in aliases], ["alice"])
        made = json.loads(
            run(*curl, "--user", f"{token}:", "--data", "name=carol&has_imap=true",
                f"{api}/v1/domains/demo.test/aliases")
        )  # fmt: skip
        self.assertEqual(made["object"], "alias")
        password = json.loads(
            run(*curl, "--user", f"{token}:", "--request", "POST",
                f"{api}/v1/domains/demo.test/aliases/carol/generate-password")
        )  # fmt: skip
        self.assertEqual(password["username"], "carol@demo.test")

    def test_mbsync_keeps_a_maildir_in_step(self) -> None:
        """What is in the mailbox comes down byte by byte, what is new locally goes up."""
        mbsync = require("mbsync", "isync")
        bob, password = self.server.alias("bob")
        with self.server.mx() as client:
            client.sendmail("x@client.test", [bob], b"Subject: down\r\n\r\nfrom the server\r\n")
        self.server.inbox("bob", "down")
        maildir = self.server.directory / "maildir"
        maildir.mkdir()
        configuration = self.server.directory / "mbsyncrc"
        configuration.write_text(
            f"IMAPStore remote\nHost localhost\nPort {self.server.port('imaps')}\nUser {bob}\n"
            f"Pass {password}\nSSLType IMAPS\nCertificateFile {self.server.facts['ca']}\n\n"
            f"MaildirStore local\nPath {maildir}/\nInbox {maildir}/INBOX\nSubFolders Verbatim\n\n"
            "Channel all\nFar :remote:\nNear :local:\nPatterns *\nCreate Both\nExpunge Both\n"
            "SyncState *\n"
        )
        configuration.chmod(0o600)
        run(mbsync, "--config", configuration, "all")
        texts = [path.read_bytes() for path in maildir.rglob("INBOX/*/*") if path.is_file()]
        self.assertTrue([text for text in texts if b"from the server" in text])
        self.assertTrue((maildir / "Sent Mail").is_dir(), "folders come down too")
        (maildir / "INBOX" / "new" / "1.2.local").write_bytes(b"Subject: up\n\nfrom here\n")
        run(mbsync, "--config", configuration, "all")
        self.assertIn(b"from here", self.server.inbox("bob", "up"))
