"""
A delivery that runs is never started again: pauses longer than the lease, steps of the clock, other
processes. Leases count by ``steady``, due times and timers by ``clock``.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from fe_mail.adapters.memory.blobs import MemoryBlobs
from fe_mail.adapters.memory.bus import MemoryBus
from fe_mail.adapters.sqlite.queue import SQLiteQueue
from fe_mail.adapters.threads import InlineThreads, Threads
from fe_mail.model.queue import DeliveryState, Target
from fe_mail.queue.runner import LEASE_SECONDS, QueueRunner
from fe_mail.queue.schedule import FIRST_CONCURRENCY
from tests.adapters.later import LaterThreads
from tests.queue.base import ROOMS
from tests.queue.running import DELIVERED, NEVER, RunnerTestCase, StuckCourier

LONG = 3 * LEASE_SECONDS


class LeasesTestCase(RunnerTestCase):
    """A queue on disk, whose leases have a clock of their own; a courier that waits."""

    remote: StuckCourier

    def setUp(self) -> None:
        """Not started yet."""
        self.steady = Clock()
        self.steady.advance(1000.0)
        self.path = Path(self.mktemp()) / "queue.sqlite"
        super().setUp()
        self.remote = StuckCourier()

    def make_queue(self, threads: Threads | None = None) -> SQLiteQueue:
        """On disk: opened once more it is the queue of another process."""
        queue = SQLiteQueue(
            self.path, threads or InlineThreads(), MemoryBlobs(), steady=self.steady.seconds
        )
        self.now(queue.start())
        self.addCleanup(lambda: self.now(queue.stop()))
        return queue

    def hint(self) -> None:
        """Something may be due."""
        self.bus.publish("queue")
        self.clock.advance(0)

    def begun(self) -> list[tuple[str, int]]:
        """Every delivery that was ever begun."""
        return [
            (claim.message.id, one.number)
            for claim in self.remote.begun
            for one in claim.deliveries
        ]

    def finish_all(self, count: int) -> None:
        """Let all be delivered: each was begun once, and told of once."""
        while self.remote.waiting:
            self.remote.release(DELIVERED)
            self.clock.advance(0)
        self.assertEqual(self.entries(), ())
        self.assertEqual(len(self.begun()), count)
        self.assertEqual(len(set(self.begun())), count)
        self.assertEqual(self.kinds(), ["delivered"] * count)
        self.assertEqual(self.remote.cancelled, 0)


class PauseTests(LeasesTestCase):
    """The process stood still for longer than its leases last."""

    def test_claimed_again_by_ourselves(self) -> None:
        """What is under way goes on under the new lease."""
        self.start()
        self.put("a@elsewhere.test")
        self.steady.advance(LONG)
        self.hint()
        self.assertEqual(len(self.begun()), 1)
        self.steady.advance(LEASE_SECONDS - 1)
        self.assertEqual(self.now(self.make_queue().claim(self.clock.seconds(), 60.0, ROOMS)), ())
        self.finish_all(1)

    def test_no_room_to_claim_again(self) -> None:
        """A lane that is full is not claimed again, and loses nothing by it."""
        self.start()
        for number in range(3 * FIRST_CONCURRENCY):
            self.put(f"u{number}@elsewhere.test")
        self.assertEqual(len(self.begun()), FIRST_CONCURRENCY)
        self.steady.advance(LONG)
        self.hint()
        self.clock.advance(LEASE_SECONDS / 3)
        self.finish_all(3 * FIRST_CONCURRENCY)

    def test_ends_in_the_pause(self) -> None:
        """An outcome that comes before anything else counts."""
        self.start()
        self.put("a@elsewhere.test")
        self.steady.advance(LONG)
        self.finish_all(1)

    def test_ends_while_it_is_claimed(self) -> None:
        """The outcome is on its way with the old lease while we take the new one."""
        threads = LaterThreads()
        inline, self.queue = (
            self.queue,
            SQLiteQueue(self.path, threads, MemoryBlobs(), steady=self.steady.seconds),
        )
        opening = Deferred.fromCoroutine(self.queue.start())
        run_all(threads)
        self.successResultOf(opening)
        message = self.message()
        target = Target(courier="remote", address="a@elsewhere.test")
        self.now(inline.accept(self.acceptance(message, target)))
        self.start()
        run_all(threads)
        self.assertEqual(len(self.begun()), 1)
        self.steady.advance(LONG)
        self.hint()
        threads.next()  # looked: something is due
        self.remote.release(DELIVERED)  # joins the transaction that claims
        run_all(threads)
        self.queue = inline
        self.finish_all(1)

    def test_left_over(self) -> None:
        """What was not in our hands, and is claimed with what is, goes back and has its turn."""
        self.start()
        message = self.message()
        target = Target(courier="remote", address="x@elsewhere.test")
        acceptance = self.acceptance(message, target, target)
        (claim,) = self.now(self.queue.accept(acceptance, LEASE_SECONDS, [1]))
        self.intake.attach(None)
        self.runners[0].take([claim])
        self.assertEqual(self.begun(), [(message.id, 1)])
        self.steady.advance(LONG)
        self.hint()
        self.assertEqual(self.begun(), [(message.id, 1)])
        self.hint()
        self.finish_all(2)

    def test_several_recipients(self) -> None:
        """A connection with several recipients goes on as a whole."""
        self.start()
        self.put(*(f"u{number}@elsewhere.test" for number in range(5)))
        for _ in range(3):
            self.steady.advance(LONG)
            self.hint()
        self.assertEqual(len(self.remote.begun), 1)
        self.finish_all(5)


class StepTests(LeasesTestCase):
    """Somebody sets the time of day."""

    def test_forward(self) -> None:
        """A day: all timers fire, and no lease has ended."""
        self.start()
        self.put("a@elsewhere.test")
        self.clock.advance(86_400.0)
        self.hint()
        self.finish_all(1)

    def test_back(self) -> None:
        """A day: what comes then is due then, and what runs is left alone."""
        self.start()
        self.put("a@elsewhere.test")
        self.clock.rightNow -= 86_400.0
        self.put("b@elsewhere.test")
        self.hint()
        self.finish_all(2)

    def test_back_with_a_long_attempt(self) -> None:
        """The timers stand still until the time is made up; what runs meanwhile is ours."""
        self.start()
        self.put("a@elsewhere.test")
        self.clock.rightNow -= 86_400.0
        for _ in range(10):
            self.steady.advance(LONG)
            self.hint()
        self.finish_all(1)


class TwoRunnersTests(LeasesTestCase):
    """Two processes on one queue; the first stands still."""

    def setUp(self) -> None:
        """Another runner, with a clock, a bus and a courier of its own."""
        super().setUp()
        self.first = self.start()
        self.message_sent = self.put("a@elsewhere.test")
        self.other_clock = Clock()
        self.other_clock.advance(self.clock.seconds())
        self.other_queue = self.make_queue()
        self.other_courier = StuckCourier()
        self.other = QueueRunner(
            self.other_queue,
            {"remote": self.other_courier},
            self.bounces,
            MemoryBus(self.other_clock),
            self.other_clock,
            random=lambda: 0.5,
        )
        self.now(self.other.start())

    def take_over(self, *ignored: object) -> None:
        """Time goes on for the second only."""
        self.other_clock.advance(20.0)
        self.assertEqual(self.other_courier.begun, [])
        for _ in range(12):
            self.steady.advance(10.0)
            self.other_clock.advance(10.0)
        self.assertEqual(len(self.other_courier.begun), 1)

    def test_cancelled(self) -> None:
        """The first one breaks off, and records nothing."""
        self.take_over()
        self.clock.advance(LEASE_SECONDS)
        self.assertEqual(self.remote.cancelled, 1)
        self.clock.advance(LONG)
        self.assertEqual(self.kinds(), [])
        self.assertEqual(len(self.remote.begun), 1)
        self.other_courier.release(DELIVERED)
        self.assertEqual((self.entries(), self.kinds()), ((), ["delivered"]))

    def test_too_late(self) -> None:
        """An outcome of the first is not recorded, and no report of it is sent."""
        self.take_over()
        self.remote.release(NEVER)
        (entry,) = self.entries()
        self.assertIs(entry.deliveries[0].state, DeliveryState.WAITING)
        self.assertEqual(self.kinds(), [])
        self.other_courier.release(DELIVERED)
        self.assertEqual((self.entries(), self.kinds()), ((), ["delivered"]))
        self.assertEqual(self.inbox(), [])

    def test_given_back(self) -> None:
        """A first that ends while the other has it gives nothing back that is not its own."""
        self.take_over()
        stopping = Deferred.fromCoroutine(self.first.stop(grace_seconds=0.0))
        self.clock.advance(1.0)
        self.successResultOf(stopping)
        self.assertEqual(self.claims(), ())
        self.other_courier.release(DELIVERED)
        self.assertEqual((self.entries(), self.kinds()), ((), ["delivered"]))

    def test_renewed(self) -> None:
        """As long as both go on, nobody takes anything from the other."""
        for _ in range(30):
            for clock in (self.steady, self.clock, self.other_clock):
                clock.advance(10.0)
        self.assertEqual(self.other_courier.begun, [])
        self.finish_all(1)


# Delivers what is in the queue; the words on its input end each attempt. Its leases count by the
# number in a file.
RUN = """
import sys
from pathlib import Path
from twisted.internet import reactor, stdio
from twisted.internet.defer import Deferred
from twisted.protocols.basic import LineReceiver
from fe_mail.adapters.memory.blobs import MemoryBlobs
from fe_mail.adapters.memory.bus import MemoryBus
from fe_mail.adapters.sqlite.queue import SQLiteQueue
from fe_mail.adapters.threads import ReactorThreads
from fe_mail.model.queue import Outcome
from fe_mail.queue.runner import QueueRunner

