"""Tests of fe_mail.adapters.smtp_dialogue: readable dialogues with scripted hosts."""

from collections import deque
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from fe_mail.adapters.memory.blobs import MemoryBlobs
from fe_mail.adapters.smtp_dialogue import Dialogue, Lost, TLSFailed
from fe_mail.model.outbound import Attempt, OutboundRecipient, RemoteReply, Stage, TLSWish
from fe_mail.ports import BlobReader
from fe_mail.smtp.wire import ReplyParser, ServerReply

CONTENT = b"Subject: x\r\n\r\nhello\r\n"


class ScriptedHost:
    """
    A ``Wire`` that plays a script of ``S:`` lines (sent at once) and ``C:`` lines (expected).

    ``S: TLS`` and ``S: LOST`` are the upgrade and a broken connection.
    """

    def __init__(self, script: str) -> None:
        self.script = deque(line.strip() for line in script.splitlines() if line.strip())
        self.replies: deque[ServerReply] = deque()
        self.parser = ReplyParser()
        self.said = b""
        self.content = b""
        self.in_data = False
        self.is_lost = False
        self._serve()

    def _serve(self) -> None:
        while self.script and self.script[0].startswith("S: "):
            text = self.script.popleft()[3:]
            if text == "LOST":
                self.is_lost = True
                return
            self.in_data = text.startswith("354")
            self.replies.extend(self.parser.feed(text.encode() + b"\r\n"))

    @property
    def has_reply(self) -> bool:
        """A reply waits."""
        return bool(self.replies)

    @property
    def is_quiet(self) -> bool:
        """None does."""
        return not self.replies and not self.parser.pending

    def send(self, octets: bytes) -> None:
        """Compare with the script."""
        self.said += octets
        while self.said:
            if self.in_data:
                self.content, self.said = self.content + self.said, b""
                if self.content.endswith(b"\r\n.\r\n") or self.content == b".\r\n":
                    self._expect("<content>")
                return
            line, crlf, self.said = self.said.partition(b"\r\n")
            assert crlf, line
            self._expect(line.decode())

    def _expect(self, line: str) -> None:
        assert self.script, f"nothing expected, got {line}"
        expected = self.script.popleft()
        assert expected == f"C: {line}", f"{expected!r} expected, got {line!r}"
        self._serve()

    async def writable(self, seconds: float) -> None:
        """Always."""

    async def reply(self, seconds: float) -> ServerReply:
        """The next one."""
        if not self.replies:
            raise Lost("The connection was lost.")
        return self.replies.popleft()

    def start_tls(self) -> None:
        """As the script says."""
        assert self.script.popleft() == "C: <TLS>"
        self._serve()


