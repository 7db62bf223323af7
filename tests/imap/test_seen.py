"""\\Seen of messages that are read one by one is stored behind the client's back."""

from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure

from fe_mail.imap.fetch import CHUNK_OCTETS
from fe_mail.model.errors import Unavailable
from fe_mail.model.mailbox import INLINE_BODY_OCTETS, FlagResult
from fe_mail.ports import OpenMailbox
from tests.dialogue import Connection
from tests.imap.base import IMAPTestCase, message

__all__ = ["SeenTests"]

COUNT = 6


class LateMailbox:
    """Passes everything on to a mailbox, but ``store_flags`` waits for a gate."""

    def __init__(self, mailbox: OpenMailbox) -> None:
        self._mailbox = mailbox
        self.gates: list[Deferred[None]] = []
        self.asked: list[list[int]] = []
        self.reading: Deferred[None] | None = None  # ``read`` waits for it, once it is set

    def __getattr__(self, name: str) -> Any:
        return getattr(self._mailbox, name)

    async def store_flags(self, folder_id: int, uids: Sequence[int], *more: Any) -> FlagResult:
        """Later, or it fails."""
        self.asked.append(list(uids))
        self.gates.append(Deferred())
        await self.gates[-1]
        return await self._mailbox.store_flags(folder_id, uids, *more)

    async def read(self, folder_id: int, uid: int, start: int, end: int) -> bytes:
        """A piece; not the first one waits."""
        if self.reading is not None and start:
            await self.reading
        return await self._mailbox.read(folder_id, uid, start, end)


