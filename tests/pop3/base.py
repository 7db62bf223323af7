"""What the POP3 tests share: an alias with mail in INBOX, and clients of a listener."""

from twisted.internet.address import IPv4Address
from twisted.internet.interfaces import ISSLTransport
from twisted.internet.testing import StringTransport
from zope.interface import directlyProvides

from fe_mail.accounts.login import Login
from fe_mail.model.mailbox import NewMessage
from fe_mail.pop3.factory import POP3Factory
from fe_mail.pop3.server import POP3Server
from tests.accounts.fakes import AccountsTestCase

__all__ = ["KEY", "MESSAGES", "PASSWORD", "USER", "POP3TestCase"]

USER = "alice@example.com"
PASSWORD = "open sesame"
KEY = b"k" * 32
HEADER = b"From: bob@example.org\r\nSubject: "
MESSAGES = (
    HEADER + b"one\r\n\r\n.dotted\r\n.\r\nlast line\r\n",
    HEADER + b"two\r\n\r\nbare\nline ends and no last one",
    HEADER + b"three\r\n\r\nfirst\r\nsecond\r\nthird, the last\r\n",
)


class POP3TestCase(AccountsTestCase):
    """``self.factory`` serves alice's three messages; ``connect`` opens a client."""

    is_secure = True

    def setUp(self) -> None:
        """Alice has a password and three messages."""
        super().setUp()
        self.alias = self.add_alias(self.add_domain("example.com"), "alice", has_imap=True)
        self.add_credential(self.alias, PASSWORD, KEY)
        self.fill(MESSAGES)
        self.factory = self.make_factory()

    def make_factory(self, **more: object) -> POP3Factory:
        """A listener over the stores of this test."""
        login = Login(
            self.accounts, self.keyring, self.counters, self.clock, self.failed_logins, self.errands
        )
        return POP3Factory(
            login,
            self.mailboxes,
            hostname="pop3.example.com",
            clock=self.clock,
            bus=self.bus,
            **more,
        )

    def fill(self, messages: tuple[bytes, ...]) -> None:
        """Append to INBOX."""
        mailbox = self.now(self.mailboxes.unlock(self.alias.id, KEY))
        new = [NewMessage(raw=raw, received_at=self.clock.seconds()) for raw in messages]
        self.now(mailbox.append("INBOX", new))
        mailbox.close()

    def inbox(self) -> tuple[int, ...]:
        """The UIDs that are in INBOX now."""
        mailbox = self.now(self.mailboxes.unlock(self.alias.id, KEY))
        uids = tuple(self.now(mailbox.select("INBOX")).uids)
        mailbox.close()
        return uids

    def connect(self, ip: str = "192.0.2.1") -> tuple[POP3Server, StringTransport]:
        """A connection, under TLS unless the test says otherwise."""
        transport = StringTransport(peerAddress=IPv4Address("TCP", ip, 1110))
        if self.is_secure:
            directlyProvides(transport, ISSLTransport)
        server = self.factory.buildProtocol(None)
        server.makeConnection(transport)
        return server, transport

    def signed_in(self) -> tuple[POP3Server, StringTransport]:
        """A connection in the TRANSACTION state, nothing unread."""
        server, transport = self.connect()
        server.dataReceived(f"USER {USER}\r\nPASS {PASSWORD}\r\n".encode())
        assert b"messages" in transport.value(), transport.value()
        transport.clear()
        return server, transport
