"""Mail that comes in: accepted, in the mailbox, and what it costs."""

import time
from collections.abc import Callable, Sequence

from bench.clients import IMAPLoad, smtp_load
from bench.stage import Stage
from bench.usage import Usage, usage
from tests.e2e.support import DemoServer

__all__ = ["accepting", "delivering", "two_processes"]

SESSIONS = 20
OCTETS = 4096
TO = "bob@demo.test"


def accepting(stage: Stage) -> None:
    """Until 250, over connections that stay and over one for each message; nobody reads."""
    with stage.server() as server, stage.postfix() as postfix:
        ours = [server.port("mx")]
        theirs = [postfix.port] if postfix else []
        for is_new, what in ((False, "kept connections"), (True, "a connection for each")):
            stage.report.compare(
                f"accepted: 4 KiB, {SESSIONS} clients, {what}",
                "messages/s",
                lambda new=is_new: _accept(ours, stage.count, new),  # type: ignore[misc]
                (lambda new=is_new: _accept(theirs, stage.count, new)) if postfix else None,  # type: ignore[misc]
            )
            _settle(stage, server)


def two_processes(stage: Stage) -> None:
    """
    Two MX processes on the data of one server; the second one delivers and is read from as well.

    Each listens on a port of the demo's choice and the clients are shared out, as the kernel
    would do on one port (``--share-ports``).
    """
    with stage.server() as first, stage.postfix() as postfix:
        first.stop()
        both = [DemoServer(first.directory), DemoServer(first.directory)]
        try:
            for server, roles in zip(both, ("mx", "mx,smtp-bree,imap"), strict=True):
                server.start("--role", roles)
            ports = [server.port("mx") for server in both]
            stage.report.compare(
                f"accepted: 4 KiB, {SESSIONS} clients, two MX processes",
                "messages/s",
                lambda: _accept(ports, stage.count, False),
                (lambda: _accept([postfix.port], stage.count, False)) if postfix else None,
            )
        finally:
            for server in both:
                server.kill()


def delivering(stage: Stage) -> None:
    """
    Until IMAP counts all of them in the mailbox, which is open; and what one message costs then.

    The peer: Postfix hands them to Dovecot's LMTP, which writes them into a maildir.
    """
    with stage.server() as server, stage.dovecot(server) as dovecot:
        assert server.process is not None
        pid = server.process.pid
        with stage.postfix(dovecot.lmtp if dovecot else 0) as postfix:
            ours = _Delivery(
                stage, [server.port("mx")], stage.session(server, "bob"), lambda: [pid]
            )
            theirs = None
            if dovecot and postfix:
                theirs = _Delivery(
                    stage,
                    [postfix.port],
                    stage.peer_session(server, dovecot, "bob"),
                    lambda: [*postfix.processes, *dovecot.processes],
                )
            pairs = [(ours.run(), theirs and theirs.run()) for _ in range(stage.report.rounds)]
    for number, (what, unit) in enumerate(
        (
            (f"in the mailbox: 4 KiB, {SESSIONS} clients", "messages/s"),
            ("processor time of a message into the mailbox", "ms"),
            ("octets written for a message into the mailbox", "KiB"),
        )
    ):
        stage.report.add(what, unit, [(a[number], b[number] if b else None) for a, b in pairs])


class _Delivery:
    """One server: messages go in, one session counts them."""

    def __init__(
        self,
        stage: Stage,
        ports: Sequence[int],
        session: IMAPLoad,
        processes: Callable[[], Sequence[int]],
    ) -> None:
        self._stage = stage
        self._ports = ports
        self._session = session
        self._processes = processes

    def run(self) -> tuple[float, float, float]:
        """Messages per second, milliseconds and KiB for each."""
        count = self._stage.count
        there = self._session.messages()
        before, began = usage(self._processes()), time.perf_counter()
        smtp_load(self._ports, TO, count, SESSIONS, OCTETS)
        self._stage.wait_for_messages(self._session, there + count)
        rate = count / (time.perf_counter() - began)
        used: Usage = usage(self._processes()) - before
        return rate, used.processor_seconds / count * 1000, used.written_octets / count / 1024


def _accept(ports: Sequence[int], count: int, is_new: bool) -> float:
    return smtp_load(ports, TO, count, SESSIONS, OCTETS, is_new=is_new)


def _settle(stage: Stage, server: DemoServer) -> None:
    """What waits is delivered before the next figure is taken: reading it takes it in."""
    session = stage.session(server, "bob")
    known = -1
    while (there := session.messages()) != known:
        known = there
        time.sleep(0.5)
    session.logout()