class SeenTests(IMAPTestCase):
    """One session, whose store takes its time."""

    def setUp(self) -> None:
        """Six unseen messages."""
        super().setUp()
        self.add(*[message(f"m{number}") for number in range(COUNT)])
        self.session: Connection = self.logged_in("INBOX")
        session = self.session.protocol.session  # type: ignore[attr-defined]
        self.late = LateMailbox(session._mailbox)
        session._mailbox = session._seen._mailbox = self.late

    def read_all(self) -> None:
        """Read one after the other; each is told at once."""
        for number in range(1, COUNT + 1):
            told = self.ask(self.session, b"fetch %d body[]<0.1>" % number)
            self.assertIn(b"FLAGS (\\Seen \\Recent)", told[1])
            self.assertEqual(told[-1], b"t OK Fetched.")

    def stored(self) -> int:
        """How many messages are seen in the store."""
        (status,) = self.now(self.mailbox.status(["INBOX"]))
        return status.messages - status.unseen

    def test_many_share_a_write(self) -> None:
        """Two writes for six messages; other commands begin when both are done."""
        self.read_all()
        self.session.send(b"s SEARCH UNSEEN\r\n")
        self.assertEqual(self.late.asked, [[1]])
        self.late.gates[0].callback(None)
        self.assertEqual(self.late.asked, [[1], [2, 3, 4, 5, 6]])
        self.assertEqual(self.session.rest(), b"")
        self.late.gates[1].callback(None)
        self.assertEqual(self.session.rest(), b"* SEARCH\r\ns OK Searched.\r\n")
        self.assertEqual(self.stored(), COUNT)

    def test_each_is_stored_once(self) -> None:
        """What was read again while it is under way is not written again."""
        self.read_all()
        self.assertEqual(len(self.ask(self.session, b"fetch 1 body[]<0.1>")), 2 + 1)
        self.late.gates[0].callback(None)
        self.late.gates[1].callback(None)
        asked = [uid for uids in self.late.asked for uid in uids]
        self.assertEqual(asked, list(range(1, COUNT + 1)))

    def test_what_fails_is_taken_back(self) -> None:
        """The client hears that the flag was not set after all, and reading went on."""
        self.read_all()
        self.late.gates[0].errback(Unavailable())
        self.late.gates[1].callback(None)
        told = self.ask(self.session, b"noop")
        self.assertEqual(told[0], b"* 1 FETCH (FLAGS (\\Recent))")
        self.assertEqual(self.stored(), COUNT - 1)

    def test_flag_of_another_session(self) -> None:
        """It comes with what the store answers, and is told, though the view knows it by then."""
        self.ask(self.session, b"fetch 1 body[]<0.1>")
        other = self.logged_in("INBOX")
        self.ask(other, b"store 1 +flags (\\Flagged)")
        self.late.gates[0].callback(None)
        told = self.ask(self.session, b"noop")
        self.assertEqual(told[0], b"* 1 FETCH (FLAGS (\\Flagged \\Seen \\Recent))")

    def test_nothing_of_a_folder_that_is_left(self) -> None:
        """Who selects another folder counts anew; a number of the old one would mislead it."""
        self.now(self.mailbox.create_folder("Empty"))
        self.now(self.mailbox.create_folder("Twin"))
        self.add(*[message(f"t{number}") for number in range(COUNT)], folder="Twin")
        selecting = (b"SELECT Empty", b"EXAMINE Twin", b"SELECT Gone")
        leaving = (*selecting, b"CLOSE", b"UNSELECT", b"LOGOUT")
        for number, leave in enumerate(leaving, 1):
            self.ask(self.session, b"select INBOX")
            self.ask(self.session, b"fetch %d body[]<0.1>" % number)
            other = self.logged_in("INBOX")
            self.ask(other, b"store %d +flags (\\Flagged)" % number)
            self.session.send(b"l %s\r\n" % leave)
            self.assertEqual(self.session.rest(), b"")
            self.late.gates[-1].callback(None)
            told = self.session.rest()
            self.session._taken += len(told)
            self.assertIn(b"l ", told)
            self.assertNotIn(b"FETCH", told, leave)
        self.assertEqual(self.stored(), len(leaving))

    def test_what_breaks_is_taken_back(self) -> None:
        """A defect is no different for the client, and what waited is stored all the same."""
        self.read_all()
        self.late.gates[0].errback(ZeroDivisionError())
        self.late.gates[1].callback(None)
        told = self.ask(self.session, b"noop")
        self.assertEqual(told[0], b"* 1 FETCH (FLAGS (\\Recent))")
        self.assertEqual(self.stored(), COUNT - 1)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_what_fails_within_a_literal(self) -> None:
        """The flag is taken back in the middle of a big body, and told behind its response."""
        raw = message("big", "x" * (INLINE_BODY_OCTETS + 2 * CHUNK_OCTETS))
        self.add(raw)
        self.ask(self.session, b"noop")
        self.late.reading = Deferred()
        self.session.send(b"f FETCH %d BODY[]\r\n" % (COUNT + 1))
        self.assertLess(CHUNK_OCTETS, len(self.session.rest()))
        self.assertLess(len(self.session.rest()), len(raw))
        self.late.gates[0].errback(Unavailable())
        self.late.reading.callback(None)
        self.session.send(b"n NOOP\r\n")
        before, body, after = self.session.rest().partition(raw)
        self.assertTrue(before.endswith(b"BODY[] {%d}\r\n" % len(raw)))
        self.assertEqual(body, raw)
        self.assertEqual(
            after.splitlines()[-3:],
            [
                b"f OK Fetched.",
                b"* %d FETCH (FLAGS (\\Recent))" % (COUNT + 1),
                b"n OK Done.",
            ],
        )

    def test_defect_within_a_literal(self) -> None:
        """No reply can be told from the body any more: the connection is cut."""
        self.add(message("big", "x" * (INLINE_BODY_OCTETS + 2 * CHUNK_OCTETS)))
        self.ask(self.session, b"noop")
        self.late.reading = Deferred()
        self.session.send(b"f FETCH %d BODY.PEEK[]\r\n" % (COUNT + 1))
        begun = self.session.rest()
        self.late.reading.errback(ZeroDivisionError())
        self.assertEqual(self.session.rest(), begun)
        self.assertTrue(self.session.is_closed)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_client_that_goes(self) -> None:
        """What it read is stored all the same, and then the mailbox given back."""
        file = self.mailboxes._open[self.alice.id]  # type: ignore[attr-defined]
        self.read_all()
        handles = file.handles
        self.session.protocol.connectionLost(  # type: ignore[attr-defined]
            Failure(ConnectionDone())
        )
        self.late.gates[0].callback(None)
        self.assertEqual(file.handles, handles)
        self.late.gates[1].callback(None)
        self.assertEqual((self.stored(), file.handles), (COUNT, handles - 1))

    def test_condstore(self) -> None:
        """A client that wants ModSeqs waits for them."""
        self.ask(self.session, b"enable condstore")
        self.session.send(b"f FETCH 1 BODY[]<0.1>\r\n")
        self.assertEqual(self.session.rest(), b"")
        self.late.gates[0].callback(None)
        self.assertIn(b"FLAGS (\\Seen \\Recent) MODSEQ (", self.session.rest())
