"""
What every ``Bus`` does. A test class returns a fresh one from ``store(clock)``.
"""

from collections.abc import Mapping

from twisted.internet.task import Clock

from fe_mail.ports import Bus

__all__ = ["BusContract"]


class BusContract:
    """The tests; ``store`` and ``settle`` are the hooks."""

    def store(self, clock: Clock) -> Bus:
        """A fresh, started bus."""
        raise NotImplementedError  # pragma: no cover  # every subclass has one

    def settle(self) -> None:
        """Let the hints arrive."""
        self.clock.advance(0)

    def setUp(self) -> None:
        self.clock = Clock()
        self.bus = self.store(self.clock)
        self.seen: list[Mapping[str, str]] = []

    def test_hints_arrive_later(self) -> None:
        """Never within ``publish``, in order, to every subscriber of the topic."""
        other: list[Mapping[str, str]] = []
        self.bus.subscribe("t", self.seen.append)
        self.bus.subscribe("t", other.append)
        self.bus.subscribe("u", self.fail)
        self.bus.publish("t", {"n": "1"})
        self.bus.publish("t")
        self.assertEqual(self.seen, [])
        self.settle()
        self.assertEqual(self.seen, [{"n": "1"}, {}])
        self.assertEqual(other, self.seen)

    def test_end(self) -> None:
        """Nothing arrives after the end, not even a hint that was under way."""
        end = self.bus.subscribe("t", self.seen.append)
        self.bus.publish("t")
        end()
        end()
        self.settle()
        self.assertEqual(self.seen, [])

    def test_same_function_twice(self) -> None:
        """Two subscriptions are two, and end one by one."""
        end = self.bus.subscribe("t", self.seen.append)
        self.bus.subscribe("t", self.seen.append)
        end()
        self.bus.publish("t")
        self.settle()
        self.assertEqual(len(self.seen), 1)

    def test_failure(self) -> None:
        """A subscriber that fails is logged and stops nobody else."""

        def fail(payload: Mapping[str, str]) -> None:
            raise ZeroDivisionError

        self.bus.subscribe("t", fail)
        self.bus.subscribe("t", self.seen.append)
        self.bus.publish("t")
        self.settle()
        self.assertEqual(self.seen, [{}])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_payload_is_a_copy(self) -> None:
        """What the publisher does with its mapping afterwards is its own business."""
        payload = {"folder": "1"}
        self.bus.subscribe("t", self.seen.append)
        self.bus.publish("t", payload)
        payload["folder"] = "2"
        self.settle()
        self.assertEqual(self.seen, [{"folder": "1"}])

    def test_publish_while_receiving(self) -> None:
        """A subscriber that publishes is not called before it has returned."""
        depths: list[int] = []

        def receive(payload: Mapping[str, str]) -> None:
            depths.append(1)
            if not payload:
                self.bus.publish("t", {"again": "1"})
            self.seen.append(payload)
            depths.pop()
            self.assertEqual(depths, [])

        self.bus.subscribe("t", receive)
        self.bus.publish("t")
        self.settle()
        self.settle()
        self.assertEqual(self.seen, [{}, {"again": "1"}])
