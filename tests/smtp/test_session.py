"""Tests of the pure session and its framing: any split of the bytes gives the same events."""

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from fe_mail.smtp.command import Bdat, Command, CommandError, Data, Ehlo, Grammar, Helo, Mail, Rcpt
from fe_mail.smtp.framing import (
    MAX_AUTH_OCTETS,
    MAX_COMMAND_OCTETS,
    MAX_SKIPPED_OCTETS,
    Framer,
    Line,
    LineFault,
    Portion,
)
from fe_mail.smtp.session import MAX_IDLE_COMMANDS, MAX_REFUSALS, Event, Rules, Session
from fe_mail.smtp.wire import Answer

QUICK = settings(max_examples=100, deadline=None)
RULES = Rules(hostname="mx.test", is_submission=False, max_size_octets=1000)

ENVELOPE = b"EHLO c.test\r\nMAIL FROM:<b@b.test>\r\nRCPT TO:<a@a.test>\r\n"

# Pieces of sessions, right and wrong, that hypothesis puts together in any order.
FRAGMENTS = st.lists(
    st.sampled_from(
        [
            b"EHLO c.test\r\n",
            b"HELO c.test\r\n",
            b"MAIL FROM:<b@b.test>\r\n",
            b"MAIL FROM:<b@b.test> SIZE=5000\r\n",
            b"RCPT TO:<a@a.test>\r\n",
            b"RCPT TO:<nope\r\n",
            b"DATA\r\n",
            b"hello\r\n",
            b"..\r\n",
            b".\r\n",
            b"\r\n.\r\n",
            b"BDAT 4\r\nabcd",
            b"BDAT 5 LAST\r\nRSET\r",
            b"BDAT 2000\r\n",
            b"RSET\r\n",
            b"NOOP\r\n",
            b"\r",
            b"\n",
            b"\0",
            b"x" * 700,
            b"QUIT\r\n",
        ]
    ),
    max_size=25,
)


def drive(session: Session, parts: list[bytes]) -> list[Event]:
    """Everything that happens, as a conversation would react; portions are joined."""
    events: list[Event] = []
    for part in parts:
        session.framer.feed(part)
        while (event := session.next()) is not None:
            react(session, event)
            last = events[-1] if events else None
            if isinstance(event, Portion) and isinstance(last, Portion) and not last.is_end:
                octets = last.octets + event.octets
                event = Portion(octets=octets, is_end=event.is_end, fault=event.fault)
                events.pop()
            events.append(event)
            if isinstance(event, Answer) and event.closes:
                return events
    if events and isinstance(events[-1], Portion) and not events[-1].is_end:
        events.pop()  # how much of an unfinished message is certain depends on the split
    return events


class NameTests(SynchronousTestCase):
    """What a peer calls itself (RFC 5321 §4.1.1.1, §4.1.4)."""

    def test_any_name(self) -> None:
        """On submission the name of a machine is whatever its owner called it."""
        grammar = Grammar(hostname="mx.test", takes_any_name=True)
        for name in (
            "client.test",
            "[192.0.2.1]",
            "[::ffff:192.0.2.1]",
            "Anna's MacBook (2)",
            "B\u00fcro-PC",
            "my_host.local.",
            'a"b<c>,;@%',
            "x" * 255,
        ):
            self.assertEqual(grammar.parse(f"EHLO {name}".encode()), Ehlo(name))
            self.assertEqual(grammar.parse(f"helo {name}".encode()), Helo(name))
        self.assertEqual(grammar.parse("EHLO B\u00fcro".encode("latin-1")), Ehlo("B\u00fcro"))

    def test_no_name(self) -> None:
        """None at all, an endless one, controls."""
        grammar = Grammar(hostname="mx.test", takes_any_name=True)
        for name in (b"", b" ", b"x" * 256, b"a\tb", b"a\x07b", b"\x80\x9f", b"a\xc2\x85"):
            with self.assertRaises(CommandError):
                grammar.parse(b"EHLO " + name)
        with self.assertRaises(CommandError):
            Grammar(hostname="mx.test", takes_any_name=True).parse(b"NOOP \xff")

    def test_of_the_mx(self) -> None:
        """Other servers have the names of hosts."""
        grammar = Grammar(hostname="mx.test")
        self.assertEqual(grammar.parse(b"EHLO my_host.local."), Ehlo("my_host.local."))
        for name in (b"my host", b"B\xc3\xbcro", b"B\xfcro", b"<x>"):
            with self.assertRaises(CommandError):
                grammar.parse(b"EHLO " + name)


