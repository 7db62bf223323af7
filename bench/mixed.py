"""
A mixed load: twenty people who sign in, look around, read, flag, file, delete and sign out.

Each is a connection of its own over TLS, again and again, with a folder of its own so that
nobody waits for anybody's lock by design; half of them are alice, half bob.
"""

import ssl
import threading
from collections.abc import Iterator

from bench.clients import IMAPLoad, measure
from bench.peers import Dovecot
from bench.stage import Stage
from tests.e2e.support import DemoServer

__all__ = ["mixed"]

PEOPLE = 20
FILED = 3  # messages appended in one sitting


def mixed(stage: Stage) -> None:
    """Sittings per second."""
    sittings = max(PEOPLE, stage.count // 10)
    with stage.server() as server, stage.dovecot(server) as dovecot:
        context = server.context
        ours = [(*server.alias(name),) for name in ("alice", "bob")]
        theirs = [(name, dovecot.password if dovecot else "") for name in ("alice", "bob")]
        port = server.port("imaps")
        for session in _sessions(stage, server, dovecot):
            for number in range(PEOPLE):
                session.ask(f"CREATE Person{number}")
            session.logout()
        stage.report.compare(
            f"mixed load of {PEOPLE} TLS connections",
            "sittings/s",
            lambda: _everybody(port, context, ours, sittings),
            (lambda: _everybody(dovecot.imap, context, theirs, sittings)) if dovecot else None,
        )


def _sessions(stage: Stage, server: DemoServer, dovecot: Dovecot | None) -> Iterator[IMAPLoad]:
    for name in ("alice", "bob"):
        yield stage.session(server, name)
        if dovecot:
            yield stage.peer_session(server, dovecot, name)


def _everybody(
    port: int, context: ssl.SSLContext, accounts: list[tuple[str, str]], sittings: int
) -> float:
    numbers = iter(range(sittings))
    lock = threading.Lock()
    failures: list[Exception] = []

    def person(number: int) -> None:
        try:
            while True:
                with lock:
                    if next(numbers, None) is None:
                        return
                _sit(IMAPLoad(port, context, *accounts[number % 2]), f"Person{number}")
        except (OSError, EOFError, RuntimeError) as error:
            failures.append(error)

    threads = [threading.Thread(target=person, args=(number,)) for number in range(PEOPLE)]

    def run() -> int:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return sittings

    rate = measure(run)
    if failures:
        raise RuntimeError(f"{len(failures)} people gave up, the first: {failures[0]!r}")
    return rate


def _sit(session: IMAPLoad, folder: str) -> None:
    """One sitting: what a mail program does when it is opened and closed again."""
    session.ask('LIST "" "*"')
    session.append(folder, range(FILED), 4096)
    session.ask(f"SELECT {folder}")
    session.ask("FETCH 1:* (UID FLAGS ENVELOPE)")
    session.ask("FETCH 1 (BODY.PEEK[])")
    session.ask("STORE 1 +FLAGS.SILENT (\\Seen)")
    session.ask("UID SEARCH UNSEEN")
    session.ask(f"STORE 1:{FILED} +FLAGS.SILENT (\\Deleted)")
    session.ask("EXPUNGE")
    session.logout()