class DialogueTests(SynchronousTestCase):
    """One transaction each."""

    def play(
        self, script: str, *recipients: str, wish: TLSWish = TLSWish.NONE, **more: Any
    ) -> tuple[RemoteReply, ...]:
        """Run the client against a script, which must be played to its end."""
        self.host = more.pop("host", ScriptedHost)(script)
        content = more.pop("content", CONTENT)
        attempt = Attempt(
            **{
                "reverse_path": "a@here.test",
                "recipients": tuple(
                    OutboundRecipient(address=one) for one in recipients or ("b@there.test",)
                ),
                "size_octets": len(content),
                **more,
            }
        )
        dialogue = Dialogue(self.host, attempt, hostname="mx.here.test", wish=wish)
        blobs = MemoryBlobs()

        async def opened() -> BlobReader:
            writer = blobs.create(0.0)
            await writer.write(content)
            return await blobs.open(await writer.commit())

        done = Deferred.fromCoroutine(dialogue.run(opened))
        try:
            return self.successResultOf(done)
        finally:
            self.assertEqual(list(self.host.script), [])

    def test_plain(self) -> None:
        """A host without extensions: one step at a time."""
        (reply,) = self.play(
            """
            S: 220 there.test
            C: EHLO mx.here.test
            S: 250 there.test
            C: MAIL FROM:<a@here.test>
            S: 250 ok
            C: RCPT TO:<b@there.test>
            S: 250 ok
            C: DATA
            S: 354 go on
            C: <content>
            S: 250 2.6.0 thanks
            """
        )
        self.assertEqual((reply.code, reply.enhanced, reply.text), (250, "2.6.0", "thanks"))
        self.assertEqual(self.host.content, CONTENT + b".\r\n")

    def test_all_extensions(self) -> None:
        """What is offered is used, and the envelope goes in one piece."""
        recipient = OutboundRecipient(
            address="b@there.test", notify=("SUCCESS", "FAILURE"), original="rfc822;b@x.test"
        )
        (reply,) = self.play(
            """
            S: 220-there.test
            S: 220 ESMTP
            C: EHLO mx.here.test
            S: 250-there.test
            S: 250-PIPELINING
            S: 250-SIZE 1000000
            S: 250-8BITMIME
            S: 250-SMTPUTF8
            S: 250-dsn
            S: 250 ENHANCEDSTATUSCODES
            C: MAIL FROM:<a@here.test> SIZE=24 BODY=8BITMIME RET=HDRS ENVID=E+2B1
            C: RCPT TO:<b@there.test> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;b@x.test
            C: DATA
            S: 250 2.1.0 ok
            S: 250 2.1.5 ok
            S: 354 go on
            C: <content>
            S: 250 2.0.0 taken
            """,
            recipients=(recipient,),
            envelope_id="E+2B1",
            dsn_return="HDRS",
            is_8bit=True,
            is_utf8=True,
            content=CONTENT + b"\xc3\xb8\n",
        )
        self.assertTrue(reply.is_positive)

    def test_helo(self) -> None:
        """A host that does not know EHLO gets HELO."""
        (reply,) = self.play(
            """
            S: 220 there.test
            C: EHLO mx.here.test
            S: 502 what
            C: HELO mx.here.test
            S: 250 there.test
            C: MAIL FROM:<a@here.test>
            S: 250 ok
            C: RCPT TO:<b@there.test>
            S: 250 ok
            C: DATA
            S: 354 go on
            C: <content>
            S: 452 full
            """
        )
        self.assertEqual((reply.code, reply.enhanced), (452, "4.0.0"))

    def test_session_refused(self) -> None:
        """Greeting and EHLO refusals say nothing about recipients."""
        for script in (
            "S: 554 5.7.1 we do not like you",
            "S: 421 busy",
            "S: 220 hi\nC: EHLO mx.here.test\nS: 421 bye",
            "S: 220 hi\nC: EHLO mx.here.test\nS: 550 no\nC: HELO mx.here.test\nS: 550 no",
        ):
            (reply,) = self.play(script)
            self.assertIn(reply.stage, (Stage.GREETING, Stage.HELLO))

    def test_sender_refused(self) -> None:
        """MAIL refused while DATA was pipelined; a host that wants data gets none."""
        opening = """
            S: 220 there.test
            C: EHLO mx.here.test
            S: 250-there.test
            S: 250 PIPELINING
            C: MAIL FROM:<a@here.test>
            C: RCPT TO:<b@there.test>
            C: DATA
            S: 550 5.7.1 no
            S: 503 no sender
        """
        (reply,) = self.play(opening + "S: 503 no recipient")
        self.assertEqual((reply.code, reply.stage), (550, Stage.MAIL))
        (reply,) = self.play(opening + "S: 354 go on\nC: <content>\nS: 554 no recipients")
        self.assertEqual((reply.code, self.host.content), (550, b".\r\n"))

    def test_some_recipients(self) -> None:
        """The refused one keeps its answer, the others get the final one."""
        replies = self.play(
            """
            S: 220 there.test
            C: EHLO mx.here.test
            S: 250-there.test
            S: 250 PIPELINING
            C: MAIL FROM:<a@here.test>
            C: RCPT TO:<x@there.test>
            C: RCPT TO:<y@there.test>
            C: RCPT TO:<z@there.test>
            C: DATA
            S: 250 ok
            S: 550 5.1.1 who
            S: 250 ok
            S: 452 4.5.3 too many
            S: 354 go on
            C: <content>
            S: 250 taken
            """,
            "x@there.test",
            "y@there.test",
            "z@there.test",
        )
        self.assertEqual([reply.code for reply in replies], [550, 250, 452])

    def test_too_big(self) -> None:
        """A message over the announced size is not sent at all."""
        (reply,) = self.play(
            """
            S: 220 there.test
            C: EHLO mx.here.test
            S: 250-there.test
            S: 250 SIZE 20
            """
        )
        self.assertEqual((reply.code, reply.enhanced), (552, "5.3.4"))

    def test_utf8(self) -> None:
        """Addresses and headers beyond ASCII need SMTPUTF8; a needless wish asks for nothing."""
        opening = "S: 220 hi\nC: EHLO mx.here.test\n"
        (reply,) = self.play(opening + "S: 250 there.test", "søren@there.test")
        self.assertEqual((reply.code, reply.enhanced), (553, "5.6.7"))
        utf8 = "Subject: æøå\r\n\r\nx\r\n".encode()
        (reply,) = self.play(opening + "S: 250 there.test", content=utf8, is_utf8=True)
        self.assertEqual((reply.code, reply.enhanced), (553, "5.6.7"))
        script = """S: 250-there.test
            S: 250 SMTPUTF8
            C: MAIL FROM:<a@here.test> SMTPUTF8
            S: 250 ok
            C: RCPT TO:<b@there.test>
            S: 250 ok
            C: DATA
            S: 354 go on
            C: <content>
            S: 250 ok"""
        (reply,) = self.play(opening + script, content=utf8, is_utf8=True)
        self.assertTrue(reply.is_positive)

    def about(self, offers: str, content: bytes = CONTENT, *to: str, **more: Any) -> str:
        """What MAIL says beyond the address to a host that offers this; or the refusal."""
        words = ["there.test", *offers.split()]
        lines = [f"250-{word}" for word in words[:-1]] + [f"250 {words[-1]}"]
        script = "S: 220 hi\nC: EHLO mx.here.test\n" + "\n".join(f"S: {line}" for line in lines)
        said: list[str] = []

        class Listening(ScriptedHost):
            def _expect(self, line: str) -> None:
                if not line.startswith("MAIL"):
                    super()._expect(line)
                    return
                said.append(line.removeprefix("MAIL FROM:<a@here.test>").strip())
                self.replies.extend(self.parser.feed(b"550 5.0.0 enough\r\n"))

        (reply,) = self.play(script, *to, content=content, host=Listening, **more)
        return said[0] if said else f"{reply.code} {reply.enhanced}"

    def test_what_is_asked(self) -> None:
        """Only what is needed and offered (RFC 6152 §3, RFC 6531 §3.6)."""
        both, body = "8BITMIME SMTPUTF8", CONTENT + "grüße\r\n".encode()
        header = "Subject: grüße\r\n\r\nx\r\n".encode()
        latin = "Subject: grüße\r\n\r\nx\r\n".encode("latin-1")
        self.assertEqual(self.about(both), "")
        self.assertEqual(self.about(both, is_utf8=True), "")
        self.assertEqual(self.about(both, body, is_8bit=True), "BODY=8BITMIME")
        self.assertEqual(self.about(both, body), "BODY=8BITMIME")
        late = CONTENT + b"x" * 70_000 + body
        self.assertEqual(self.about(both, late, is_8bit=True), "BODY=8BITMIME")
        self.assertEqual(self.about(both, header, is_8bit=True), "BODY=8BITMIME SMTPUTF8")
        self.assertEqual(self.about(both, latin, is_8bit=True), "BODY=8BITMIME")
        self.assertEqual(self.about(both, CONTENT, "ü@there.test"), "SMTPUTF8")
        self.assertEqual(self.about(both, prefix="X: ü\r\n".encode()), "BODY=8BITMIME SMTPUTF8")
        self.assertEqual(self.about("8BITMIME", header, is_8bit=True), "BODY=8BITMIME")

    def test_what_is_not_offered(self) -> None:
        """Nothing of it goes to a host that does not take it, whoever declared what."""
        body, header = CONTENT + "ü".encode(), "Subject: ü\r\n\r\nx\r\n".encode()
        for offers in ("", "SMTPUTF8"):
            self.assertEqual(self.about(offers, body, is_8bit=True), "554 5.6.3")
            self.assertEqual(self.about(offers, body), "554 5.6.3")
            self.assertEqual(self.about(offers, is_8bit=True), "554 5.6.3")
        self.assertEqual(self.about("", header, is_8bit=True), "554 5.6.3")
        for offers in ("", "8BITMIME"):
            self.assertEqual(self.about(offers, header, is_8bit=True, is_utf8=True), "553 5.6.7")
            self.assertEqual(self.about(offers, CONTENT, "ü@there.test"), "553 5.6.7")

    def test_tls(self) -> None:
        """What was offered in clear is forgotten after STARTTLS."""
        (reply,) = self.play(
            """
            S: 220 there.test
            C: EHLO mx.here.test
            S: 250-there.test
            S: 250-SIZE 1
            S: 250 STARTTLS
            C: STARTTLS
            S: 220 go
            C: <TLS>
            C: EHLO mx.here.test
            S: 250 there.test
            C: MAIL FROM:<a@here.test>
            S: 250 ok
            C: RCPT TO:<b@there.test>
            S: 250 ok
            C: DATA
            S: 354 go on
            C: <content>
            S: 250 ok
            """,
            wish=TLSWish.OPPORTUNISTIC,
        )
        self.assertTrue(reply.is_positive)

    def test_response_injection(self) -> None:
        """Replies in clear behind the one to STARTTLS end it (CVE-2021-38371 and its kind)."""
        opening = """
            S: 220 there.test
            C: EHLO mx.here.test
            S: 250-there.test
            S: 250 STARTTLS
            C: STARTTLS
            S: 220 go
        """
        for injected in ("S: 250 there.test", "S: 250-half"):
            with self.assertRaises(self.failureException):
                self.play(opening + injected, wish=TLSWish.OPPORTUNISTIC)
            self.assertEqual(list(self.host.script), [])

    def test_tls_refused(self) -> None:
        """STARTTLS refused: in clear if that is allowed."""
        opening = """
            S: 220 there.test
            C: EHLO mx.here.test
            S: 250-there.test
            S: 250 STARTTLS
            C: STARTTLS
            S: 454 not now
        """
        (reply,) = self.play(opening, wish=TLSWish.REQUIRED)
        self.assertEqual((reply.code, reply.stage), (450, Stage.TLS))
        rest = "C: MAIL FROM:<a@here.test>\nS: 450 later"
        (reply,) = self.play(opening + rest, wish=TLSWish.OPPORTUNISTIC)
        self.assertEqual((reply.code, reply.stage), (450, Stage.MAIL))

    def test_tls_fails(self) -> None:
        """A connection that breaks in the handshake is a matter of TLS."""
        script = """
            S: 220 there.test
            C: EHLO mx.here.test
            S: 250-there.test
            S: 250 STARTTLS
            C: STARTTLS
            S: 220 go
            C: <TLS>
            S: LOST
            C: EHLO mx.here.test
        """
        host = ScriptedHost(script)
        attempt = Attempt(
            reverse_path="", recipients=(OutboundRecipient(address="b@c.test"),), size_octets=1
        )
        dialogue = Dialogue(host, attempt, hostname="mx.here.test", wish=TLSWish.OPPORTUNISTIC)
        done = Deferred.fromCoroutine(dialogue.run(lambda: self.fail("not opened")))
        self.failureResultOf(done, TLSFailed)

    def test_lost_after_the_dot(self) -> None:
        """Nobody knows whether it arrived: a temporary answer, and no other host is tried."""
        (reply,) = self.play(
            """
            S: 220 there.test
            C: EHLO mx.here.test
            S: 250 there.test
            C: MAIL FROM:<a@here.test>
            S: 250 ok
            C: RCPT TO:<b@there.test>
            S: 250 ok
            C: DATA
            S: 354 go on
            C: <content>
            S: LOST
            """
        )
        self.assertEqual((reply.code, reply.enhanced), (451, "4.4.2"))

    OPENING = """
        S: 220 there.test
        C: EHLO mx.here.test
        S: 250 there.test
        C: MAIL FROM:<a@here.test>
    """
    PIPELINED = """
        S: 220 there.test
        C: EHLO mx.here.test
        S: 250-there.test
        S: 250 PIPELINING
        C: MAIL FROM:<a@here.test>
        C: RCPT TO:<b@there.test>
        C: RCPT TO:<c@there.test>
        C: DATA
    """

    def test_closing(self) -> None:
        """421 ends the session wherever it comes; its text is kept (RFC 5321 §3.8)."""
        for script in (
            "S: 421 4.7.0 busy\nS: LOST",
            "S: 250 ok\nC: RCPT TO:<b@there.test>\nS: 421 4.7.0 busy\nS: LOST",
        ):
            replies = self.play(self.OPENING + script, "b@there.test", "c@there.test")
            self.assertEqual([reply.said for reply in replies], ["421 4.7.0 busy"] * 2, script)
        for before in ("", "S: 250 ok\n", "S: 250 ok\nS: 250 ok\n"):
            script = self.PIPELINED + before + "S: 421 4.7.0 busy\nS: LOST"
            replies = self.play(script, "b@there.test", "c@there.test")
            self.assertEqual([reply.said for reply in replies], ["421 4.7.0 busy"] * 2, before)

    def test_closing_after_answers(self) -> None:
        """Who was refused before hears that; who was taken hears why nothing came of it."""
        script = self.PIPELINED + "S: 250 ok\nS: 550 5.1.1 who\nS: 250 ok\nS: 421 bye\nS: LOST"
        replies = self.play(script, "b@there.test", "c@there.test")
        self.assertEqual([reply.said for reply in replies], ["550 5.1.1 who", "421 bye"])

    def test_closing_at_tls(self) -> None:
        """It is no reason to go on in clear."""
        script = """
            S: 220 there.test
            C: EHLO mx.here.test
            S: 250-there.test
            S: 250 STARTTLS
            C: STARTTLS
            S: 421 4.3.2 going down
            S: LOST
        """
        (reply,) = self.play(script, wish=TLSWish.OPPORTUNISTIC)
        self.assertEqual((reply.said, reply.stage), ("421 4.3.2 going down", Stage.TLS))

    def test_lost_after_nothing(self) -> None:
        """All were refused, and the host leaves in the middle: they are refused all the same."""
        script = (
            self.PIPELINED
            + """
            S: 250 ok
            S: 550 5.1.1 who
            S: 550 5.1.1 who
            S: 354 go on
            C: <content>
            S: LOST
        """
        )
        replies = self.play(script, "b@there.test", "c@there.test")
        self.assertEqual([reply.code for reply in replies], [550, 550])

    def test_whose_words(self) -> None:
        """What the host did not say is not said to be its words; no code is put into its mouth."""
        for answer, said in (("550 Gone", "550 Gone"), ("350 hm", ""), ("550", "550")):
            (reply,) = self.play(self.OPENING + f"S: {answer}")
            self.assertEqual(reply.said, said)
        (reply,) = self.play(
            self.OPENING
            + "S: 250 ok\nC: RCPT TO:<b@there.test>\nS: 250 ok\nC: DATA\nS: 354 go\n"
            + "C: <content>\nS: LOST"
        )
        self.assertEqual(reply.said, "")

    def test_injection_by_address(self) -> None:
        """An address with a line end never reaches the wire."""
        opening = "S: 220 hi\nC: EHLO mx.here.test\nS: 250 there.test"
        (reply,) = self.play(opening, "b@there.test>\r\nRCPT TO:<c@there.test")
        self.assertEqual(reply.code, 553)

    @settings(max_examples=100, deadline=None)
    @given(st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b".", b"x", b"\0"]), max_size=40))
    def test_no_bare_line_ends(self, pieces: list[bytes]) -> None:
        """Whatever the content: no bare CR or LF, and no end of data before the end."""
        content = b"".join(pieces)
        self.play(
            """
            S: 220 there.test
            C: EHLO mx.here.test
            S: 250 there.test
            C: MAIL FROM:<a@here.test>
            S: 250 ok
            C: RCPT TO:<b@there.test>
            S: 250 ok
            C: DATA
            S: 354 go on
            C: <content>
            S: 250 ok
            """,
            content=content,
        )
        sent = self.host.content
        self.assertEqual(sent.count(b"\r"), sent.count(b"\r\n"))
        self.assertEqual(sent.count(b"\n"), sent.count(b"\r\n"))
        self.assertEqual((b"\r\n" + sent).find(b"\r\n.\r\n"), len(sent) - 3)
