"""Mail that comes in: accepted, in the mailbox, and what it costs."""

import time
from collections.abc import Callable, Sequence

import attrs

from bench.clients import IMAPLoad, smtp_load
from bench.peers import Postfix
from bench.stage import Stage
from bench.usage import usage
from tests.e2e.support import DemoServer

__all__ = ["accepting", "delivering", "two_processes"]

CLIENTS = 20
OCTETS = 4096
TO = "bob@demo.test"


@attrs.frozen
class _Run:
    """Messages per second accepted, and in the mailbox; milliseconds and KiB for each."""

    accepted: float
    delivered: float
    milliseconds: float
    written: float


class _Receiver:
    """A server that gets ``count`` messages; ``session`` sees those that go into a mailbox."""

    def __init__(
        self,
        count: int,
        ports: Sequence[int],
        session: IMAPLoad | None,
        processes: Callable[[], Sequence[int]],
    ) -> None:
        self._count = count
        self._ports = ports
        self._session = session
        self._processes = processes

    def run(self, *, is_new: bool = False) -> _Run:
        """Returns when all are in the mailbox, so that nothing goes on while a peer is measured."""
        count, there = self._count, self._session.messages() if self._session else 0
        before, began = usage(self._processes()), time.perf_counter()
        accepted = smtp_load(self._ports, TO, count, CLIENTS, OCTETS, is_new=is_new)
        while self._session and self._session.messages() < there + count:
            time.sleep(0.02)
        delivered = count / (time.perf_counter() - began)
        used = usage(self._processes()) - before
        milliseconds = used.processor_seconds / count * 1000
        return _Run(accepted, delivered, milliseconds, used.written_octets / count / 1024)


def _ours(stage: Stage, *servers: DemoServer) -> _Receiver:
    """The last of the processes is the one that is read from."""
    ports = [server.port("mx") for server in servers]
    processes = [server.process.pid for server in servers if server.process]
    return _Receiver(stage.count, ports, stage.session(servers[-1], "bob"), lambda: processes)


def _discarding(stage: Stage, postfix: Postfix | None) -> _Receiver | None:
    if postfix is None:
        return None
    return _Receiver(stage.count, [postfix.port], None, lambda: postfix.processes)


def accepting(stage: Stage) -> None:
    """Until 250, over connections that stay and over one for each message."""
    with stage.server() as server, stage.postfix() as postfix:
        ours, theirs = _ours(stage, server), _discarding(stage, postfix)
        for is_new, connections in ((False, "kept connections"), (True, "a connection for each")):
            _compare_accepted(stage, connections, ours, theirs, is_new)


def two_processes(stage: Stage) -> None:
    """
    Two MX processes on the data of one server; the second one delivers and is read from as well.

    Each listens on a port of the demo's choice and the clients are shared out, as the kernel
    would do on one port.
    """
    with stage.server() as first, stage.postfix() as postfix:
        first.stop()
        both = [DemoServer(first.directory), DemoServer(first.directory)]
        try:
            for server, roles in zip(both, ("mx", "mx,smtp-bree,imap"), strict=True):
                server.start("--role", roles)
            theirs = _discarding(stage, postfix)
            _compare_accepted(stage, "two MX processes", _ours(stage, *both), theirs, False)
        finally:
            for server in both:
                server.kill()


def _compare_accepted(
    stage: Stage, how: str, ours: _Receiver, theirs: _Receiver | None, is_new: bool
) -> None:
    stage.report.compare(
        f"accepted: 4 KiB, {CLIENTS} clients, {how}",
        "messages/s",
        lambda: ours.run(is_new=is_new).accepted,
        (lambda: theirs.run(is_new=is_new).accepted) if theirs else None,
    )


def delivering(stage: Stage) -> None:
    """
    Until IMAP counts all of them in the mailbox, which is open; and what one message costs then.

    The peer: Postfix hands them to Dovecot's LMTP, which writes them into a maildir.
    """
    with (
        stage.server() as server,
        stage.dovecot(server) as dovecot,
        stage.postfix(dovecot.lmtp if dovecot else 0) as postfix,
    ):
        ours, theirs = _ours(stage, server), None
        if dovecot and postfix:
            session = stage.peer_session(server, dovecot, "bob")
            processes = lambda: [*postfix.processes, *dovecot.processes]  # noqa: E731
            theirs = _Receiver(stage.count, [postfix.port], session, processes)
        pairs = [(ours.run(), theirs.run() if theirs else None) for _ in range(stage.report.rounds)]
    for what, unit, name in (
        (f"in the mailbox: 4 KiB, {CLIENTS} clients", "messages/s", "delivered"),
        ("processor time of a message into the mailbox", "ms", "milliseconds"),
        ("octets written for a message into the mailbox", "KiB", "written"),
    ):
        figures = [(getattr(a, name), getattr(b, name) if b else None) for a, b in pairs]
        stage.report.add(what, unit, figures)
