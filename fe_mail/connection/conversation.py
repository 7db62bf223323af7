"""
A conversation: what a client says is answered strictly in order, one command at a time.

The one coroutine ``run`` takes what comes next, answers it completely, and only then looks at what
follows; so pipelined commands never overlap and replies are never mixed up. Everything that mail
protocols have in common is here: replies that are gathered and written together, a client that
does not read, turns, the change to TLS, the ways to end. A protocol adds its framer, its greeting,
what to do with a frame, and the words for each ``Reason``. The transport's side is a ``Link``; the
state of the dialogue is the protocol's ``Session``.

RFC 2449 §6.6, RFC 2920 §3.2, RFC 9051 §5.5 (pipelining); RFC 2595, RFC 3207, RFC 9051 §6.2.1 (TLS).
"""

import abc
from collections.abc import Callable, Mapping
from typing import ClassVar, Protocol, TypeVar

from twisted.logger import Logger

from fe_mail.connection.pacing import ConnectionEnded
from fe_mail.connection.registry import Connections, Reason
from fe_mail.connection.turns import BURST
from fe_mail.model.envelope import Peer

__all__ = ["MAX_ANONYMOUS_COMMANDS", "Conversation", "Farewell", "Framer", "Link"]

GATHERED_OCTETS = 32_768  # of replies that are worth a write
SLOW_SECONDS = 0.5  # after a command that took so long nothing waits
MAX_ANONYMOUS_COMMANDS = 100  # before login; clients need a handful

Frame = TypeVar("Frame")


class Farewell(Exception):
    """The conversation ends from our side, with these last words."""

    def __init__(self, octets: bytes) -> None:
        super().__init__()
        self.octets = octets


class Framer(Protocol):
    """Cuts what the network brings into frames, when asked."""

    def feed(self, octets: bytes) -> None:
        """Add what the network brought."""

    @property
    def waiting_octets(self) -> int:
        """Octets received and not consumed."""

    @property
    def is_full(self) -> bool:
        """More waits than is good: stop reading from the network."""


class Link(Protocol):
    """What a conversation needs of its connection; see ``ServerConnection``."""

    registry: Connections

    # One sentence for each is where they are implemented.
    @property
    def peer(self) -> Peer: ...
    @property
    def is_secure(self) -> bool: ...
    @property
    def can_start_tls(self) -> bool: ...
    @property
    def is_waiting(self) -> bool: ...
    def seconds(self) -> float: ...
    def write(self, octets: bytes) -> None: ...
    async def more(self) -> None: ...
    async def listen(self, seconds: float) -> None: ...
    async def writable(self) -> None: ...
    async def turn(self) -> None: ...
    def consumed(self) -> None: ...
    def wake(self) -> None: ...
    def start_tls(self) -> None: ...
    def signed_in(self, alias_id: str) -> Reason | None: ...
    def close(self) -> None: ...
    def cut(self) -> None: ...


