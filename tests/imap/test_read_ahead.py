"""Tests of fe_mail.imap.read_ahead."""

from collections.abc import Sequence
from typing import Any

from fe_mail.model.mailbox import FetchedMessage, Want
from tests.dialogue import Connection
from tests.imap.base import IMAPTestCase, message

__all__ = ["ReadAheadTests"]


class Counting:
    """Passes everything on to a mailbox and notes what is fetched."""

    def __init__(self, mailbox: Any) -> None:
        self._mailbox = mailbox
        self.fetches: list[tuple[int, ...]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._mailbox, name)

    async def fetch(
        self, folder_id: int, uids: Sequence[int], want: Want
    ) -> tuple[FetchedMessage, ...]:
        """Note and fetch."""
        self.fetches.append(tuple(uids))
        found: tuple[FetchedMessage, ...] = await self._mailbox.fetch(folder_id, uids, want)
        return found


class ReadAheadTests(IMAPTestCase):
    """Fewer reads, the same answers."""

    def session(self) -> tuple[Connection, Counting]:
        """Twenty messages."""
        self.add(*[message(str(number)) for number in range(1, 21)])
        connection = self.logged_in("INBOX")
        session = connection.protocol.session  # type: ignore[attr-defined]
        session._mailbox = Counting(session._mailbox)
        return connection, session._mailbox

    def subject(self, connection: Connection, number: int, item: bytes = b"body.peek[]") -> bytes:
        """The subject line of a message."""
        lines = self.ask(connection, b"fetch %d %s" % (number, item))
        return next((line for line in lines if line.startswith(b"Subject")), b"")

    def test_upwards(self) -> None:
        """Neighbors are read in growing batches."""
        connection, mailbox = self.session()
        for number in range(1, 21):
            self.assertEqual(self.subject(connection, number), b"Subject: %d" % number)
        self.assertEqual(list(map(len, mailbox.fetches)), [1, 2, 4, 8, 5])

    def test_downwards(self) -> None:
        """Newest first works as well."""
        connection, mailbox = self.session()
        for number in range(20, 0, -1):
            self.assertEqual(self.subject(connection, number), b"Subject: %d" % number)
        self.assertLess(len(mailbox.fetches), 7)

    def test_random_access_reads_nothing_ahead(self) -> None:
        """Nor does a second item mix with the first."""
        connection, mailbox = self.session()
        for number in (1, 5, 3, 9):
            self.subject(connection, number)
        self.subject(connection, 10, b"body.peek[header]")
        self.assertEqual(list(map(len, mailbox.fetches)), [1] * 5)

    def test_flags_are_never_ahead(self) -> None:
        """Flags come from the view, \\Seen only with the asking."""
        connection, _ = self.session()
        for number in range(1, 5):
            self.subject(connection, number)
        self.ask(connection, b"uid store 5 +flags.silent (\\Flagged)")
        lines = self.ask(connection, b"fetch 5 (body[] flags)")
        self.assertIn(b" FLAGS (\\Flagged \\Seen \\Recent))", lines)
        self.assertEqual(self.ask(connection, b"search seen")[0], b"* SEARCH 5")

    def test_vanished(self) -> None:
        """A message that another session expunged is not served from memory."""
        connection, _ = self.session()
        for number in range(1, 6):
            self.subject(connection, number)
        folder_id = connection.protocol.session.view.folder.id  # type: ignore[attr-defined]
        self.now(self.mailbox.remove(folder_id, (6,)))
        self.turn()
        self.assertEqual(self.subject(connection, 6), b"")
