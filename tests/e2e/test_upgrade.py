"""
What a released version left in its directory is all there for this one.

``tests/fixtures/data-v1.tar.gz`` holds a directory and what the program that made it showed of it
through IMAP, POP3, the API, the web UI and the command line (``observing.py``); this program is
asked the same.
"""

import json
import re
import shutil
import smtplib
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dkim
from twisted.trial.unittest import SynchronousTestCase

from fe_mail.accounts.effects import NOT_YET
from tests.e2e.support import wait_for
from tests.fixtures.observing import Server, anyone, deliver_waiting, look, operator

FIXTURES = Path(__file__).parents[1] / "fixtures"
# Mail that waited sealed is given its ModSeq when it is taken in, which is now.
TAKEN_IN = re.compile(r'INTERNALDATE "[^"]* (06:50:2\d|07:06:40) ')
MODSEQ = re.compile(r"(HIGHEST)?MODSEQ \(?\d+\)?")
# What is advised and named otherwise since then, on purpose.
ADVICE = re.compile(r"v=DMARC1; p=[^\"\n]*")
BANNED = re.compile(r"(banned@example\.net +)(user|user, banned) ")
# Settings that nothing acts upon are stored and shown as off.
SHOWN_AS_OFF = re.compile(rf"/(\d+/)?({'|'.join(name.partition('.')[2] for name in NOT_YET)}): ")
NEW_PASSWORD = "another horse stapled the battery 97"


def unpacked(name: str) -> tuple[Path, dict[str, Any], dict[str, Any]]:
    """A copy of the directory, what is known of it, and what was seen."""
    place = Path(tempfile.mkdtemp(prefix="fe-mail-e2e-"))
    with tarfile.open(FIXTURES / f"{name}.tar.gz") as tar:
        tar.extractall(place, filter="data")
    known = json.loads((FIXTURES / f"{name}.json").read_text())
    return place, known, json.loads((place / "seen.json").read_text())


def missing(old: Any, new: Any, path: str = "") -> list[str]:
    """What of ``old`` is not the same in ``new``, which may have more names."""
    if isinstance(old, dict) and isinstance(new, dict):
        return [text for k in old for text in missing(old[k], new.get(k), f"{path}/{k}")]
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        pairs = enumerate(zip(old, new, strict=True))
        return [text for n, (a, b) in pairs for text in missing(a, b, f"{path}/{n}")]
    return [] if old == new else [f"{path}: {old!r} became {new!r}"]


def same(text: str) -> str:
    """Without what changed on purpose."""
    return BANNED.sub(r"\1", ADVICE.sub("v=DMARC1", text))


def gone(old: str, new: str) -> list[str]:
    """The lines of an old table whose words are in no line of the new one, which may say more."""
    rows = [set(line.split()) for line in new.splitlines()]
    return [
        line
        for line in old.splitlines()
        if not line.isupper() and not any(set(line.split()) <= row for row in rows)
    ]


def mailbox(seen: Mapping[str, Any]) -> dict[str, Any]:
    """Without the ModSeqs of what is new."""
    found = dict(seen)
    for name, folder in seen.items():
        if isinstance(folder, dict) and any(map(TAKEN_IN.search, folder["messages"])):
            messages = [
                MODSEQ.sub("", text) if TAKEN_IN.search(text) else text
                for text in folder["messages"]
            ]
            status = [MODSEQ.sub("", text) for text in folder["status"]]
            found[name] = {**folder, "messages": messages, "status": status}
    return found


class UpgradeTests(SynchronousTestCase):
    """From version 1 of every schema."""

    maxDiff = None
    timeout = 300

    def setUp(self) -> None:
        """A copy of what the old program left."""
        place, self.known, self.seen = unpacked("data-v1")
        self.addCleanup(shutil.rmtree, place, ignore_errors=True)
        self.directory = place / "data"

    def test_nothing_is_lost(self) -> None:
        """Accounts, mailboxes, sealed mail, the queue; then the queue is delivered."""
        then, now = self.seen["at rest"], look(self.directory, self.known)
        for question, answer in then["operator"].items():
            self.assertEqual(gone(same(answer), same(now["operator"][question])), [], question)
        for path, answer in then["api"].items():
            (status, old), (status_now, new) = (x.split(" ", 1) for x in (answer, now["api"][path]))
            self.assertEqual(status, status_now, path)
            other = missing(json.loads(same(old)), json.loads(same(new)))
            self.assertEqual([text for text in other if not SHOWN_AS_OFF.match(text)], [], path)
        self.assertEqual(then["web"], json.loads(json.dumps(now["web"])))
        self.assertEqual(missing(mailbox(then["imap"]), mailbox(now["imap"])), [])
        self.assertEqual(missing(then["pop3"], now["pop3"]), [])
        self.assert_whole()
        self.assertEqual(deliver_waiting(self.directory, self.known), self.seen["delivered"])
        self.assert_whole()

    def test_stored_before_the_kill(self) -> None:
        """What was in the mailbox when its delivery was cut short is delivered no second time."""
        found = deliver_waiting(self.directory, self.known)
        for place in ("open", "sealed"):
            for source in ("mx", "submission"):
                mark = f"Subject: Queued, stored-{place}-{source}\r\n"
                self.assertEqual(sum(mark in text for text in found), 1, mark)

    def test_recovery_code(self) -> None:
        """It still opens the mailbox, and a new password does afterwards; the old one does not."""
        address = self.known["alice"]["address"]
        changed = operator(
            self.directory, "password", address, "--current", stdin=self.known["recovery"] + "\n"
        )
        password = re.search(r"Password:\s+(\S+)", changed)
        assert password, changed
        with Server(self.directory, "imap") as server:
            session = server.imap(address, password[1])
            self.assertEqual(session.select("INBOX", readonly=True)[0], "OK")
            session.logout()
            with self.assertRaisesRegex(Exception, "AUTHENTICATIONFAILED"):
                server.imap(address, self.known["alice"]["password"])

    def test_domain_signs_with_its_key(self) -> None:
        """A message that is sent now bears the signature that the published record proves."""
        address, password = self.known["alice"]["address"], self.known["alice"]["password"]
        records = json.loads(
            operator(self.directory, "domain", "records", "fixture.test", "--json")
        )
        (record,) = (
            each["value"].encode() for each in records if "v=DKIM1" in (each["value"] or "")
        )
        with Server(self.directory, "imap,smtp,smtp-bree") as server:
            with smtplib.SMTP("127.0.0.1", server.ports["SMTP"], timeout=30) as client:
                client.starttls(context=anyone())
                client.login(address, password)
                body = f"From: {address}\r\nTo: {address}\r\nSubject: signed now\r\n\r\nbody\r\n"
                client.sendmail(address, [address], body)
            session = server.imap(address, password)

            def arrived() -> bytes:
                session.select("INBOX", readonly=True)
                return bytes(session.search(None, "SUBJECT", '"signed now"')[1][0])

            number = wait_for("the message", arrived).decode()
            raw = session.fetch(number, "(BODY.PEEK[])")[1][0][1]
            session.logout()
        self.assertTrue(dkim.verify(raw, dnsfunc=lambda *_, **__: record))

    def assert_whole(self) -> None:
        """``fe-mail verify``, inside the mailbox too."""
        said = operator(
            self.directory,
            "verify",
            "--mailbox",
            self.known["alice"]["address"],
            stdin=self.known["alice"]["password"] + "\n",
        )
        self.assertEqual(said.splitlines()[-1], "Every invariant holds.", said)
