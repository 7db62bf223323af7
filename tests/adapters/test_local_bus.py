"""The contract of ``Bus`` between processes, and what sockets add to it."""

import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock, deferLater
from twisted.trial.unittest import TestCase

from fe_mail.adapters.local_bus import MAX_OCTETS, LocalBus
from fe_mail.model.change import Change, ChangeKind
from fe_mail.model.ids import AliasId
from fe_mail.ports import Bus
from tests.contracts.bus import BusContract

anything: Any = reactor


class LocalBusCase(TestCase):
    """Buses in one directory; they end with the test."""

    timeout = 20

    def start(self, clock: Any, directory: Path | None = None) -> LocalBus:
        """A started bus."""
        if not hasattr(self, "directory"):
            temporary = tempfile.mkdtemp()  # trial's own are too long for sockets
            self.addCleanup(shutil.rmtree, temporary)
            self.directory = Path(temporary) / "bus"
        bus = LocalBus(clock, reactor, directory or self.directory)
        self.successResultOf(Deferred.fromCoroutine(bus.start()))
        self.addCleanup(lambda: Deferred.fromCoroutine(bus.stop()))
        return bus


class LocalBusContractTests(BusContract, LocalBusCase):
    """Within one process it is the bus in memory, with another one beside it or without."""

    def store(self, clock: Clock) -> Bus:
        self.start(Clock())
        return self.start(clock)


class BetweenProcessesTests(LocalBusCase):
    """Each bus stands for a process."""

    async def until(self, is_true: Callable[[], object]) -> None:
        """Turn the reactor until something holds; the test's timeout is the limit."""
        while not is_true():
            await deferLater(anything, 0.005, lambda: None)

    async def test_the_others_hear_it(self) -> None:
        """Once, with topic and payload; the publisher's own subscribers too."""
        buses = [self.start(reactor) for _ in range(3)]
        seen: list[list[Mapping[str, str]]] = [[], [], []]
        for bus, here in zip(buses, seen, strict=True):
            bus.subscribe("sealed:1", here.append)
            bus.subscribe("sealed:2", self.fail)
        buses[0].publish("sealed:1", {"folder": "7"})
        await self.until(lambda: all(seen))
        buses[1].publish("sealed:1")
        await self.until(lambda: all(len(here) > 1 for here in seen))
        self.assertEqual(seen, [[{"folder": "7"}, {}]] * 3)

    async def test_said_once(self) -> None:
        """What is published again in the same turn is one hint, in its first place."""
        first, second = self.start(reactor), self.start(reactor)
        seen: list[str] = []
        for topic in ("sealed:1", "queue", "last"):
            second.subscribe(topic, lambda _, topic=topic: seen.append(topic))
        for topic in ("sealed:1", "queue", "sealed:1", "sealed:1", "last"):
            first.publish(topic)
        await self.until(lambda: "last" in seen)
        self.assertEqual(seen, ["sealed:1", "queue", "last"])

    async def test_last_words(self) -> None:
        """What a process publishes just before it stops is heard."""
        first, second = self.start(reactor), self.start(reactor)
        seen: list[Mapping[str, str]] = []
        second.subscribe("queue", seen.append)
        first.publish("queue")
        await first.stop()
        await self.until(lambda: seen)

    async def test_changes_travel(self) -> None:
        """A typed change arrives as it was, and what is none is read as none."""
        first, second = self.start(reactor), self.start(reactor)
        change = Change(
            alias_id=AliasId("a1"), kind=ChangeKind.COLLECTION, id=7, modseq=9_007_199_254_740_993
        )
        seen: list[Mapping[str, str]] = []
        second.subscribe(Change.topic(change.alias_id), seen.append)
        first.publish(Change.topic(change.alias_id), change.payload())
        first.publish(Change.topic(change.alias_id), {"kind": "folder", "id": "x"})
        await self.until(lambda: len(seen) > 1)
        self.assertEqual([Change.read(payload) for payload in seen], [change, None])

    async def test_a_killed_process_is_forgotten(self) -> None:
        """Its socket goes with the first hint; those that live hear it all the same."""
        first, second = self.start(reactor), self.start(reactor)
        dead = self.directory / "1-dead.bus"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as killed:
            killed.bind(str(dead))
        seen: list[Mapping[str, str]] = []
        second.subscribe("queue", seen.append)
        first.publish("queue")
        await self.until(lambda: seen)
        self.assertFalse(dead.exists())

    async def test_who_comes_later_hears_it(self) -> None:
        """The list of the others is kept only as long as it is true."""
        first = self.start(reactor)
        first.publish("queue")
        second = self.start(reactor)
        seen: list[Mapping[str, str]] = []
        second.subscribe("queue", seen.append)
        first.publish("queue")
        await self.until(lambda: seen)
        await second.stop()
        first.publish("queue")
        self.assertEqual(len(os.listdir(self.directory)), 1)

    async def test_nonsense_is_dropped(self) -> None:
        """Whatever lands in the socket, the next hint is heard."""
        first, second = self.start(reactor), self.start(reactor)
        seen: list[Mapping[str, str]] = []
        second.subscribe("t", seen.append)
        nonsense = [b"", b"\xff", b"[" * 3000, b"[]", b'{"topic": 1}', b'{"topic": "t"}']
        nonsense += [b'{"topic": "t", "payload": {"a": 1}}', b"x" * 3 * MAX_OCTETS]
        (name,) = [n for n in os.listdir(self.directory) if n != first._own.name]
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as stranger:
            for datagram in nonsense:
                stranger.sendto(datagram, str(self.directory / name))
        first.publish("t", {"n": "x" * MAX_OCTETS})  # longer than a hint may be
        first.publish("t", {"n": "1"})
        await self.until(lambda: seen)
        self.assertEqual(seen, [{"n": "1"}])

    def test_only_the_owner_enters(self) -> None:
        """Hints name aliases: neither directory nor socket is for others."""
        bus = self.start(Clock())
        self.assertEqual(self.directory.stat().st_mode & 0o777, 0o700)
        self.assertEqual(bus._own.stat().st_mode & 0o777, 0o600)

    def test_a_path_too_long_for_sockets(self) -> None:
        """The process starts all the same; its hints stay at home."""
        clock = Clock()
        bus = self.start(clock, Path(self.mktemp()).absolute() / ("deep" * 30))
        seen: list[Mapping[str, str]] = []
        bus.subscribe("t", seen.append)
        bus.publish("t")
        clock.advance(0)
        self.assertEqual(seen, [{}])
