"""Big messages whose octets are lost behind their beginning, and errors that are no damage."""

from fe_mail.imap.fetch import CHUNK_OCTETS
from fe_mail.mailboxes.damage import MAX_REMEMBERED, BrokenOff
from fe_mail.model.errors import Unavailable
from fe_mail.model.mailbox import INLINE_BODY_OCTETS
from tests.damage import PIECE_OCTETS, lose_piece
from tests.dialogue import Connection
from tests.imap.base import KEY, IMAPTestCase, message

__all__ = ["BrokenOffTests"]

BIG = message("big", "x" * (INLINE_BODY_OCTETS + 2 * PIECE_OCTETS))


class BrokenOffTests(IMAPTestCase):
    """Message 2 of three breaks off."""

    def setUp(self) -> None:
        """The second piece of it is lost."""
        super().setUp()
        self.add(message("one"), BIG, message("three"))
        lose_piece(self.directory, self.alice.id, KEY, 2, piece=1)

    def fetch(self, items: bytes) -> tuple[Connection, bytes]:
        """All three, on a connection of its own; what the server said."""
        connection = self.logged_in("INBOX")
        connection._taken += len(connection.rest())
        connection.send(b"f UID FETCH 1:* (%s)\r\n" % items)
        return connection, connection.rest()

    def test_cut_once(self) -> None:
        """The first client is cut off; when it comes back, the others are told, and all goes on."""
        connection, said = self.fetch(b"BODY.PEEK[]")
        self.assertTrue(connection.is_closed)
        self.assertLess(CHUNK_OCTETS, len(said))
        for _ in range(2):
            connection, said = self.fetch(b"BODY.PEEK[]")
            self.assertFalse(connection.is_closed)
            self.assertIn(message("one"), said)
            self.assertIn(message("three"), said)
            self.assertNotIn(b"* 2 FETCH", said)
            self.assertTrue(said.endswith(b"f NO [CORRUPTION] Some messages cannot be read.\r\n"))

    def test_behind_what_can_be_read(self) -> None:
        """Nor is anything promised when the damage is in a later section of the same response."""
        items = b"BODY.PEEK[]<0.140000> BODY.PEEK[TEXT]<200000.140000>"
        self.assertTrue(self.fetch(items)[0].is_closed)
        connection, said = self.fetch(items)
        self.assertFalse(connection.is_closed)
        self.assertNotIn(b"* 2 FETCH", said)

    def test_flag(self) -> None:
        """That \\Seen was set is told, though nothing else can be."""
        self.fetch(b"BODY.PEEK[]")
        _, said = self.fetch(b"BODY[]")
        self.assertIn(b"* 2 FETCH (FLAGS (\\Seen))\r\n", said)
        view = self.now(self.mailbox.select("INBOX", claim_recent=False))
        self.assertEqual(view.flags_of(1), {"\\Seen"})

    def test_what_can_be_read(self) -> None:
        """It is still told of the same message."""
        self.fetch(b"BODY.PEEK[]")
        _, said = self.fetch(b"BODY.PEEK[]<0.140000>")
        self.assertIn(b"* 2 FETCH (UID 2 BODY[]<0> {140000}\r\n", said)
        self.assertTrue(said.endswith(b"f OK Fetched.\r\n"))

    def test_unavailable(self) -> None:
        """A store that cannot answer now has neither damaged nor lost the message."""

        async def fail(*_: object) -> bytes:
            raise Unavailable("Try later.")

        connection = self.logged_in("INBOX")
        mailbox = connection.protocol.session._mailbox  # type: ignore[attr-defined]
        mailbox.read = fail
        self.assertEqual(
            self.ask(connection, b"fetch 2 body.peek[]"), [b"t NO [UNAVAILABLE] Try later."]
        )

    def test_memory_is_bounded(self) -> None:
        """The oldest is forgotten."""
        known = BrokenOff()
        for uid in range(MAX_REMEMBERED + 1):
            known.add(self.mailbox, 1, uid)
        self.assertFalse(known.has(self.mailbox, 1, 0))
        self.assertTrue(known.has(self.mailbox, 1, MAX_REMEMBERED))
        self.assertFalse(known.has(self.mailbox, 2, MAX_REMEMBERED))
