"""
One SMTP conversation: events of the session, answered strictly in order.

The session gives events and judges their order; here they are performed, so a slow ``Reception``
delays replies but never mixes them up (RFC 2920 §3.2). Commands live in modules that each register
a dictionary; they see this object and return an ``Answer``.

RFC 5321 §3.8 (421), §4.5.3.2 (timeouts).
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, ClassVar, Final

import attrs

from fe_mail.accounts.login import Login
from fe_mail.connection import conversation
from fe_mail.connection.conversation import Farewell, Link
from fe_mail.connection.pacing import ConnectionEnded
from fe_mail.connection.registry import Reason
from fe_mail.model.envelope import Peer
from fe_mail.model.identity import Identity
from fe_mail.reception.interface import Reception
from fe_mail.smtp.content import Incoming
from fe_mail.smtp.errors import INTERNAL, answer_to_error
from fe_mail.smtp.framing import Portion
from fe_mail.smtp.session import STARTTLS_FOLLOWED, Event, Response, Rules, Session
from fe_mail.smtp.wire import Answer

__all__ = ["IDLE_TIMEOUT_SECONDS", "Commands", "SMTPConversation"]

IDLE_TIMEOUT_SECONDS: Final = 300  # RFC 5321 §4.5.3.2.7

_LAST_ANSWERS: Final = {
    Reason.STOPPING: Answer(421, "4.3.2", "The server is shutting down, try again later"),
    Reason.FULL: Answer(421, "4.7.0", "Too many connections, try again later"),
    Reason.ADDRESS: Answer(421, "4.7.0", "Too many connections from your address"),
    Reason.ALIAS: Answer(421, "4.7.0", "Too many connections of this address"),
    Reason.REVOKED: Answer(421, "4.7.0", "The password was changed, log in again"),
    Reason.TIMEOUT: Answer(421, "4.4.2", "Timeout, closing the connection"),
    Reason.STRANGER: Answer(421, "4.7.0", "Too many commands"),
    Reason.CLEAR_TEXT: STARTTLS_FOLLOWED,
    Reason.DEFECT: attrs.evolve(INTERNAL, code=421),
}

_EARLY = Answer(554, "5.5.1", "You spoke before it was your turn", closes=True)


class SMTPConversation(conversation.Conversation):
    """One client. ``identity`` is set after login, ``incoming`` while a message comes in."""

    protocol = "SMTP"
    last_words: ClassVar[Mapping[Reason, bytes]] = {
        why: answer.to_wire() for why, answer in _LAST_ANSWERS.items()
    }

    def __init__(
        self,
        rules: Rules,
        reception: Reception,
        login: Login | None,
        link: Link,
        commands: "Commands",
    ) -> None:
        self.session = Session(rules)
        super().__init__(link, self.session.framer)
        self.reception = reception
        self.login = login
        self.identity: Identity | None = None
        self.incoming: Incoming | None = None
        self._commands = commands
        self._known: tuple[Peer | None, str, str] = (None, "", "")
        self._peer = link.peer

    @property
    def idle_seconds(self) -> float:
        """The same in every state."""
        return IDLE_TIMEOUT_SECONDS

    @property
    def is_idle(self) -> bool:
        """Outside of a transaction and of AUTH."""
        return self.session.is_idle

    @property
    def peer(self) -> Peer:
        """The client as it is known now; made anew when something else is known."""
        link, session = self.link.peer, self.session
        known = link, session.helo, session.protocol
        if known != self._known:
            self._known = known
            self._peer = attrs.evolve(link, helo=session.helo, protocol=session.protocol)
        return self._peer

    async def greet(self) -> None:
        """220, or why not."""
        self.session.is_secure = self.link.is_secure
        self.say(await self._greet())

    async def step(self) -> None:
        """One event."""
        event = await self.event()
        if isinstance(event, Answer):
            self.say(event)
            return
        try:
            answer = await self._commands[type(event)](self, event)
        except (ConnectionEnded, Farewell):
            raise
        except Exception as error:
            answer = self.answer_to(error)
        if answer is not None:
            self.say(answer)

    async def let_go(self) -> None:
        """Forget what was not finished."""
        await self.forget_incoming()

    def secured(self) -> None:
        """Nothing that was said before counts any more (RFC 3207 §4.2)."""
        self.identity = None
        self.session.secured()
        self.framer = self.session.framer

    def finish(self, why: Reason) -> bool:
        """A transaction that is running is let through."""
        self.session.farewell = _LAST_ANSWERS[why]
        return super().finish(why)

    def say(self, answer: Answer) -> None:
        """Add a reply; one that closes ends the conversation."""
        if answer.closes:
            self.end(answer.to_wire())
            return
        self.write(answer.to_wire())
        if self.is_full():
            self.flush()

    async def event(self) -> Event:
        """The next event. ``ConnectionEnded``."""
        return await self.next(self.session.next)

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
        raise Farewell(event.to_wire())

    async def forget_incoming(self) -> None:
        """Throw away a message that was not finished."""
        incoming, self.incoming = self.incoming, None
        if incoming is not None:
            await incoming.abort()

    def answer_to(self, error: Exception) -> Answer:
        """The reply to an error; one that is a defect of ours is logged."""
        answer = answer_to_error(error)
        if answer is None:
            self.log_defect()
        return answer or INTERNAL

    async def _greet(self) -> Answer:
        rules = self.session.rules
        try:
            refusal = await self.reception.connected(self.peer)
            is_polite = refusal is not None or await self._waits()
        except ConnectionEnded:
            raise
        except Exception as error:
            return attrs.evolve(self.answer_to(error), code=421, enhanced="", closes=True)
        if refusal is not None:
            return attrs.evolve(Answer.of(refusal), closes=True)
        if not is_polite:
            self.log.info(
                "SMTP session {session_id}: {ip} spoke before the greeting",
                session_id=self.peer.session_id,
                ip=self.peer.ip,
                metric="smtp-refusal",
                outcome="early-talker",
            )
            return _EARLY
        return Answer(220, "", f"{rules.hostname} ESMTP fe-mail")

    async def _waits(self) -> bool:
        """
        Does the client wait for the greeting, as it must (RFC 5321 §3.1)?

        What asks a store may be done at once: only a pause shows who cannot wait.
        """
        if not self.session.rules.refuses_early_talkers:
            return True
        seconds = await self.reception.patience(self.peer)
        if seconds is None:
            return True
        if seconds and not self.session.has_input:
            await self.link.listen(seconds)
        return not self.session.has_input


Perform = Callable[[SMTPConversation, Any], Awaitable[Answer | None]]
Commands = Mapping[type, Perform]
