"""A session does not read what it knows, and misses no hint about what it does not know."""

from typing import Any

from twisted.internet.defer import Deferred

from tests.imap.base import IMAPTestCase, message
from tests.imap.model import LateMailbox

__all__ = ["EconomyTests", "HintTests"]


class EconomyTests(IMAPTestCase):
    """A session does not read what it knows."""

    def setUp(self) -> None:
        """Four messages, and a count of looks into the store."""
        super().setUp()
        self.add(*[message(f"m{number}") for number in range(4)])
        self.session = self.logged_in("INBOX")
        mailbox = self.session.protocol.session.mailbox  # type: ignore[attr-defined]
        changes, self.looks = mailbox.changes, 0

        async def counted(folder_id: int, since: int, claim_recent: bool = False) -> Any:
            self.looks += 1
            return await changes(folder_id, since, claim_recent)

        mailbox.changes = counted

    def test_own_changes(self) -> None:
        """STORE, \\Seen, MOVE and EXPUNGE are not read back, though other folders change too."""
        for command in (
            b"store 1 +flags (\\Flagged)",
            b"fetch 2 body[]<0.1>",
            b"store 3 +flags.silent (\\Deleted)",
            b"expunge",
            b"move 1 Archive",
            b"store 1:* +flags ($Work)",
            b"search unseen",
        ):
            self.add(message("elsewhere"), folder="Junk")
            self.ask(self.session, command)
            self.turn()
        self.assertEqual(self.looks, 0)

    def test_changes_of_others(self) -> None:
        """One look tells of another session's change, also when ours came right after it."""
        other = self.logged_in("INBOX")
        self.ask(other, b"store 1 +flags (\\Flagged)")
        self.assertEqual(
            self.ask(self.session, b"store 2 +flags (\\Seen)"),
            [
                b"* 2 FETCH (FLAGS (\\Seen \\Recent))",
                b"* 1 FETCH (FLAGS (\\Flagged \\Recent))",
                b"t OK Stored.",
            ],
        )
        self.turn()
        self.ask(self.session, b"search all")
        self.assertEqual(self.looks, 1)

    def test_change_of_nothing(self) -> None:
        """STORE of what is set already hides nothing of what another session did."""
        other = self.logged_in("INBOX")
        self.ask(self.session, b"store 4 +flags (\\Flagged)")
        self.turn()
        self.ask(other, b"move 1 Archive")
        self.add(message("new"))
        self.assertEqual(
            self.ask(self.session, b"uid store 4 +flags (\\Flagged)"),
            [
                b"* 4 FETCH (UID 4 FLAGS (\\Flagged \\Recent))",
                b"* 5 EXISTS",
                b"* 5 RECENT",
                b"* 1 EXPUNGE",
                b"t OK Stored.",
            ],
        )


class HintTests(IMAPTestCase):
    """Hints that come while a session waits for its store."""

    def setUp(self) -> None:
        """A session with a mailbox that can be late."""
        super().setUp()
        self.add(message("one"))
        self.connection = self.logged_in("INBOX")
        self.session: Any = self.connection.protocol.session  # type: ignore[attr-defined]
        self.late = self.session._mailbox = LateMailbox(self.session._mailbox)

    def finish(self) -> list[bytes]:
        """The store is quick again; what was said."""
        self.late.is_late = False
        while self.late.next():
            pass
        lines = []
        while (line := self.connection.line()) is not None:
            lines.append(line)
        return lines

    def test_arrival_during_select(self) -> None:
        """What comes between the look of SELECT and its answer is told at once."""
        self.late.is_late = True
        self.connection.send(b"s SELECT INBOX\r\n")
        self.late.next()  # the folder was read
        self.add(message("two"))
        self.turn()
        told = self.finish()
        self.assertIn(b"* 1 EXISTS", told)
        self.assertIn(b"* 2 EXISTS", told)

    def test_sealed_mail_during_take_in(self) -> None:
        """A hint that more mail waits is kept while mail is taken in."""
        taken: list[Deferred[None]] = []

        async def take_in() -> int:
            taken.append(Deferred())
            await taken[-1]
            return 0

        self.session._mailbox.take_in = take_in
        self.session._mail_waits({})
        self.connection.send(b"n UID SEARCH ALL\r\n")
        self.session._mail_waits({})
        taken[0].callback(None)
        self.assertEqual(len(taken), 2)
        taken[1].callback(None)
        self.ask(self.connection, b"uid search all")
        self.assertEqual(len(taken), 2)
