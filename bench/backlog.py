"""
Mail for a host that does not answer, much of it, and what other mail notices.

A server that is no demo, for a domain that its own name server (below) vouches for. Mail to
``away`` is forwarded to a domain whose MX nobody can find out: each attempt waits for an answer
that never comes. Then mail to a mailbox here is timed, from the 250 to the EXISTS of a session in
IDLE, one message after the other, before the backlog and with it.
"""

import re
import shutil
import socket
import statistics
import tempfile
import threading
import time
from contextlib import closing
from pathlib import Path

import dns.message
import dns.rdatatype
import dns.rrset

from bench.clients import IMAPLoad, smtp_load
from bench.stage import Stage
from bench.usage import usage
from tests.fixtures.observing import Server, anyone, operator

__all__ = ["backlog"]

DOMAIN = "bench.test"
CLIENTS = 8  # an address may have so many connections, and some to spare
SAMPLES = 50
IDLE_SECONDS = 10.0


def backlog(stage: Stage) -> None:
    """Twice as many messages as other figures take: 20,000."""
    count = 2 * stage.count
    directory = Path(tempfile.mkdtemp(prefix="bench-backlog-"))
    zone: dict[tuple[str, str], list[str]] = {}
    try:
        with closing(_NameServer(zone)) as names:
            password = _set_up(directory, names.address, zone)
            variables = {"DNS_SERVERS": names.address}
            with Server(directory, "mx,smtp-bree,imap", variables) as server:
                before = _delays(server, password)
                smtp_load([server.ports["MX"]], f"away@{DOMAIN}", count, CLIENTS, 400)
                after = _delays(server, password)
                idle = usage([server.process.pid])
                time.sleep(IDLE_SECONDS)
                used = usage([server.process.pid]) - idle
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    what = f"mail beside {count:,} for a dead host (peer: without)"
    for name, of in (("median", statistics.median), ("slowest", max)):
        pair = (of(after) * 1000, of(before) * 1000)
        stage.report.add(f"{what}, {name}", "ms", [pair])
    seconds, octets = used.processor_seconds / IDLE_SECONDS, used.written_octets / IDLE_SECONDS
    stage.report.add("processor while they only wait", "%", [(100 * seconds, None)])
    stage.report.add("written while they only wait", "KiB/s", [(octets / 1024, None)])


def _set_up(directory: Path, resolver: str, zone: dict[tuple[str, str], list[str]]) -> str:
    """The domain, verified, an alias that forwards, one with a mailbox; its password."""
    (directory / ".env").write_text(f"DOMAIN={DOMAIN}\nDNS_SERVERS={resolver}\n")
    operator(directory, "user", "add", "me@example.net", stdin="mulled otter 84 quay\n")
    records = operator(directory, "domain", "add", DOMAIN)
    proof = re.search(r"forward-email-site-verification=\w+", records)
    assert proof, records
    zone[DOMAIN, "TXT"] = [f'"{proof[0]}"']
    zone[DOMAIN, "MX"] = [f"10 mx.{DOMAIN}."]
    operator(directory, "domain", "verify", DOMAIN)
    operator(
        directory, "alias", "add", f"away@{DOMAIN}", "--no-mailbox", "--recipient", "x@dead.test"
    )
    operator(directory, "alias", "add", f"here@{DOMAIN}")
    made = operator(directory, "password", f"here@{DOMAIN}")
    password = re.search(r"Password:\s+(\S+)", made)
    assert password, made
    return password[1]


def _delays(server: Server, password: str) -> list[float]:
    """Seconds until a session in IDLE hears of a message, for each of some."""
    session = IMAPLoad(server.ports["IMAP"], anyone(), f"here@{DOMAIN}", password)
    session.ask("SELECT INBOX")
    found = []
    for _ in range(SAMPLES):
        session.send("IDLE")
        session.connection.line()
        began = time.perf_counter()
        smtp_load([server.ports["MX"]], f"here@{DOMAIN}", 1, 1, 400)
        while b"EXISTS" not in session.connection.line():
            pass
        found.append(time.perf_counter() - began)
        session.connection.socket.sendall(b"DONE\r\n")
        session.finish()
    session.logout()
    return found


class _NameServer:
    """Answers for ``zone`` on loopback, says that others do not exist, and is silent of one."""

    silent = "dead.test"

    def __init__(self, zone: dict[tuple[str, str], list[str]]) -> None:
        self._zone = zone
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.address = f"127.0.0.1#{self._socket.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        """Stop."""
        self._socket.close()

    def _serve(self) -> None:
        while True:
            try:
                wire, peer = self._socket.recvfrom(4096)
            except OSError:
                return
            answer = self._answer(dns.message.from_wire(wire))
            if answer is not None:
                self._socket.sendto(answer.to_wire(), peer)

    def _answer(self, query: dns.message.Message) -> dns.message.Message | None:
        question = query.question[0]
        name = question.name.to_text(omit_final_dot=True).lower()
        if name.endswith(self.silent):
            return None
        response = dns.message.make_response(query)
        kind = dns.rdatatype.to_text(question.rdtype)
        rows = self._zone.get((name, kind))
        if rows:
            response.answer.append(dns.rrset.from_text(question.name, 300, "IN", kind, *rows))
        return response
