"""
One SMTP conversation: events of the session, answered strictly in order.

The coroutine ``run`` asks the session for an event, performs it, and only then asks for the
next, so a slow ``Reception`` delays replies but never mixes them up (RFC 2920 §3.2). Replies are
gathered and written together, when the client's input is used up or a command takes its time.
Commands live in modules that each register a dictionary; they see this object and return an
``Answer``.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

import attrs
from twisted.logger import Logger

from fe_mail.accounts.login import Login
from fe_mail.connection.pacing import ConnectionEnded
from fe_mail.connection.turns import BURST
from fe_mail.model.envelope import Peer
from fe_mail.model.identity import Identity
from fe_mail.reception.interface import Reception
from fe_mail.smtp.content import Incoming
from fe_mail.smtp.errors import INTERNAL, answer_to_error
from fe_mail.smtp.framing import Portion
from fe_mail.smtp.session import Event, Response, Session
from fe_mail.smtp.wire import Answer

__all__ = ["Commands", "Conversation", "Link"]

MAX_GATHERED_OCTETS = 8192  # of replies that wait to be written together
SLOW_SECONDS = 0.5  # after a command that took so long nothing waits


class Link(Protocol):
    """What a conversation needs of its connection."""

    def write(self, octets: bytes) -> None:
        """Send."""

    def seconds(self) -> float:
        """The time."""

    async def more(self) -> None:
        """Wait for input. ``ConnectionEnded``."""

    async def writable(self) -> None:
        """Wait until the client reads what it was sent. ``ConnectionEnded``."""

    async def turn(self) -> None:
        """Let other connections have their turn."""

    def consumed(self) -> None:
        """Input was used; reading may go on."""

    def close(self) -> None:
        """Close when everything is written."""

    def start_tls(self) -> None:
        """Begin the handshake."""

    def tls_name(self) -> str:
        """Version and cipher suite, empty without TLS."""

    def signed_in(self, alias_id: str) -> Answer | None:
        """The session belongs to this alias from now on; an answer ends it."""


class Conversation:
    """One client. ``peer`` is what is known when it connects."""

    log = Logger()

    def __init__(
        self,
        session: Session,
        reception: Reception,
        login: Login | None,
        link: Link,
        peer: Peer,
        commands: "Commands",
    ) -> None:
        self.session = session
        self.reception = reception
        self.login = login
        self.link = link
        self.identity: Identity | None = None
        self.incoming: Incoming | None = None
        self._connected = peer
        self._commands = commands
        self._replies: list[bytes] = []
        self._gathered_octets = 0
        self._is_over = False
        self._burst = 0  # commands since the last wait

    @property
    def peer(self) -> Peer:
        """The client as it is known now."""
        session = self.session
        tls = self.link.tls_name() if session.is_secure else ""
        return attrs.evolve(self._connected, helo=session.helo, protocol=session.protocol, tls=tls)

    async def run(self) -> None:
        """Greet, converse, and forget what was not finished."""
        try:
            self.say(await self._greet())
            while not self._is_over:
                await self._step()
        except ConnectionEnded:
            pass
        except Exception:
            self.log.failure("SMTP session {session_id} failed", session_id=self.peer.session_id)
            self.say(attrs.evolve(INTERNAL, code=421, closes=True))
        finally:
            await self.forget_incoming()

    def say(self, answer: Answer) -> None:
        """Add a reply; one that closes ends the conversation."""
        if self._is_over:
            return
        octets = answer.to_wire()
        self._replies.append(octets)
        self._gathered_octets += len(octets)
        if answer.closes:
            self._is_over = True
            self.flush()
            self.link.close()
        elif self._gathered_octets > MAX_GATHERED_OCTETS:
            self.flush()

    def flush(self) -> None:
        """Write the replies that were gathered."""
        if self._replies:
            self.link.write(b"".join(self._replies))
            self._replies, self._gathered_octets = [], 0

    def interrupt(self, answer: Answer) -> None:
        """A last word from outside (timeout, shutdown) while the client is silent."""
        self.say(attrs.evolve(answer, closes=True))

    async def event(self) -> Event:
        """The next event. ``ConnectionEnded``."""
        while (event := self.session.next()) is None:
            if self.session.farewell and self.session.is_idle:
                self.say(self.session.farewell)
            self.flush()
            self._burst = 0
            await self.link.more()
        self.link.consumed()
        return event

    async def portion(self) -> Portion:
        """The next portion of content."""
        event = await self.event()
        assert isinstance(event, Portion), event
        return event

    async def response(self) -> bytes:
        """The next line of an AUTH exchange."""
        event = await self.event()
        if isinstance(event, Response):
            return event.octets
        assert isinstance(event, Answer), event
        self.say(attrs.evolve(event, closes=True))
        raise ConnectionEnded

    async def forget_incoming(self) -> None:
        """Throw away a message that was not finished."""
        incoming, self.incoming = self.incoming, None
        if incoming is not None:
            await incoming.abort()

    def answer_to(self, error: Exception) -> Answer:
        """The reply to an error; one that is a defect of ours is logged."""
        answer = answer_to_error(error)
        if answer is None:
            self.log.failure("SMTP session {session_id}: defect", session_id=self.peer.session_id)
        return answer or INTERNAL

    async def _greet(self) -> Answer:
        rules = self.session.rules
        try:
            refusal = await self.reception.connected(self.peer)
        except Exception as error:
            return attrs.evolve(self.answer_to(error), code=421, enhanced="", closes=True)
        if refusal is not None:
            return attrs.evolve(Answer.of(refusal), closes=True)
        if rules.refuses_early_talkers and self.session.has_input:
            return Answer(554, "5.5.1", "You spoke before it was your turn", closes=True)
        return Answer(220, "", f"{rules.hostname} ESMTP fe-mail")

    async def _step(self) -> None:
        await self.link.writable()
        if self._burst >= BURST:
            self._burst = 0
            self.flush()
            await self.link.turn()
            await self.link.writable()  # or it ended meanwhile
        event = await self.event()
        self._burst += 1
        if isinstance(event, Answer):
            self.say(event)
            return
        began = self.link.seconds()
        try:
            answer = await self._commands[type(event)](self, event)
        except ConnectionEnded:
            raise
        except Exception as error:
            answer = self.answer_to(error)
        if answer is not None:
            self.say(answer)
        if self.link.seconds() - began >= SLOW_SECONDS:
            self.flush()


Perform = Callable[[Conversation, Any], Awaitable[Answer | None]]
Commands = Mapping[type, Perform]
