"""What a section of the benchmark measures: the demo server, and its peers where installed."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import attrs

from bench.clients import IMAPLoad, POP3Load
from bench.peers import Dovecot, Postfix
from bench.report import Report
from tests.e2e.support import DemoServer

__all__ = ["Stage"]


@attrs.frozen
class Stage:
    """``count`` messages make a figure; each section has a server of its own."""

    report: Report
    count: int

    @contextlib.contextmanager
    def server(self) -> Iterator[DemoServer]:
        """The demo, fresh."""
        server = DemoServer()
        server.start()
        try:
            yield server
        finally:
            server.destroy()

    @contextlib.contextmanager
    def dovecot(self, server: DemoServer) -> Iterator[Dovecot | None]:
        """With the certificate of the demo; None where it cannot run."""
        if not Dovecot.is_available():
            yield None
            return
        dovecot = Dovecot(Path(server.facts["ca"]))
        dovecot.start()
        try:
            yield dovecot
        finally:
            dovecot.stop()

    @contextlib.contextmanager
    def postfix(self, lmtp: int = 0) -> Iterator[Postfix | None]:
        """With a mailbox server behind it, or alone; None where it cannot run."""
        if not Postfix.is_available():
            yield None
            return
        postfix = Postfix(lmtp)
        postfix.start()
        try:
            yield postfix
        finally:
            postfix.stop()

    @staticmethod
    def session(server: DemoServer, name: str) -> IMAPLoad:
        """Signed in with the demo over TLS."""
        return IMAPLoad(server.port("imaps"), server.context, *server.alias(name))

    @staticmethod
    def peer_session(server: DemoServer, dovecot: Dovecot, name: str) -> IMAPLoad:
        """Signed in with the peer over TLS."""
        return IMAPLoad(dovecot.imap, server.context, name, dovecot.password)

    @staticmethod
    def pop3(port: int, server: DemoServer, name: str, password: str) -> POP3Load:
        """The same for POP3."""
        return POP3Load(port, server.context, name, password)