def react(session: Session, event: Event) -> None:
    """What the conversation tells the session when everything is accepted."""
    if isinstance(event, Helo | Ehlo):
        session.greeted(event)
    elif isinstance(event, Mail):
        session.began(event)
    elif isinstance(event, Rcpt):
        session.added(event)
    elif isinstance(event, Data):
        session.begin_data()
    elif isinstance(event, Portion) and event.is_end:
        transaction = session.transaction
        if transaction is not None and transaction.chunks is None:
            session.ended()


class SplitTests(SynchronousTestCase):
    """The network may cut the stream anywhere."""

    @given(
        st.sampled_from([b"", ENVELOPE, ENVELOPE + b"DATA\r\n", ENVELOPE + b"BDAT 90 LAST\r\n"]),
        FRAGMENTS,
        st.lists(st.integers(0, 3000), max_size=8),
    )
    @QUICK
    def test_any_split(self, beginning: bytes, fragments: list[bytes], cuts: list[int]) -> None:
        """Whole, cut somewhere, octet by octet: the same events."""
        stream = beginning + b"".join(fragments)
        places = sorted({min(cut, len(stream)) for cut in cuts})
        parts = [stream[a:b] for a, b in itertools.pairwise([0, *places, len(stream)])]
        whole = drive(Session(RULES), [stream])
        self.assertEqual(drive(Session(RULES), parts), whole)
        self.assertEqual(drive(Session(RULES), [bytes([o]) for o in stream]), whole)

    @given(st.binary(max_size=300))
    @QUICK
    def test_any_octets(self, octets: bytes) -> None:
        """Whatever comes, the session has an answer and raises nothing."""
        drive(Session(RULES), [octets + b"\r\n"])


class FramerTests(SynchronousTestCase):
    """Lines and their limits."""

    def frames(self, *parts: bytes) -> list[object]:
        """All frames of lines."""
        framer, found = Framer(), []
        for part in parts:
            framer.feed(part)
            while (frame := framer.next()) is not None:
                found.append(frame)
        return found

    def test_limits_do_not_depend_on_the_split(self) -> None:
        """At each limit and one beyond, whole and in pieces of 1000."""
        for length, expected in (
            (MAX_COMMAND_OCTETS, Line),
            (MAX_COMMAND_OCTETS + 1, LineFault.LONG),
            (MAX_AUTH_OCTETS + 1, LineFault.LONG),
            (MAX_SKIPPED_OCTETS, LineFault.LONG),
            (MAX_SKIPPED_OCTETS + 1, LineFault.FLOOD),
        ):
            stream = b"N" * (length - 2) + b"\r\n"
            for size in (length, 1000):
                parts = [stream[i : i + size] for i in range(0, length, size)]
                frame = self.frames(*parts)[0]
                found = Line if isinstance(frame, Line) else frame
                self.assertEqual(found, expected, (length, size))

    def test_auth_lines_are_longer(self) -> None:
        """RFC 4954 §4 allows 12,288 octets for AUTH."""
        (frame,) = self.frames(b"AUTH PLAIN " + b"a" * 12_000 + b"\r\n")
        self.assertIsInstance(frame, Line)

    def test_memory_is_bounded(self) -> None:
        """A line without an end is not kept (security row 3)."""
        framer = Framer()
        for _ in range(100):
            framer.feed(b"x" * 1000)
            framer.next()
            self.assertLess(framer.waiting_octets, MAX_AUTH_OCTETS + 1000)

    def test_fullness(self) -> None:
        """The transport is to be paused when commands or content pile up."""
        framer = Framer()
        framer.feed(b"NOOP\r\n" * 12_000)
        self.assertTrue(framer.is_full)
        framer = Framer()
        framer.begin_data()
        framer.feed(b"x" * 200_000)
        self.assertFalse(framer.is_full)
        framer.feed(b"x" * 100_000)
        self.assertTrue(framer.is_full)


