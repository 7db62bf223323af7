"""
The ``Bus`` of all processes on one machine that share a data directory.

Every process binds one UNIX datagram socket in ``directory``, which only its owner can enter, and
sends its hints to all the others: one datagram each, ``{"topic": ..., "payload": {...}}``. Nobody
waits for anybody: a full or broken socket loses hints, which costs latency and nothing else. Equal
hints of one turn of the reactor are one: a hundred messages for a mailbox say the same. The socket
of a process that was killed is removed by the first who finds it dead.
"""

import json
import os
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.protocol import DatagramProtocol
from twisted.logger import Logger

from fe_mail.adapters.memory.bus import MemoryBus

__all__ = ["LocalBus"]

MAX_OCTETS: Final = 4096  # of one hint
SUFFIX: Final = ".bus"
SETTLED_SECONDS: Final = 2.0  # a directory that changed just now may change unseen once more


class LocalBus(MemoryBus):
    """Hints to this process and to every other one with a bus in ``directory``."""

    log = Logger()

    def __init__(self, clock: IReactorTime, reactor: Any, directory: Path) -> None:
        super().__init__(clock)
        self._reactor = reactor  # provides IReactorUNIXDatagram
        self._directory = directory
        self._own = directory / f"{os.getpid()}-{secrets.token_hex(4)}{SUFFIX}"
        self._port: Any = None
        self._outgoing: dict[bytes, None] = {}  # of this turn, in order
        self._sending: IDelayedCall | None = None
        self._peers: tuple[str, ...] = ()
        self._stamp = 0

    async def start(self) -> None:
        """Bind the socket; where that is impossible, hints stay within this process."""
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        protocol = _Hints(self._receive)
        try:
            self._port = self._reactor.listenUNIXDatagram(
                str(self._own), protocol, maxPacketSize=MAX_OCTETS, mode=0o600
            )
        except (CannotListenError, OSError) as problem:
            self.log.warn(
                "Other processes hear nothing from this one at once, only when they look: {reason}",
                reason=str(getattr(problem, "socketError", problem)),
            )

    async def stop(self) -> None:
        """Forget the hints that were not given yet, and remove the socket."""
        await super().stop()
        self._send_out()
        port, self._port = self._port, None
        if port is not None:
            stopped = port.stopListening()
            if isinstance(stopped, Deferred):
                await stopped
            self._own.unlink(missing_ok=True)

    def publish(self, topic: str, payload: Mapping[str, str] | None = None) -> None:
        """Tell every subscriber of the topic, here and in the other processes."""
        super().publish(topic, payload)
        if self._port is None:
            return
        hint = json.dumps({"topic": topic, "payload": dict(payload or {})}).encode("ascii")
        if len(hint) > MAX_OCTETS:
            self.log.warn("A hint is too long for other processes", topic=topic)
            return
        self._outgoing[hint] = None
        if self._sending is None:
            self._sending = self._clock.callLater(0, self._send_out)

    def _send_out(self) -> None:
        """What was published in this turn."""
        if self._sending is not None and self._sending.active():
            self._sending.cancel()
        self._sending = None
        hints, self._outgoing = self._outgoing, {}
        for peer in self._find_peers() if hints else ():
            for hint in hints:
                self._send(hint, peer)

    def _find_peers(self) -> tuple[str, ...]:
        """The sockets of the others: the directory is read again when it changed."""
        try:
            stamp = os.stat(self._directory).st_mtime_ns
            is_settled = self._clock.seconds() - stamp / 1e9 > SETTLED_SECONDS
            if stamp != self._stamp or not is_settled:
                names = [name for name in os.listdir(self._directory) if name.endswith(SUFFIX)]
                others = sorted(name for name in names if name != self._own.name)
                self._peers = tuple(str(self._directory / name) for name in others)
                self._stamp = stamp
        except OSError:
            self._peers = ()
        return self._peers

    def _send(self, hint: bytes, peer: str) -> None:
        try:
            self._port.write(hint, peer)
        except (ConnectionRefusedError, FileNotFoundError):
            Path(peer).unlink(missing_ok=True)  # its process was killed
        except OSError as problem:
            self.log.debug("A hint was lost: {reason}", reason=str(problem), peer=peer)

    def _receive(self, datagram: bytes) -> None:
        hint = _read(datagram)
        if hint is None:
            self.log.warn("A hint that cannot be read was dropped.")
        else:
            super().publish(*hint)


class _Hints(DatagramProtocol):
    """Passes every datagram on."""

    noisy = False

    def __init__(self, receive: Callable[[bytes], None]) -> None:
        self._receive = receive

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        """One hint."""
        self._receive(datagram)


def _read(datagram: bytes) -> tuple[str, dict[str, str]] | None:
    """Topic and payload, None if it is no hint."""
    try:
        hint = json.loads(datagram)
    except (ValueError, RecursionError):
        return None
    if not isinstance(hint, dict):
        return None
    topic, payload = hint.get("topic"), hint.get("payload")
    if not isinstance(topic, str) or not isinstance(payload, dict):
        return None
    if not all(isinstance(value, str) for value in payload.values()):
        return None
    return topic, payload