class Conversation(abc.ABC):
    """One client of ``link``."""

    log = Logger()
    protocol: ClassVar[str]
    last_words: ClassVar[Mapping[Reason, bytes]]
    framer: Framer

    def __init__(self, link: Link, framer: Framer) -> None:
        self.link = link
        self.framer = framer
        self.farewell: Farewell | None = None  # set: nothing new begins, this is said instead
        self._gathered: list[bytes] = []
        self._gathered_octets = 0
        self._is_over = False
        self._burst = 0  # commands since the last wait
        self._taken_at = 0.0  # when the last frame was
        self._anonymous_commands = 0

    # What a protocol adds

    @property
    @abc.abstractmethod
    def idle_seconds(self) -> float:
        """How long the client may be silent, or not read, now."""

    @property
    def octets_buy_time(self) -> bool:
        """Does every octet begin ``idle_seconds`` again, or only what is complete?"""
        return False

    @property
    def is_anonymous(self) -> bool:
        """A stranger, who may not say much."""
        return False

    @property
    def is_idle(self) -> bool:
        """Between commands: has nothing begun that would be lost by closing?"""
        return True

    @property
    def peer(self) -> Peer:
        """The client as it is known now."""
        return self.link.peer

    @abc.abstractmethod
    async def greet(self) -> None:
        """The first words."""

    @abc.abstractmethod
    async def step(self) -> None:
        """Take what comes ``next`` and answer it."""

    @abc.abstractmethod
    async def let_go(self) -> None:
        """The conversation is over, whatever ended it: give back what it holds."""

    @abc.abstractmethod
    def secured(self) -> None:
        """TLS begins: a new framer, and nothing that was said before counts any more."""

    # From beginning to end

    async def run(self) -> None:
        """Greet, converse, let go."""
        try:
            await self.greet()
            while not self._is_over:
                await self._take_turn()
                await self.step()
                self._count_command()
                if self.link.seconds() - self._taken_at >= SLOW_SECONDS:
                    self.flush()
        except ConnectionEnded:
            pass
        except Farewell as farewell:
            self.end(farewell.octets)
        except Exception:
            self.log_defect()
            self.end(self.last_words[Reason.DEFECT])
        finally:
            await self.let_go()

    def log_defect(self) -> None:
        """An error of ours, in the middle of its handling."""
        self.log.failure(
            "{protocol} session {session_id}: defect",
            protocol=self.protocol,
            session_id=self.peer.session_id,
        )

    async def next(self, pull: Callable[[], Frame | None]) -> Frame:
        """What ``pull`` finds in the input, as soon as it is there. ``ConnectionEnded``."""
        while True:
            if self.farewell is not None and self.is_idle:
                self.end(self.farewell.octets)
            frame = None if self._is_over else pull()
            if frame is not None:
                self.link.consumed()
                self._taken_at = self.link.seconds()
                return frame
            self.flush()
            self._burst = 0
            await self.link.more()

    async def _take_turn(self) -> None:
        """Who does not read its answers waits; who sent much at once lets others go first."""
        await self.link.writable()
        if self._burst >= BURST:
            await self.breathe()

    async def breathe(self) -> None:
        """Let other connections have their turn. ``Farewell``."""
        self._burst = 0
        await self.drain()
        await self.link.turn()
        await self.link.writable()  # or it ended meanwhile

    def _count_command(self) -> None:
        self._burst += 1
        if self.is_anonymous:
            self.count_anonymous()

    def count_anonymous(self, weight: int = 1) -> None:
        """Clients need a handful of commands before login. ``Farewell``."""
        self._anonymous_commands += weight
        if self._anonymous_commands > MAX_ANONYMOUS_COMMANDS:
            raise Farewell(self.last_words[Reason.STRANGER])

    # What we say

    def write(self, octets: bytes) -> None:
        """Add to what goes out."""
        self._gathered.append(octets)
        self._gathered_octets += len(octets)

    def is_full(self) -> bool:
        """Enough is gathered to be worth a ``drain``."""
        return self._gathered_octets >= GATHERED_OCTETS

    def flush(self) -> None:
        """Write what is gathered."""
        if self._gathered:
            gathered, self._gathered, self._gathered_octets = self._gathered, [], 0
            if not self._is_over:
                self.link.write(gathered[0] if len(gathered) == 1 else b"".join(gathered))

    async def drain(self) -> None:
        """Write, and wait while the client reads too slowly. ``ConnectionEnded``."""
        self.flush()
        await self.link.writable()

    def end(self, octets: bytes = b"") -> None:
        """Say the last word and hang up."""
        if not self._is_over:
            self.write(octets)
            self.flush()
            self._is_over = True
            self.link.close()

    # TLS and login

    def allow_nothing_after(self) -> None:
        """What waits behind STARTTLS would be executed as if it were encrypted. ``Farewell``."""
        if self.framer.waiting_octets:
            raise Farewell(self.last_words[Reason.CLEAR_TEXT])

    def start_tls(self) -> None:
        """What was said so far goes out in clear; what was heard in clear is forgotten."""
        self.flush()
        self.secured()
        self.link.start_tls()

    def signed_in(self, alias_id: str) -> None:
        """The conversation belongs to this alias from now on. ``Farewell`` if it has too many."""
        why = self.link.signed_in(alias_id)
        if why is not None:
            raise Farewell(self.last_words[why])

    # The connection's side

    def receive(self, octets: bytes) -> None:
        """The network brought something."""
        self.framer.feed(octets)

    def woken(self) -> None:
        """It was taken in, and we wait, maybe for something slow: say what is known."""
        self.flush()

    def say_timeout(self) -> None:
        """The client is silent for too long."""
        self.end(self.last_words[Reason.TIMEOUT])

    def finish(self, why: Reason) -> bool:
        """Begin nothing new; end as soon as nothing is running. True if that is now."""
        return self.say_farewell(Farewell(self.last_words[why]))

    def say_farewell(self, farewell: Farewell) -> bool:
        """The same with other words."""
        self.farewell = self.farewell or farewell
        is_now = self.link.is_waiting and self.is_idle
        if is_now:
            self.end(self.farewell.octets)
        return is_now
