"""
Start ``twistd fe-mail --demo`` for real, and talk to it with what people use.

The server's own word decides when to go on: its "Ready" line, an untagged EXISTS, a POP3 count.
Every wait has a limit and says what it waited for.
"""

import atexit
import functools
import imaplib
import json
import os
import shutil
import signal
import smtplib
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 60.0
START_TRIES = 3
WAIT_SECONDS = 30.0


def require(program: str, package: str) -> str:
    """
    The path of a program. Missing: skip and say what to install; in CI (``CI=true``) fail.
    """
    found = shutil.which(program)
    if found:
        return found
    message = f"{program} is missing: install the package {package}"
    if os.environ.get("CI") == "true":
        raise AssertionError(message)
    raise unittest.SkipTest(message)


def wait_for(what: str, ask: Callable[[], T | None], seconds: float = WAIT_SECONDS) -> T:
    """Ask until the answer is neither None nor empty; fail with ``what`` when time runs out."""
    end = time.monotonic() + seconds
    pause = threading.Event()
    while True:
        answer = ask()
        if answer:
            return answer
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds:.0f} s in vain for {what}")
        pause.wait(0.05)


@functools.cache
def shared_server() -> "DemoServer":
    """One server for all tests of a process that only add to it; gone at the end."""
    server = DemoServer()
    atexit.register(server.destroy)
    server.start()
    return server


class DemoServer:
    """One run of the demo on a directory of its own; ``facts`` is its ``demo.json``."""

    def __init__(
        self, directory: Path | None = None, program: str = "", place: Path = ROOT
    ) -> None:
        self.directory = directory or Path(tempfile.mkdtemp(prefix="fe-mail-e2e-"))
        self.program = program or str(Path(sys.executable).with_name("twistd"))
        self.place = place  # the working directory
        self.process: subprocess.Popen[str] | None = None
        self.facts: dict[str, Any] = {}
        self.lines: list[str] = []

    def start(self, *options: str) -> None:
        """
        Start and wait until every listener accepts connections.

        The demo looks for free ports before it binds them; another demo of the same moment may
        be quicker, so a lost race is run again.
        """
        for _ in range(START_TRIES):
            if self._start(options):
                return
            if not any("Cannot listen on port" in line for line in self.lines[-20:]):
                break
        raise AssertionError("twistd ended:\n" + "".join(self.lines[-40:]))

    def _start(self, options: Sequence[str]) -> bool:
        facts = self.directory / "demo.json"
        facts.unlink(missing_ok=True)
        command = [self.program, "--nodaemon", "--pidfile="]
        self.process = subprocess.Popen(
            [*command, "fe-mail", "--demo", "--directory", str(self.directory), *options],
            cwd=self.place,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        threading.Thread(target=self._collect, args=(self.process,), daemon=True).start()
        process = self.process
        wait_for(
            "the server to be ready",
            lambda: facts.exists() or process.poll() is not None,
            START_SECONDS,
        )
        if not facts.exists():
            return False
        self.facts = json.loads(facts.read_text())
        return True

    def _collect(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdout is not None
        self.lines.extend(process.stdout)

    def signal(self, number: int) -> None:
        """Send a signal."""
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        """As a power cut would, short of the disk's cache."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
        if self.process is not None:
            self.process.wait(WAIT_SECONDS)

    def stop(self) -> int:
        """Stop gracefully; the exit code."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(WAIT_SECONDS + 10)

    def destroy(self) -> None:
        """End it and remove its directory."""
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    # Clients ------------------------------------------------------------------------------------

    @property
    def context(self) -> ssl.SSLContext:
        """Trusts the demo's certificate and checks host names."""
        return ssl.create_default_context(cafile=self.facts["ca"])

    @property
    def context_without_names(self) -> ssl.SSLContext:
        """The same for a listener that is reached by its IP address."""
        context = self.context
        context.check_hostname = False
        return context

    def alias(self, name: str) -> tuple[str, str]:
        """Address and password of ``alice`` or ``bob``."""
        for alias in self.facts["aliases"]:
            if alias["address"].startswith(name + "@"):
                return alias["address"], alias["password"]
        raise AssertionError(f"no alias {name}")

    def port(self, listener: str) -> int:
        """The port of a listener."""
        return int(self.facts[listener]["port"])

    def smtp(self, name: str) -> smtplib.SMTP_SSL:
        """A signed-in submission session with implicit TLS."""
        client = smtplib.SMTP_SSL(
            "localhost", self.port("submissions"), context=self.context, timeout=WAIT_SECONDS
        )
        client.login(*self.alias(name))
        return client

    def mx(self) -> smtplib.SMTP:
        """A plain session with the MX."""
        return smtplib.SMTP("127.0.0.1", self.port("mx"), "client.test", timeout=WAIT_SECONDS)

    def imap(self, name: str) -> imaplib.IMAP4_SSL:
        """A signed-in IMAP session."""
        client = imaplib.IMAP4_SSL(
            "localhost", self.port("imaps"), ssl_context=self.context, timeout=WAIT_SECONDS
        )
        client.login(*self.alias(name))
        return client

    def inbox(self, name: str, subject: str) -> bytes:
        """The raw message with this subject from the INBOX, as soon as it is there."""
        client = self.imap(name)
        try:

            def look() -> bytes | None:
                client.select("INBOX")
                _, found = client.search(None, "SUBJECT", f'"{subject}"')
                if not found[0]:
                    return None
                _, fetched = client.fetch(found[0].split()[-1].decode(), "(BODY.PEEK[])")
                part = fetched[0]
                assert isinstance(part, tuple)
                return bytes(part[1])

            return wait_for(f"a message {subject!r} in {name}'s INBOX", look)
        finally:
            client.logout()
