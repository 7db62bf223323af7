"""Mail that is read: IMAP and POP3 on a full folder, and what a connection costs in memory."""

import time
from collections.abc import Callable

from bench.clients import IMAPLoad, measure
from bench.stage import Stage
from bench.usage import memory_kib, slope

__all__ = ["connections", "fetching", "retrieving", "starting"]

FOLDER = "Bench"
REPEATED = (
    ("IMAP SELECT", "selects/s", f"SELECT {FOLDER}", 20),
    ("IMAP FETCH 1:* (UID FLAGS)", "fetches/s", "FETCH 1:* (UID FLAGS)", 5),
    ("IMAP FETCH 1:* ENVELOPE", "fetches/s", "FETCH 1:* (ENVELOPE)", 2),
    ("IMAP FETCH 1:* BODY.PEEK[]", "fetches/s", "FETCH 1:* (BODY.PEEK[])", 1),
    ("IMAP SEARCH TEXT, rare word", "searches/s", 'SEARCH TEXT "needle is here"', 3),
    ("IMAP SEARCH TEXT, in every message", "searches/s", 'SEARCH TEXT "lanterns"', 3),
    ("IMAP SEARCH UNSEEN", "searches/s", "SEARCH UNSEEN", 20),
    ("IMAP SEARCH SUBJECT", "searches/s", 'SEARCH SUBJECT "essage 99"', 3),
)


def starting(stage: Stage) -> None:
    """From the command to every listener accepting connections, on existing data."""
    with stage.server() as server:

        def start() -> float:
            server.stop()
            began = time.perf_counter()
            server.start()
            return time.perf_counter() - began

        stage.report.compare("start to ready", "seconds", start, None)
        assert server.process is not None
        pid = server.process.pid
        stage.report.compare(
            "idle memory of the process", "MiB", lambda: memory_kib(pid) / 1024, None
        )


def connections(stage: Stage) -> None:
    """What one more idle IMAP session over TLS costs, INBOX selected, once there are some."""
    count = min(100, stage.count // 20)
    with stage.server() as server, stage.dovecot(server) as dovecot:
        assert server.process is not None
        pid = server.process.pid
        names = iter(("alice", "bob") * count * stage.report.rounds)  # one may not have so many

        def measured(begin: Callable[[], IMAPLoad], processes: Callable[[], list[int]]) -> float:
            sessions: list[IMAPLoad] = []

            def one_more() -> None:
                sessions.append(begin())
                sessions[-1].ask("SELECT INBOX")

            cost = slope(processes, one_more, count)
            for session in sessions:
                session.logout()
            return cost

        stage.report.compare(
            f"memory of one more IMAP TLS session after {count // 2}",
            "KiB",
            lambda: measured(lambda: stage.session(server, next(names)), lambda: [pid]),
            (
                lambda: measured(
                    lambda: stage.peer_session(server, dovecot, "alice"), lambda: dovecot.processes
                )
            )
            if dovecot
            else None,
        )


def fetching(stage: Stage) -> None:
    """The same commands on both, one session over TLS, on a folder of ``count`` messages."""
    with stage.server() as server, stage.dovecot(server) as dovecot:
        ours = stage.session(server, "alice")
        theirs = stage.peer_session(server, dovecot, "alice") if dovecot else None

        def both(what: str, unit: str, work: Callable[[IMAPLoad], int]) -> None:
            stage.report.compare(
                what,
                unit,
                lambda: measure(lambda: work(ours)),
                (lambda: measure(lambda: work(theirs))) if theirs else None,
            )

        for session in filter(None, (ours, theirs)):
            session.ask(f"CREATE {FOLDER}")
            session.ask("CREATE Appended")
            session.append(FOLDER, range(stage.count), 4096)
            session.ask(f"SELECT {FOLDER}")
            session.ask("FETCH 1:* (FLAGS ENVELOPE BODYSTRUCTURE)")
        some = max(1, stage.count // 30)
        both(
            "IMAP APPEND one by one, 4 KiB, fsync",
            "messages/s",
            lambda s: s.append("Appended", range(some), 4096),
        )
        for what, unit, command, times in REPEATED:
            both(f"{what}", unit, lambda s, c=command, t=times: _repeat(s, c, t))  # type: ignore[misc]
        both(
            "IMAP FETCH n BODY.PEEK[], one command each",
            "bodies/s",
            lambda s: s.single_bodies(stage.count // 2),
        )


def _repeat(session: IMAPLoad, command: str, times: int) -> int:
    for _ in range(times):
        session.ask(command)
    return times


def retrieving(stage: Stage) -> None:
    """POP3 RETR, one command for each message, each round in a session of its own."""
    with stage.server() as server, stage.dovecot(server) as dovecot:
        stage.session(server, "bob").append("INBOX", range(stage.count), 4096)
        if dovecot:
            stage.peer_session(server, dovecot, "bob").append("INBOX", range(stage.count), 4096)

        def retrieved(port: int, name: str, password: str) -> float:
            session = stage.pop3(port, server, name, password)
            rate = measure(lambda: session.retrieve(stage.count))
            session.connection.close()
            return rate

        stage.report.compare(
            "POP3 RETR, 4 KiB",
            "messages/s",
            lambda: retrieved(server.port("pop3s"), *server.alias("bob")),
            (lambda: retrieved(dovecot.pop3, "bob", dovecot.password)) if dovecot else None,
        )
