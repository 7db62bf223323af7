"""Tests of fe_mail.imap.server, conversation, session and factory: what dialogues cannot show."""

import base64
import hashlib
import hmac

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure

from fe_mail.adapters.memory.bus import MemoryBus
from fe_mail.adapters.sqlite.mailbox import SQLiteMailboxStore
from fe_mail.adapters.sqlite.schema import open_connection
from fe_mail.adapters.threads import InlineThreads
from fe_mail.connection.registry import DRAIN_SECONDS, Limits
from fe_mail.imap.conversation import MAX_MESSAGE_OCTETS_IN_HAND, SMALL_OCTETS
from fe_mail.imap.framing import APPEND_LIMIT_OCTETS, MAX_WAITING_OCTETS
from fe_mail.imap.server import IMAPServer
from fe_mail.model.errors import Corrupt, Unavailable
from fe_mail.model.mailbox import Delivery, NewMessage
from tests.dialogue import Connection
from tests.imap.base import KEY, PASSWORD, IMAPTestCase, message

__all__ = ["EndingTests", "FlowTests", "LimitTests", "ScramTests"]

GONE = Failure(ConnectionDone())


class FlowTests(IMAPTestCase):
    """Back-pressure both ways."""

    def big(self, octets: int = 3_000_000) -> bytes:
        """A message too big to be kept in one piece."""
        return message("big", body="".join(f"{n:08d}\r\n" for n in range(octets // 10)))

    def test_big_bodies_are_streamed(self) -> None:
        """While the client does not read, only a chunk goes out; then all of it, unchanged."""
        raw = self.big()
        self.add(raw)
        connection = self.logged_in("INBOX")
        outlet = connection.transport.producer
        outlet.pauseProducing()
        connection.send(b"a FETCH 1 BODY.PEEK[]\r\n")
        self.assertLess(len(connection.rest()), 256 * 1024)
        steps = 0
        while b"a OK" not in connection.rest()[-100:]:
            outlet.pauseProducing()
            before = len(connection.rest())
            outlet._is_output_full = False
            outlet.pauseProducing()
            outlet.resumeProducing()
            steps += 1
            self.assertGreater(len(connection.rest()), before)
        self.assertIn(b"{%d}\r\n" % len(raw) + raw + b")\r\na OK", connection.rest())

    def test_partial_of_a_big_body(self) -> None:
        """Offsets are the message's, not a chunk's."""
        raw = self.big()
        self.add(raw)
        connection = self.logged_in("INBOX")
        lines = self.ask(connection, b"fetch 1 body.peek[]<1000000.20>")
        expected = raw[1_000_000:1_000_020]
        self.assertIn(
            b"\r\n".join(lines[:-1]), [b"* 1 FETCH (BODY[]<1000000> {20}\r\n%s)" % expected]
        )

    def test_big_text_section(self) -> None:
        """A section of a big message is found by its offsets."""
        raw = self.big()
        self.add(raw)
        connection = self.logged_in("INBOX")
        connection.send(b"a FETCH 1 (UID BODY.PEEK[TEXT] FLAGS)\r\n")
        body = raw.partition(b"\r\n\r\n")[2]
        self.assertIn(
            b"(UID 1 BODY[TEXT] {%d}\r\n%s FLAGS (\\Recent))" % (len(body), body),
            connection.rest(),
        )

    def test_message_that_goes_in_the_middle(self) -> None:
        """A literal that cannot be completed ends the connection."""
        self.add(self.big())
        connection = self.logged_in("INBOX")
        outlet = connection.transport.producer
        outlet.pauseProducing()
        connection.send(b"a FETCH 1 BODY.PEEK[]\r\n")
        folder_id = connection.protocol.session.view.folder.id  # type: ignore[attr-defined]
        self.now(self.mailbox.remove(folder_id, (1,)))
        outlet.resumeProducing()
        self.assertTrue(connection.is_closed)
        self.assertNotIn(b"a OK", connection.rest())

    def test_client_that_goes_while_it_is_served(self) -> None:
        """The session ends and gives its mailbox back."""
        self.add(self.big())
        connection = self.logged_in("INBOX")
        connection.transport.producer.pauseProducing()
        connection.send(b"a FETCH 1 BODY.PEEK[]\r\n")
        server = connection.protocol
        assert isinstance(server, IMAPServer)
        server.connectionLost(GONE)
        self.assertIsNone(server.session._mailbox)
        self.assertEqual(self.factory.connections, 0)
        self.clock.advance(0)  # the login is recorded
        ours = [call for call in self.clock.getDelayedCalls() if "Mailbox" not in str(call)]
        self.assertEqual([str(call) for call in ours if "Spool" not in str(call)], [])

    def test_input_is_paused(self) -> None:
        """A client that sends while its command waits is stopped, and nothing is lost."""
        self.add(self.big())
        connection = self.logged_in("INBOX")
        outlet = connection.transport.producer
        outlet.pauseProducing()
        connection.send(b"a FETCH 1 BODY.PEEK[]\r\n")
        noop = b"b NOOP\r\n"
        connection.send(noop * (MAX_WAITING_OCTETS // len(noop)))
        self.assertEqual(connection.transport.producerState, "producing")
        connection.send(noop)
        self.assertEqual(connection.transport.producerState, "paused")
        while b"a OK" not in connection.rest():
            outlet.resumeProducing()
        self.turn()
        self.assertEqual(connection.transport.producerState, "producing")
        self.assertEqual(
            connection.rest().count(b"b OK Done."), MAX_WAITING_OCTETS // len(noop) + 1
        )

    def test_reader_that_never_reads(self) -> None:
        """After the autologout time the connection is cut."""
        self.add(self.big())
        connection = self.logged_in("INBOX")
        connection.transport.producer.pauseProducing()
        connection.send(b"a FETCH 1 BODY.PEEK[]\r\n")
        self.clock.advance(1801)
        self.assertTrue(connection.is_closed)

    def test_long_answers_let_others_speak(self) -> None:
        """After a thousand lines the reactor gets its turn."""
        self.add(*[message(str(number)) for number in range(2500)])
        connection = self.logged_in("INBOX")
        connection.send(b"a FETCH 1:* FLAGS\r\n")
        self.assertEqual(connection.rest().count(b"\r\n"), 1000)
        self.turn()
        self.turn()
        self.assertIn(b"a OK", connection.rest())

    def test_usual_fields_need_no_body(self) -> None:
        """They are answered out of their index, octet by octet like out of the header."""
        self.add(message("one", more="X-Other: x\r\nCc: a,\r\n\tb\r\ncc: c\r\n"))
        connection = self.logged_in("INBOX")
        usual = b"fetch 1 body.peek[header.fields (cc Subject X-Mailer)]"
        more = b"fetch 1 body.peek[header.fields (cc Subject X-Mailer X-None)]"
        answer = self.ask(connection, usual)
        self.assertEqual(self.ask(connection, more)[1:], answer[1:])
        file = open_connection(self.directory / f"{self.alice.id}.sqlite", KEY)
        file.execute("DELETE FROM piece")
        file.close()
        self.assertEqual(self.ask(connection, usual), answer)

    def test_second_fetch_needs_no_store(self) -> None:
        """Sizes and dates are remembered in the view."""
        self.add(message("one"))
        connection = self.logged_in("INBOX")
        first = self.ask(connection, b"fetch 1 fast")
        session = connection.protocol.session  # type: ignore[attr-defined]
        session.mailbox.fetch = None
        self.assertEqual(self.ask(connection, b"fetch 1 fast"), first)


class EndingTests(IMAPTestCase):
    """How sessions end, and what they hear on the way."""

    def test_password_changed(self) -> None:
        """Sessions of that alias end, at once when they wait."""
        idle = self.logged_in("INBOX")
        self.ask(idle, b"idle")
        self.bus.publish(f"credentials:{self.alice.id}")
        self.turn()
        self.assertEqual(idle.rest(), b"* BYE [AUTHENTICATIONFAILED] The password was changed.\r\n")
        self.assertTrue(idle.is_closed)

    def seal_elsewhere(self, bus: MemoryBus) -> None:
        """Another process, which has not opened the mailbox, seals a message."""
        other = SQLiteMailboxStore(self.directory, bus, InlineThreads(), self.clock, key=b"s" * 32)
        self.now(other.start())
        new = Delivery(id="d1", message=NewMessage(raw=message("sealed"), received_at=0.0))
        self.now(other.deliver(self.alice.id, self.sealing_key, new))
        self.now(other.stop())

    def test_sealed_mail_is_taken_in(self) -> None:
        """Mail that another process sealed shows up in IDLE."""
        connection = self.logged_in("INBOX")
        self.ask(connection, b"idle")
        self.seal_elsewhere(self.bus)
        self.turn()
        self.assertEqual(connection.rest(), b"* 1 EXISTS\r\n* 1 RECENT\r\n")

    def test_delivery_to_an_open_mailbox(self) -> None:
        """IDLE hears of it in the next turn of the reactor."""
        connection = self.logged_in("INBOX")
        self.ask(connection, b"idle")
        new = NewMessage(raw=message("new"), received_at=0.0)
        key = self.now(self.accounts.alias(self.alice.id)).sealing_key
        self.now(self.mailboxes.deliver(self.alice.id, key, Delivery(id="d2", message=new)))
        self.turn()
        self.assertEqual(connection.rest(), b"* 1 EXISTS\r\n* 1 RECENT\r\n")

    def test_lost_hint_in_idle(self) -> None:
        """IDLE looks once a minute without being told, also for sealed mail."""
        connection = self.logged_in("INBOX")
        self.ask(connection, b"idle")
        self.seal_elsewhere(MemoryBus(self.clock))
        self.clock.advance(59)
        self.assertEqual(connection.rest(), b"")
        self.clock.advance(2)
        self.assertEqual(connection.rest(), b"* 1 EXISTS\r\n* 1 RECENT\r\n")

    def test_sealed_mail_is_counted(self) -> None:
        """STATUS without a selected folder takes in what a hint told of."""
        connection = self.logged_in()
        self.seal_elsewhere(self.bus)
        self.turn()
        self.assertEqual(
            self.ask(connection, b"status inbox (messages)")[0], b'* STATUS "INBOX" (MESSAGES 1)'
        )

    def test_lost_hint(self) -> None:
        """Without any hint a later command finds the news all the same."""
        connection = self.logged_in("INBOX")
        self.add(message("one"))
        self.bus._waiting.clear()
        self.clock.advance(31)
        self.assertIn(b"* 1 EXISTS", self.ask(connection, b"status Trash (messages)"))

    def test_look_that_fails(self) -> None:
        """APPEND stays OK although the store cannot tell the changes; they come later."""
        connection = self.logged_in("INBOX")
        mailbox = connection.protocol.session.mailbox  # type: ignore[attr-defined]
        changes = mailbox.changes

        async def unavailable(folder_id: int, since: int, claim_recent: bool) -> None:
            raise Unavailable

        mailbox.changes = unavailable
        answer = self.ask(connection, b"append inbox {4+}\r\na: b")
        self.assertIn(b"t OK [APPENDUID", answer[0])
        mailbox.changes = changes
        self.assertEqual(self.ask(connection, b"check")[0], b"* 1 EXISTS")

    def test_last_words_that_nobody_reads(self) -> None:
        """A client that does not close after BYE is cut off."""
        connection = self.logged_in()
        self.ask(connection, b"logout")
        self.assertTrue(connection.transport.disconnecting)
        self.clock.advance(31)
        self.assertTrue(getattr(connection.transport, "disconnected", False))

    def test_drain(self) -> None:
        """Running commands finish, waiting sessions end, new ones are sent away."""
        waiting = self.logged_in()
        done = Deferred.fromCoroutine(self.factory.drain())
        self.assertIn(b"* BYE [UNAVAILABLE] The server is about to restart.", waiting.rest())
        self.assertNoResult(done)
        late = Connection(*self.connect())
        self.assertEqual(late.rest(), b"* BYE [UNAVAILABLE] The server is about to restart.\r\n")
        for connection in (waiting, late):
            connection.protocol.connectionLost(GONE)  # type: ignore[attr-defined]
        self.successResultOf(done)

    def test_drain_has_a_limit(self) -> None:
        """A client that does not read its answer cannot hold up the stop."""
        self.add(message("big", body="x" * 78 + "\r\n" * 40_000))
        connection = self.logged_in("INBOX")
        connection.transport.producer.pauseProducing()
        connection.send(b"a FETCH 1 BODY.PEEK[]\r\n")
        done = Deferred.fromCoroutine(self.factory.drain())
        self.clock.advance(DRAIN_SECONDS)
        self.assertTrue(connection.transport.disconnected)
        connection.protocol.connectionLost(GONE)  # type: ignore[attr-defined]
        self.successResultOf(done)

    def test_damaged_mailbox(self) -> None:
        """RFC 5530 §3: no other password would help, and somebody has to know."""

        async def unlock(*keys: object) -> None:
            raise Corrupt("This mailbox is damaged.")

        self.mailboxes.unlock = unlock  # type: ignore[method-assign,assignment]
        connection = Connection(*self.connect())
        connection.line()
        answer = self.ask(connection, b'login alice@example.org "pa\\"ss\\\\word"')
        self.assertEqual(answer, [b"t NO [CONTACTADMIN] This mailbox is damaged."])

    def test_mailbox_that_does_not_open(self) -> None:
        """A right password and a broken store are not the client's fault."""

        async def unlock(*keys: object) -> None:
            raise Unavailable

        self.mailboxes.unlock = unlock  # type: ignore[method-assign,assignment]
        connection = Connection(*self.connect())
        connection.line()
        answer = self.ask(connection, b'login alice@example.org "pa\\"ss\\\\word"')
        self.assertTrue(answer[0].startswith(b"t NO [UNAVAILABLE]"))
        self.assertEqual(
            self.ask(connection, b"list a b"), [b"t BAD This command is not allowed now."]
        )

    def test_handles_are_given_back(self) -> None:
        """Every way out closes the mailbox."""
        state = self.mailboxes._open[self.alice.id]
        before = state.handles
        for end in (b"logout", b"noop"):
            connection = self.logged_in("INBOX")
            self.assertEqual(state.handles, before + 1)
            self.ask(connection, end)
            connection.protocol.connectionLost(GONE)  # type: ignore[attr-defined]
            self.assertEqual(state.handles, before)


class LimitTests(IMAPTestCase):
    """How many connections there may be."""

    def test_per_address(self) -> None:
        """One too many from an address hears why."""
        self.factory = self.make_factory(limits=Limits(in_all=9, per_address=2))
        first, _, third = (Connection(*self.connect()) for _ in range(3))
        self.assertIn(b"ready", first.rest())
        self.assertEqual(third.rest(), b"* BYE [LIMIT] Too many connections from your address.\r\n")
        self.assertTrue(third.is_closed)
        for gone in (first, third):
            gone.protocol.connectionLost(GONE)  # type: ignore[attr-defined]
        self.assertIn(b"ready", Connection(*self.connect()).rest())

    def test_per_alias(self) -> None:
        """One mailbox cannot take all connections."""
        self.factory = self.make_factory(limits=Limits(in_all=9, per_address=9, per_alias=1))
        self.logged_in()
        second = self.logged_in()
        self.assertTrue(second.is_closed)

    def test_much_mail_at_once(self) -> None:
        """Messages that are being received by all connections together have a limit."""
        count = MAX_MESSAGE_OCTETS_IN_HAND // APPEND_LIMIT_OCTETS
        connections = [self.logged_in() for _ in range(count + 1)]
        for connection in connections:
            connection.send(b"a APPEND INBOX {%d+}\r\n" % APPEND_LIMIT_OCTETS)
            self.factory.registry.octets_in_hand += APPEND_LIMIT_OCTETS - SMALL_OCTETS
            connection.send(b"x" * SMALL_OCTETS)
        self.assertEqual([one.is_closed for one in connections], [False] * count + [True])
        self.assertIn(b"* BYE [UNAVAILABLE] Too much mail at once.", connections[-1].rest())

    def test_hand_is_empty_afterwards(self) -> None:
        """Stored, refused or left in the middle: it counts no more."""
        registry = self.factory.registry
        connection = self.logged_in()
        connection.send(b"a APPEND INBOX {%d+}\r\n" % (2 * SMALL_OCTETS))
        connection.send(b"x" * SMALL_OCTETS)
        self.assertGreaterEqual(registry.octets_in_hand, SMALL_OCTETS)
        connection.send(b"x" * SMALL_OCTETS + b"\r\n")
        self.assertEqual(registry.octets_in_hand, 0)
        self.assertIn(b"a OK", connection.rest())
        connection.send(b"r APPEND INBOX {%d+}\r\n" % (2 * SMALL_OCTETS))
        connection.send(b"x" * SMALL_OCTETS)
        self.assertGreaterEqual(registry.octets_in_hand, SMALL_OCTETS)
        connection.send(b"x" * SMALL_OCTETS + b" {%d}\r\n" % (APPEND_LIMIT_OCTETS + 1))
        self.assertIn(b"r NO [TOOBIG]", connection.rest())
        self.assertEqual(registry.octets_in_hand, 0)
        connection.send(b"b APPEND INBOX {%d+}\r\n" % (2 * SMALL_OCTETS))
        connection.send(b"x" * SMALL_OCTETS)
        connection.protocol.connectionLost(GONE)  # type: ignore[attr-defined]
        self.assertEqual(registry.octets_in_hand, 0)

    def test_many_bad_commands(self) -> None:
        """Who only sends nonsense is sent away."""
        connection = Connection(*self.connect())
        connection.send(b"GET / HTTP/1.1\r\n" * 60)
        self.turn()
        self.assertIn(b"* BYE Too many bad commands.", connection.rest())
        self.assertTrue(connection.is_closed)

    def test_endless_line_in_idle(self) -> None:
        """What follows a continuation is limited too."""
        connection = self.logged_in("INBOX")
        self.ask(connection, b"idle")
        for _ in range(20):
            connection.send(b"x" * 65536)
        self.assertIn(b"* BYE [TOOBIG] A line is too long.", connection.rest())


class ScramTests(IMAPTestCase):
    """AUTHENTICATE SCRAM-SHA-256 as a client sees it (RFC 5802, RFC 7677)."""

    def scram(self, password: str) -> list[bytes]:
        """The last lines of the exchange."""
        connection = Connection(*self.connect())
        connection.line()
        bare = b"n=alice@example.org,r=clientnonce"
        first = base64.b64encode(b"n,," + bare)
        challenge = self.ask(connection, b"authenticate SCRAM-SHA-256 " + first)[0]
        server_first = base64.b64decode(challenge[2:])
        fields = dict(part.split(b"=", 1) for part in server_first.split(b","))
        salt, rounds = base64.b64decode(fields[b"s"]), int(fields[b"i"])
        salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, rounds)
        client_key = hmac.digest(salted, b"Client Key", "sha256")
        final = b"c=biws,r=" + fields[b"r"]
        signed = b",".join((bare, server_first, final))
        signature = hmac.digest(hashlib.sha256(client_key).digest(), signed, "sha256")
        proof = bytes(a ^ b for a, b in zip(client_key, signature, strict=True))
        connection.send(base64.b64encode(final + b",p=" + base64.b64encode(proof)) + b"\r\n")
        answer = connection.line() or b""
        if not answer.startswith(b"+ "):
            return [answer]
        server_key = hmac.digest(salted, b"Server Key", "sha256")
        verifier = base64.b64encode(hmac.digest(server_key, signed, "sha256"))
        self.assertEqual(base64.b64decode(answer[2:]), b"v=" + verifier)
        connection.send(b"\r\n")
        return [connection.line() or b""]

    def test_right_password(self) -> None:
        """Both sides prove that they know it; the mailbox opens."""
        self.assertTrue(self.scram(PASSWORD)[0].startswith(b"t OK [CAPABILITY"))

    def test_wrong_password(self) -> None:
        """Refused like any other."""
        self.assertTrue(self.scram("wrong")[0].startswith(b"t NO [AUTHENTICATIONFAILED]"))
