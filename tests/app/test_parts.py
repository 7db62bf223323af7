"""Parts start and stop in order, and nothing that can be stopped is forgotten."""

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.logger import globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase

from fe_mail.app.config import load
from fe_mail.app.edge_table import edges, listeners, role_names
from fe_mail.app.parts import Part, Parts
from fe_mail.app.service import FeMailService


class PartsTests(SynchronousTestCase):
    """With parts that write down what they do."""

    def setUp(self) -> None:
        """Nothing happened yet."""
        self.seen: list[str] = []

    def part(self, name: str) -> Part:
        """It writes; one named "broken" cannot stop."""

        async def start() -> None:
            self.seen.append(f"+{name}")

        async def stop() -> None:
            self.seen.append(f"-{name}")
            if name == "broken":
                raise RuntimeError

        return Part(name, start=start, stop=stop)

    def test_orders(self) -> None:
        """One for the start, one for the stop."""
        parts = Parts([self.part("a"), self.part("b"), self.part("c")], ["b", "c", "a"])
        self.successResultOf(Deferred.fromCoroutine(parts.start()))
        self.successResultOf(Deferred.fromCoroutine(parts.stop()))
        self.assertEqual(self.seen, ["+a", "+b", "+c", "-b", "-c", "-a"])

    def test_one_that_cannot_stop(self) -> None:
        """It is reported; the stores behind it are closed all the same."""
        parts = Parts([self.part("stores"), self.part("broken")], ["broken", "stores"])
        self.successResultOf(Deferred.fromCoroutine(parts.stop()))
        self.assertEqual(self.seen, ["-broken", "-stores"])
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_stopped_while_it_starts(self) -> None:
        """
        What would have started after the one that takes long does not; the one that takes long is
        stopped when it has started, whether or not it could.
        """
        for outcome in (None, Failure(RuntimeError())):
            self.seen.clear()
            opened: Deferred[None] = Deferred()
            stores = attrs.evolve(self.part("stores"), start=lambda opened=opened: opened)
            parts = Parts([stores, self.part("doors")], ["doors", "stores"])
            starting = Deferred.fromCoroutine(parts.start())
            stopping = Deferred.fromCoroutine(parts.stop())
            self.assertEqual(self.seen, ["-doors"])
            self.assertNoResult(stopping)
            opened.callback(outcome)
            self.successResultOf(stopping)
            self.assertEqual(self.seen, ["-doors", "-stores"])
            self.assertTrue(parts.is_stopped)
            if outcome is None:
                self.successResultOf(starting)
            else:
                self.failureResultOf(starting, RuntimeError)

    def test_none_is_forgotten(self) -> None:
        """Whatever starts has its place in the order of stopping, and the other way round."""
        for stop_order in (["a"], ["a", "b", "c"], ["a", "b", "b"]):
            with self.assertRaises(ValueError):
                Parts([self.part("a"), self.part("b")], stop_order)


def ours(root: object) -> list[Any]:
    """The objects of fe-mail that are reachable from one of them through its attributes."""
    seen: dict[int, Any] = {}
    waiting = [root]
    while waiting:
        each = waiting.pop()
        if isinstance(each, Mapping):
            waiting += each.values()
        elif isinstance(each, list | tuple | set | frozenset):
            waiting += each
        elif type(each).__module__.startswith("fe_mail.") and id(each) not in seen:
            seen[id(each)] = each
            waiting += vars(each).values() if hasattr(each, "__dict__") else ()
    return list(seen.values())


def ends(root: object) -> Iterator[tuple[Any, str]]:
    """Every object that is reachable and can be stopped, with the method's name."""
    for each in ours(root):
        for method in ("stop", "close", "drain", "stop_listening"):
            if callable(getattr(type(each), method, None)):
                yield each, method


class ServiceTests(TestCase):
    """A whole server, started and stopped."""

    timeout = 60

    async def test_everything_that_can_stop_is_stopped(self) -> None:
        """Each ``stop``, ``close`` and ``drain`` of what a process consists of is called."""
        directory = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, directory)
        environ = {"DOMAIN": "parts.test"}
        for edge in edges():
            environ[edge.port_variable] = "0"
            if edge.takes_endpoints:
                environ[edge.listen_variable] = "tcp:0:interface=127.0.0.1"
        config = load(directory, environ)
        called: set[tuple[int, str]] = set()
        for each, method in list(ends(FeMailService(reactor, config, role_names()))):
            self.record(type(each), method, called)
        service = FeMailService(reactor, config, role_names())
        expected = {(id(each), method): type(each).__name__ for each, method in ends(service)}
        for name in ("Login", "QueueRunner", "JobRunner", "SQLiteQueue", "IMAPFactory", "Listener"):
            self.assertIn(name, expected.values())
        globalLogPublisher.addObserver(service.metrics)
        await service.parts.start()
        await service.parts.stop()
        globalLogPublisher.removeObserver(service.metrics)
        forgotten = [f"{name}.{key[1]}" for key, name in expected.items() if key not in called]
        self.assertEqual(forgotten, [])

    def test_every_listener_has_its_factory(self) -> None:
        """By the names of the table, and none is left over."""
        directory = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, directory)
        config = load(directory, {"DOMAIN": "parts.test"})
        service = FeMailService(reactor, config, role_names())
        self.assertEqual(set(service.edges.factories), {edge.name for _, edge in listeners()})

    def record(self, cls: type, method: str, called: set[tuple[int, str]]) -> None:
        """Note each call of a method."""
        original = getattr(cls, method)
        if hasattr(original, "is_recording"):
            return

        def recording(this: object, *args: Any, **kwargs: Any) -> Any:
            called.add((id(this), method))
            return original(this, *args, **kwargs)

        recording.is_recording = True  # type: ignore[attr-defined]
        self.patch(cls, method, recording)
