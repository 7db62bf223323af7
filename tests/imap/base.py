"""
An IMAP server in memory: real factory, real login, real mailboxes, a clock.
"""

from collections.abc import Mapping
from pathlib import Path

from twisted.internet.address import IPv4Address
from twisted.internet.interfaces import ISSLTransport
from twisted.internet.testing import StringTransport
from zope.interface import directlyProvides

from fe_mail.accounts.login import Login
from fe_mail.accounts.passwords import new_credential
from fe_mail.adapters.sqlite.mailbox import SQLiteMailboxStore
from fe_mail.imap.factory import IMAPFactory
from fe_mail.imap.server import IMAPServer
from fe_mail.model.mailbox import NewMessage
from fe_mail.ports import OpenMailbox
from tests.accounts.fakes import AccountsTestCase
from tests.dialogue import Connection, play
from tests.fakes import give_keys

__all__ = ["KEY", "PASSWORD", "IMAPTestCase", "Transport", "message"]

PASSWORD = 'pa"ss\\word'
KEY = b"k" * 32


class Transport(StringTransport):
    """A transport that can be told to be slow, and that says when it is closed."""

    disconnected = False

    def abortConnection(self) -> None:
        """Gone at once."""
        self.disconnected = True
        super().abortConnection()


def message(subject: str, body: str = "Hello.\r\n", more: str = "") -> bytes:
    """A small message."""
    return (
        f"From: Bob <bob@example.net>\r\nTo: alice@example.org\r\nSubject: {subject}\r\n"
        f"Date: Mon, 7 Feb 1994 21:52:25 -0800\r\nMessage-ID: <{subject}@example.net>\r\n"
        f"{more}\r\n{body}"
    ).encode()


class IMAPTestCase(AccountsTestCase):
    """``alice@example.org`` with a mailbox and a password."""

    def setUp(self) -> None:
        """A server that listens nowhere."""
        super().setUp()
        self.alice = self.add_alias(self.add_domain("example.org"), "alice", has_imap=True)
        credential = self.now(
            new_credential(
                self.keyring, self.alice.id, PASSWORD, KEY, self.clock.seconds(), iterations=4096
            )
        )
        self.sealing_key = self.now(self.mailboxes.create(self.alice.id, KEY))
        self.now(give_keys(self.accounts, self.alice.id, [credential], self.sealing_key))
        self.login = Login(
            self.accounts, self.keyring, self.counters, self.clock, self.failed_logins, self.errands
        )
        self.factory = self.make_factory()
        self.mailbox: OpenMailbox = self.now(self.mailboxes.unlock(self.alice.id, KEY))

    @property
    def directory(self) -> Path:
        """Where the mailboxes are."""
        assert isinstance(self.mailboxes, SQLiteMailboxStore)
        return self.mailboxes._directory

    def make_factory(self, **more: object) -> IMAPFactory:
        """A listener's factory."""
        return IMAPFactory(
            self.login,
            self.mailboxes,
            self.bus,
            hostname="mail.example.org",
            clock=self.clock,
            **more,  # type: ignore[arg-type]
        )

    def connect(
        self, secure: bool = True, factory: IMAPFactory | None = None
    ) -> tuple[IMAPServer, Transport]:
        """A new connection, as if under implicit TLS."""
        transport = Transport(peerAddress=IPv4Address("TCP", "192.0.2.7", 50000))
        if secure:
            directlyProvides(transport, ISSLTransport)
        protocol = (factory or self.factory).buildProtocol(transport.getPeer())
        protocol.makeConnection(transport)
        return protocol, transport

    def logged_in(self, select: str = "", factory: IMAPFactory | None = None) -> Connection:
        """A connection after login, and after SELECT if a folder is named."""
        connection = Connection(*self.connect(factory=factory))
        self.ask(connection, b'login "alice@example.org" "pa\\"ss\\\\word"')
        if select:
            self.ask(connection, b"select " + select.encode())
        return connection

    def ask(self, connection: Connection, command: bytes, tag: bytes = b"t") -> list[bytes]:
        """Send a command; every line of the answer, the tagged one last."""
        connection.send(tag + b" " + command + b"\r\n")
        lines = []
        while (line := connection.line()) is not None:
            lines.append(line)
        return lines

    def add(self, *raws: bytes, folder: str = "INBOX", flags: tuple[str, ...] = ()) -> None:
        """Append messages, as a delivery would."""
        messages = [
            NewMessage(raw=raw, flags=frozenset(flags), received_at=800_000_000.0) for raw in raws
        ]
        self.now(self.mailbox.append(folder, messages))

    def turn(self) -> None:
        """One turn of the reactor: hints arrive."""
        self.clock.advance(0)

    def play(self, name: str, names: Mapping[str, str] | None = None, secure: bool = True) -> None:
        """Play a dialogue."""
        play(name, lambda: self.connect(secure), self.clock, names)