directory = Path(sys.argv[1])

class Courier:
    waiting = []
    async def deliver(self, claim):
        print("begin", claim.message.id, flush=True)
        done = Deferred(lambda _: print("cancel", claim.message.id, flush=True))
        self.waiting.append(done)
        return await done

class Words(LineReceiver):
    delimiter = b"\\n"
    def lineReceived(self, line):
        if line == b"hint":
            bus.publish("queue")
            reactor.callLater(0, print, "hinted", flush=True)
        elif line == b"renew":
            Deferred.fromCoroutine(renew())
        elif line == b"deliver":
            for done in Courier.waiting:
                if not done.called:
                    done.callback((Outcome.delivered(),))
        elif line == b"stop":
            Deferred.fromCoroutine(stop())

async def renew():
    await runner._renew()
    print("renewed", flush=True)

async def stop():
    await runner.stop()
    await queue.stop()
    await threads.stop()
    print("stopped", flush=True)
    reactor.stop()

threads = ReactorThreads(reactor, 2, "databases")
queue = SQLiteQueue(
    directory / "queue.sqlite", threads, MemoryBlobs(),
    steady=lambda: float((directory / "steady").read_text()),
)
bus = MemoryBus(reactor)
runner = QueueRunner(queue, {"remote": Courier()}, None, bus, reactor)

