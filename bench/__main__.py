"""
``make bench``: measure the demo server beside its peers, and print one table.

Every figure is taken from outside, over loopback, from a separate process. These machines are
noisy, so the ratio to a peer that was measured in the same run says more than the figure.
``make bench ARGS=--small`` is quick and rough.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

from bench.clients import IMAPLoad, POP3Load, measure, smtp_load
from bench.peers import Dovecot, Postfix
from tests.e2e.support import DemoServer

FOLDER = "Bench"


class Report:
    """Rows of the table."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, float, float | None, str]] = []

    def add(self, what: str, ours: float, peer: float | None, unit: str) -> None:
        """One figure, and the peer's if it was measured."""
        self.rows.append((what, ours, peer, unit))
        print(self._line(self.rows[-1]), flush=True)

    def _line(self, row: tuple[str, float, float | None, str]) -> str:
        what, ours, peer, unit = row
        compared = f"{peer:12,.1f} {ours / peer:7.2f}" if peer else f"{'-':>12} {'-':>7}"
        return f"{what:<46} {ours:12,.1f} {compared}  {unit}"

    @staticmethod
    def heads() -> str:
        """The first line."""
        return f"{'':<46} {'fe-mail':>12} {'peer':>12} {'ratio':>7}"


def memory_kib(pid: int) -> float:
    """Proportional set size of a process."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return float(line.split()[1])
    raise RuntimeError("no Pss")


def bench_memory(
    server: DemoServer, dovecot: Dovecot | None, report: Report, connections: int
) -> None:
    """The idle process, and what an idle TLS session costs."""
    assert server.process is not None
    pid = server.process.pid
    report.add("idle memory of the process", memory_kib(pid) / 1024, None, "MiB")
    # Of two aliases, as one may not have so many.
    ours = _session_kib(
        lambda number: session(server, ("alice", "bob")[number % 2]), lambda: [pid], connections
    )
    theirs = None
    if dovecot:
        theirs = _session_kib(
            lambda number: IMAPLoad(dovecot.imap, server.context, "alice", dovecot.password),
            lambda: dovecot.processes,
            connections,
        )
    report.add("memory of an idle IMAP TLS session", ours, theirs, "KiB")


def _session_kib(
    begin: Callable[[int], IMAPLoad], processes: Callable[[], list[int]], connections: int
) -> float:
    before = sum(map(memory_kib, processes()))
    sessions = [begin(number) for number in range(connections)]
    for each in sessions:
        each.ask("SELECT INBOX")
    used = sum(map(memory_kib, processes()))
    for each in sessions:
        each.connection.close()
    return (used - before) / connections


def session(server: DemoServer, name: str) -> IMAPLoad:
    """A signed-in session with the demo over TLS."""
    return IMAPLoad(server.port("imaps"), server.context, *server.alias(name))


def bench_start(server: DemoServer, report: Report) -> None:
    """From the command to every listener accepting connections, on existing data."""
    server.stop()
    began = time.perf_counter()
    server.start()
    report.add("start to ready", time.perf_counter() - began, None, "seconds")


def bench_smtp(server: DemoServer, report: Report, count: int) -> None:
    """Accepting, and being in the mailbox."""
    peer = None
    if Postfix.is_available():
        postfix = Postfix()
        postfix.start()
        peer = smtp_load(postfix.port, "bob@demo.test", count, 20, 4096)
        postfix.stop()
    began = time.perf_counter()
    ours = smtp_load(server.port("mx"), "bob@demo.test", count, 20, 4096)
    report.add("MX: 4 KiB, 20 sessions, accepted", ours, peer, "messages/s")
    with_delivery = session(server, "bob")
    while True:
        with_delivery.send("STATUS INBOX (MESSAGES)")
        line = with_delivery.connection.line()
        with_delivery.finish()
        if int(line.rsplit(b" ", 1)[1].strip(b")\r\n")) >= count:
            break
        time.sleep(0.05)
    report.add(
        "MX: until all are in the encrypted mailbox",
        count / (time.perf_counter() - began),
        None,
        "messages/s",
    )


def bench_reading(
    ours: IMAPLoad, peer: IMAPLoad | None, report: Report, count: int, rounds: int
) -> None:
    """The same commands on both, on a folder of ``count`` messages."""

    def both(what: str, unit: str, work: Callable[[IMAPLoad], int]) -> None:
        figures = [
            max(measure(lambda s=s: work(s)) for _ in range(rounds)) for s in (ours, peer) if s
        ]
        report.add(what, figures[0], figures[1] if peer else None, unit)

    def times(command: str, repeat: int) -> Callable[[IMAPLoad], int]:
        def work(session: IMAPLoad) -> int:
            for _ in range(repeat):
                session.ask(command)
            return repeat

        return work

    appended = count // 10
    for each in (ours, peer):
        if each:
            each.ask(f"CREATE {FOLDER}")
            each.ask("CREATE Appended")
    both(
        "IMAP APPEND one by one, 4 KiB, fsync",
        "messages/s",
        lambda s: s.append("Appended", range(appended), 4096),
    )
    for each in (ours, peer):
        if each:
            each.append(FOLDER, range(count), 4096)
            each.ask(f"SELECT {FOLDER}")
            each.ask("FETCH 1:* (FLAGS ENVELOPE BODYSTRUCTURE)")
    both(f"IMAP SELECT, {count:,} messages", "selects/s", times(f"SELECT {FOLDER}", 20))
    both("IMAP FETCH 1:* (UID FLAGS)", "fetches/s", times("FETCH 1:* (UID FLAGS)", 5))
    both("IMAP FETCH 1:* ENVELOPE", "fetches/s", times("FETCH 1:* (ENVELOPE)", 2))
    both("IMAP FETCH n BODY.PEEK[], one command each", "bodies/s", lambda s: s.single_bodies(count))
    both("IMAP FETCH 1:* BODY.PEEK[]", "fetches/s", times("FETCH 1:* (BODY.PEEK[])", 1))
    both("IMAP SEARCH TEXT, rare word", "searches/s", times('SEARCH TEXT "needle is here"', 3))
    both("IMAP SEARCH TEXT, in every message", "searches/s", times('SEARCH TEXT "lanterns"', 3))
    both("IMAP SEARCH UNSEEN", "searches/s", times("SEARCH UNSEEN", 20))
    both("IMAP SEARCH SUBJECT", "searches/s", times('SEARCH SUBJECT "essage 99"', 3))


def main() -> None:
    """Everything, in one run."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--small", action="store_true", help="2,000 messages instead of 10,000")
    options = parser.parse_args()
    count = 2_000 if options.small else 10_000
    report = Report()
    server = DemoServer()
    server.start()
    dovecot = Dovecot(Path(server.facts["ca"])) if Dovecot.is_available() else None
    try:
        print(Report.heads())
        bench_start(server, report)
        if dovecot:
            dovecot.start()
        bench_memory(server, dovecot, report, 100)
        bench_smtp(server, report, count)
        peer = None
        if dovecot:
            peer = IMAPLoad(dovecot.imap, server.context, "bob", dovecot.password)
        bench_reading(session(server, "alice"), peer, report, count, 2)
        pop3 = POP3Load(server.port("pop3s"), server.context, *server.alias("bob"))
        theirs = None
        if dovecot and peer:
            peer.append("INBOX", range(count), 4096)
            other = POP3Load(dovecot.pop3, server.context, "bob", dovecot.password)
            theirs = measure(lambda: other.retrieve(count))
        report.add("POP3 RETR, 4 KiB", measure(lambda: pop3.retrieve(count)), theirs, "messages/s")
    finally:
        server.destroy()
        if dovecot:
            dovecot.stop()


if __name__ == "__main__":
    main()
