"""
Messages that were made to do harm, all the way from the MX to IMAP.

While they are taken in, indexed and read another session keeps asking; how long it waits for its
answers is what other people feel of the attack. It is compared with what the same person feels of
honest messages of the same sizes, so that a slow machine changes nothing. What is over the rules'
limits is refused at the end of DATA, everything else arrives octet for octet.
"""

import imaplib
import smtplib
import statistics
import threading
import time
import uuid
from collections.abc import Mapping

from twisted.trial.unittest import SynchronousTestCase

from tests.e2e.support import DemoServer, shared_server, wait_for
from tests.message import test_hostile as bombs

PAUSE_SECONDS = 0.005
MAX_RATIO = 5.0  # of an answer to NOOP beside bombs and beside honest mail, median and slowest
LAG_NOISE_SECONDS = 0.02  # of a machine that does nothing
MAX_SECONDS = 10.0  # for one message, from the MX until it was read: patience, not a bound


def folded(name: bytes, line: bytes, count: int) -> bytes:
    """One field of many lines."""
    return name + b": " + b"\r\n ".join([line] * count) + b"\r\n"


LINE = b"An honest line of seventy octets, which nobody has any trouble with at\r\n"
ODD_CHARSET = b"Content-Type: text/plain; charset=base64\r\n\r\n"
TAKEN = {
    "100,000 parts": bombs.parts(100_000),
    "10,000 levels": bombs.nesting(10_000),
    "circles": bombs.cycle(50_000),
    "forwarded": bombs.forwarded(10_000),
    "near delimiters": bombs.near_delimiters(50_000),
    "continuations": bombs.continuations(8_000),
    "15,000 addresses": bombs.recipients(15_000),
    "half addresses": folded(b"To", b"a@b@" * 200, 250) + b"\r\n",
    "charset base64": ODD_CHARSET + (b"x" * 70 + b"\r\n") * 1_000,
    "big HTML": b"Content-Type: text/html\r\n\r\n" + (b"<p>a&amp;b</p> " * 50 + b"\r\n") * 8_000,
}  # fmt: skip
REFUSED = {
    "header of 1 MB": folded(b"Subject", b"x" * 900, 1_100) + b"\r\nx\r\n",
    "100,000 addresses": bombs.recipients(100_000),
    "20,000 fields": b"X: y\r\n" * 20_000 + b"\r\nx\r\n",
}


class Pulse:
    """Somebody whose session asks all the time, and how long she waits."""

    def __init__(self, server: DemoServer) -> None:
        self.waits: list[float] = []
        self._session = server.imap("bob")
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)
        self._thread.start()

    def _beat(self) -> None:
        while not self._stop.wait(PAUSE_SECONDS):
            began = time.monotonic()
            self._session.noop()
            self.waits.append(time.monotonic() - began)

    def end(self) -> None:
        """Log out."""
        self._stop.set()
        self._thread.join()
        self._session.logout()


class BombTests(SynchronousTestCase):
    """The chain as it is in real use: MX, queue, mailbox, IMAP."""

    def setUp(self) -> None:
        """Start the server with the first test, and feel its pulse."""
        self.server = shared_server()
        self.address, _ = self.server.alias("alice")

    def send(self, raw: bytes) -> None:
        """To the MX."""
        with self.server.mx() as client:
            client.sendmail("x@x.test", [self.address], raw)

    def read(self, session: imaplib.IMAP4, mark: str) -> bytes:
        """Structure, envelope and body of the message with this mark."""

        def look() -> bytes:
            session.noop()
            found: bytes = session.uid("SEARCH", "HEADER", "X-Mark", mark)[1][0]
            return found

        uid = wait_for("the bomb to arrive", look).decode()
        structure = session.uid("FETCH", uid, "(ENVELOPE BODYSTRUCTURE)")
        self.assertEqual(structure[0], "OK")
        return bytes(session.uid("FETCH", uid, "(BODY.PEEK[])")[1][0][1])

    def felt(self, messages: Mapping[str, bytes]) -> list[float]:
        """How long bob waits while alice gets and reads these; they arrive as they were sent."""
        session = self.server.imap("alice")
        session.select("INBOX")
        pulse = Pulse(self.server)
        try:
            for name, message in messages.items():
                mark = uuid.uuid4().hex
                raw = f"X-Mark: {mark}\r\n".encode() + message
                began = time.monotonic()
                self.send(raw)
                got = self.read(session, mark)
                self.assertLess(time.monotonic() - began, MAX_SECONDS, name)
                self.assertEqual(got[got.find(b"X-Mark") :].rstrip(), raw.rstrip(), name)
        finally:
            pulse.end()
        session.logout()
        return pulse.waits

    def test_taken(self) -> None:
        """Stored as it came, readable, and others feel no more of it than of honest mail."""
        honest = self.felt({name: b"\r\n" + LINE * (len(raw) // 72) for name, raw in TAKEN.items()})
        bombed = self.felt(TAKEN)
        self.assertGreater(len(bombed), 50)
        for of in (statistics.median, max):
            self.assertLess(of(bombed), MAX_RATIO * (of(honest) + LAG_NOISE_SECONDS))

    def test_taken_while_locked(self) -> None:
        """The next login takes in what was sealed meanwhile, and shows all of it."""
        marks = {name: uuid.uuid4().hex for name in TAKEN}
        for name, bomb in TAKEN.items():
            self.send(f"X-Mark: {marks[name]}\r\n".encode() + bomb)
        session = self.server.imap("alice")
        session.select("INBOX")
        for name, mark in marks.items():
            self.assertIn(TAKEN[name].rstrip(), self.read(session, mark), name)
        session.logout()

    def test_refused(self) -> None:
        """Over a limit: said at the end of DATA, so that the sender knows."""
        for name, bomb in REFUSED.items():
            error = self.assertRaises(smtplib.SMTPDataError, self.send, bomb)
            self.assertEqual(error.smtp_code, 554, name)