async def main():
    await queue.start()
    await runner.start()

stdio.StandardIO(Words())
Deferred.fromCoroutine(main()).addErrback(lambda failure: print(failure.getTraceback(), flush=True))
reactor.run()
"""


class StoppedProcessTests(LeasesTestCase):
    """A real process under SIGSTOP, for longer than its leases last."""

    def setUp(self) -> None:
        """Two messages under way in the process."""
        super().setUp()
        self.pass_time(0.0)
        self.sent = {self.put_elsewhere(f"x@{name}.test").id for name in "ab"}
        self.process = subprocess.Popen(
            [sys.executable, "-c", RUN, str(self.path.parent.absolute())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )
        self.addCleanup(self.end)
        self.assertEqual({self.line(), self.line()}, {f"begin {each}" for each in self.sent})

    def end(self) -> None:
        """Whatever became of it."""
        self.process.kill()
        self.process.communicate()

    def pass_time(self, seconds: float) -> None:
        """For leases, in both processes."""
        self.steady.advance(seconds)
        path = self.path.parent / "steady"
        path.with_suffix(".new").write_text(str(self.steady.seconds()))
        path.with_suffix(".new").replace(path)

    def line(self) -> str:
        """What it says next."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def say(self, word: str) -> None:
        """What it does next."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{word}\n")
        self.process.stdin.flush()

    def stop_it(self) -> None:
        """Until it stands still."""
        os.kill(self.process.pid, signal.SIGSTOP)
        _, status = os.waitpid(self.process.pid, os.WUNTRACED)
        self.assertTrue(os.WIFSTOPPED(status))

    def test_goes_on(self) -> None:
        """Nobody else was there: each is delivered exactly once."""
        self.stop_it()
        self.pass_time(LONG)
        os.kill(self.process.pid, signal.SIGCONT)
        self.say("hint")
        self.assertEqual(self.line(), "hinted")
        self.say("renew")
        self.assertEqual(self.line(), "renewed")
        self.say("deliver")
        self.say("stop")
        self.assertEqual(self.line(), "stopped", "nothing began again")
        self.assertEqual((self.entries(), self.kinds()), ((), ["delivered"] * 2))

    def test_taken_over(self) -> None:
        """Another process delivered them meanwhile: it breaks off, and nothing is told twice."""
        self.stop_it()
        self.pass_time(LONG)
        self.remote = StuckCourier()
        self.start()
        self.assertEqual(len(self.remote.waiting), 2)
        os.kill(self.process.pid, signal.SIGCONT)
        self.say("renew")
        self.assertEqual({self.line(), self.line()}, {f"cancel {each}" for each in self.sent})
        self.assertEqual(self.line(), "renewed")
        self.say("stop")
        self.assertEqual(self.line(), "stopped")
        self.finish_all(2)


def run_all(threads: LaterThreads) -> None:
    """Until nothing is left to do."""
    while threads.calls:
        threads.next()
