"""
A reactor that knows when the connections of a test are gone.

Peers that say goodbye to each other need a few turns of the reactor, and under load much longer
than anybody would guess. So a test that leaves such peers behind waits for their end.
"""

from typing import Any

from twisted.internet import reactor as global_reactor
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTCP, IReactorTime, IReactorUDP
from twisted.internet.task import Clock
from zope.interface import implementer

__all__ = ["Sockets"]


@implementer(IReactorTCP, IReactorUDP, IReactorTime)
class Sockets:
    """
    Passes everything on to the reactor, and counts what is open; listening TCP ports are not.

    With ``time`` delayed calls go there: nobody loses patience before the test says so.
    """

    def __init__(self, reactor: Any = global_reactor, time: Clock | None = None) -> None:
        self._reactor = reactor
        self._time = time or reactor
        self._open = 0
        self._waiting: list[tuple[int, Deferred[None]]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)

    def listenTCP(self, port: int, factory: Any, *args: Any, **more: Any) -> Any:
        """Connections that are accepted there count."""
        self._watch(factory)
        return self._reactor.listenTCP(port, factory, *args, **more)

    def connectTCP(self, host: str, port: int, factory: Any, *args: Any, **more: Any) -> Any:
        """It counts when it is made."""
        self._watch(factory)
        return self._reactor.connectTCP(host, port, factory, *args, **more)

    def listenUDP(self, port: int, protocol: Any, *args: Any, **more: Any) -> Any:
        """It counts until it is closed."""
        self._count(protocol, "doStop")
        return self._reactor.listenUDP(port, protocol, *args, **more)

    def callLater(self, delay: float, call: Any, *args: Any, **more: Any) -> Any:
        """By the clock of the test, if it has one."""
        return self._time.callLater(delay, call, *args, **more)

    def all_gone(self) -> "Deferred[None]":
        """Fires when nothing is open; the timeout of the test is the limit."""
        return self.open(0)

    def open(self, count: int) -> "Deferred[None]":
        """Fires when no more than so many are open."""
        done: Deferred[None] = Deferred()
        self._waiting.append((count, done))
        self._look()
        return done

    def _watch(self, factory: Any) -> None:
        build = factory.buildProtocol

        def build_counted(address: Any) -> Any:
            protocol = build(address)
            if protocol is not None:
                self._count(protocol, "connectionLost")
            return protocol

        factory.buildProtocol = build_counted

    def _count(self, protocol: Any, last_call: str) -> None:
        self._open += 1
        end = getattr(protocol, last_call)

        def ended(*args: Any) -> None:
            end(*args)
            self._open -= 1
            self._look()

        setattr(protocol, last_call, ended)

    def _look(self) -> None:
        ready = [wait for wait in self._waiting if self._open <= wait[0]]
        for wait in ready:
            self._waiting.remove(wait)
            wait[1].callback(None)
