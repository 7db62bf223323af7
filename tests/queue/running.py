"""A post office with a runner, and couriers that do what a test says."""

from typing import Any

from twisted.internet.defer import Deferred

from fe_mail.adapters.threads import InlineThreads
from fe_mail.delivery.courier import Courier
from fe_mail.delivery.local import LocalCourier
from fe_mail.model.queue import Claim, Outcome, QueuedMessage, Target
from fe_mail.queue.runner import QueueRunner
from fe_mail.reception.bounces import Bounces
from tests.queue.base import PostOfficeTestCase, ScriptedCourier

__all__ = ["DELIVERED", "DOWN", "LATER", "NEVER", "RunnerTestCase", "StuckCourier", "elsewhere"]

DELIVERED = Outcome.delivered()
DOWN = Outcome.deferred(451, "4.4.1", "No mail host of the recipient answers.")
LATER = Outcome.deferred(451, "4.7.1", "Greylisted")
NEVER = Outcome.failed(550, "5.1.1", "No such user", "mx.elsewhere.test")


def elsewhere(address: str) -> Target:
    """On another host."""
    return Target(courier="remote", address=address)


class StuckCourier:
    """Delivers when the test says so."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Claim, Deferred[tuple[Outcome, ...]]]] = []
        self.begun: list[Claim] = []
        self.cancelled = 0

    async def deliver(self, claim: Claim) -> tuple[Outcome, ...]:
        """Wait."""
        entry = claim, Deferred(lambda _: self.cancel(entry))
        self.waiting.append(entry)
        self.begun.append(claim)
        return await entry[1]

    def cancel(self, entry: tuple[Claim, Deferred[tuple[Outcome, ...]]]) -> None:
        """One was broken off."""
        self.cancelled += 1
        self.waiting.remove(entry)

    def release(self, outcome: Outcome) -> None:
        """Let all go."""
        waiting, self.waiting = self.waiting, []
        for claim, done in waiting:
            done.callback((outcome,) * len(claim.deliveries))


class RunnerTestCase(PostOfficeTestCase):
    """A runner with couriers of the test's choice."""

    def setUp(self) -> None:
        """Not started yet."""
        super().setUp()
        self.remote: Any = ScriptedCourier()
        self.more_couriers: dict[str, Courier] = {}
        self.runners: list[QueueRunner] = []
        self.bounces = Bounces(
            self.router,
            self.queue,
            self.intake,
            self.own_domain,
            self.clock,
            hostname="mx.example.net",
        )

    def start(self, **more: Any) -> QueueRunner:
        """Start a runner; it sees the couriers that are set now."""
        local = LocalCourier(self.accounts, self.mailboxes, self.queue, InlineThreads().run)
        couriers: dict[str, Courier] = {
            "local": local,
            "remote": self.remote,
            "forward": self.remote,
            **self.more_couriers,
        }
        runner = QueueRunner(
            self.queue,
            couriers,
            self.bounces,
            self.bus,
            self.clock,
            **{"random": lambda: 0.5, **more},
        )
        self.now(runner.start())
        self.intake.attach(runner)
        self.runners.append(runner)
        return runner

    def put(self, *addresses: str, **more: Any) -> QueuedMessage:
        """A message from alice to other hosts, accepted as by a reception."""
        message = self.message(**more)
        targets = [elsewhere(address) for address in addresses]
        acceptance = self.acceptance(message, *targets)
        self.now(self.intake.accept(message, acceptance.deliveries, acceptance.body))
        return message

    def put_elsewhere(self, *addresses: str, **more: Any) -> QueuedMessage:
        """The same by another process, whose hint is lost."""
        message = self.message(**more)
        targets = [elsewhere(address) for address in addresses]
        self.now(self.queue.accept(self.acceptance(message, *targets)))
        return message

    def take_over(self, message: QueuedMessage) -> None:
        """Another process has the lease of this message now."""
        self.now(
            self.queue.database.execute(
                "UPDATE deliveries SET token = 'of another' WHERE message = "
                "(SELECT serial FROM messages WHERE id = ?)",
                (message.id,),
            )
        )

    def run_for(self, seconds: float, step: float = 10.0) -> None:
        """Let time pass."""
        for _ in range(int(seconds // step)):
            self.clock.advance(step)
        self.clock.advance(seconds % step)

    def kinds(self) -> list[str]:
        """The kinds of the domain's log entries, oldest first."""
        return [entry.kind for entry in self.journal() if entry.domain_id == self.domain.id]