class LimitTests(SynchronousTestCase):
    """Counts that one session may not exceed."""

    def test_idle_commands(self) -> None:
        """Commands that bring nothing forward end the session."""
        events = drive(Session(RULES), [b"NOOP\r\n" * (MAX_IDLE_COMMANDS + 1)])
        last = events[-1]
        assert isinstance(last, Answer)
        self.assertEqual((last.code, len(events)), (421, MAX_IDLE_COMMANDS + 1))

    def test_a_message_resets_idleness(self) -> None:
        """Who delivers mail may say RSET before each message."""
        session = Session(RULES)
        transaction = b"RSET\r\nMAIL FROM:<>\r\nRCPT TO:<a@a.test>\r\nDATA\r\n.\r\n"
        events = drive(session, [b"EHLO c\r\n" + transaction * (MAX_IDLE_COMMANDS * 2)])
        self.assertFalse([event for event in events if isinstance(event, Answer)])

    def test_refusals(self) -> None:
        """Guessing addresses has an end."""
        session = Session(RULES)
        answers = [session.refused() for _ in range(MAX_REFUSALS + 1)]
        self.assertEqual([answer for answer in answers[:-1] if answer], [])
        assert answers[-1] is not None
        self.assertEqual(answers[-1].code, 421)

    def test_nothing_survives_starttls(self) -> None:
        """RFC 3207 §4.2: greeting, transaction and waiting octets are forgotten."""
        session = Session(RULES)
        drive(session, [b"EHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<a@a.test>\r\nNO"])
        session.secured()
        self.assertEqual((session.helo, session.transaction, session.has_input), ("", None, False))
        self.assertEqual(session.protocol, "SMTP")
        (event,) = drive(session, [b"DATA\r\n"])
        assert isinstance(event, Answer)
        self.assertEqual(event.code, 503)

    def test_protocol_names(self) -> None:
        """RFC 3848 and RFC 6531 §4.3."""
        for is_secure, is_logged_in, mail, name in (
            (False, False, b"", "ESMTP"),
            (True, False, b"", "ESMTPS"),
            (True, True, b"", "ESMTPSA"),
            (False, True, b"", "ESMTPA"),
            (True, True, b"MAIL FROM:<> SMTPUTF8\r\n", "UTF8SMTPSA"),
        ):
            session = Session(RULES, is_secure)
            session.is_logged_in = is_logged_in
            drive(session, [b"EHLO c\r\n" + mail])
            self.assertEqual(session.protocol, name)


class GrammarTests(SynchronousTestCase):
    """Command lines."""

    grammar = Grammar(hostname="mx.test", has_dsn=True, has_auth=True)

    @given(st.text(max_size=80), st.sampled_from(["MAIL FROM:", "RCPT TO:", "BDAT ", "AUTH ", ""]))
    @QUICK
    def test_only_command_errors(self, text: str, verb: str) -> None:
        """A line is a command or a CommandError."""
        try:
            command: Command | None = self.grammar.parse((verb + text).encode("utf-8", "replace"))
        except CommandError as error:
            command = None
            self.assertIn(error.status.code, (500, 501, 553, 555))
        self.assertIsInstance(command, Command | None)

    def test_not_utf8(self) -> None:
        """Octets that are no UTF-8 are no command."""
        self.assertRaises(CommandError, self.grammar.parse, b"MAIL FROM:<\xff@b.test>")

    def test_bdat(self) -> None:
        """Sizes are numbers of at most 20 digits."""
        self.assertEqual(self.grammar.parse(b"bdat 5 last"), Bdat(size_octets=5, is_last=True))
        for line in (b"BDAT", b"BDAT -1", b"BDAT 1 2", b"BDAT 1 LAST x", b"BDAT " + b"9" * 21):
            self.assertRaises(CommandError, self.grammar.parse, line)

    def test_long_paths_are_read_in_linear_time(self) -> None:
        """Nothing in a path makes the expressions backtrack."""
        for inner in ('"' * 2000, '"a' * 1000, "\\" * 2000, '"\\' * 1000, "@a,:" * 500, "<" * 2000):
            self.assertRaises(CommandError, self.grammar.parse, f"MAIL FROM:<{inner}".encode())
