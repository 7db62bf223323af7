"""
The listener's side of IMAP: makes connections, counts and limits them, lets them end in peace.
"""

from collections import Counter
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.internet.protocol import ServerFactory

from fe_mail.accounts.login import Login
from fe_mail.imap.server import IMAPServer
from fe_mail.imap.session import Farewell, Services
from fe_mail.model.ids import AliasId
from fe_mail.ports import Bus, MailboxStore

__all__ = ["IMAPFactory"]

MAX_CONNECTIONS: Final = 10_000
MAX_CONNECTIONS_PER_ADDRESS: Final = 200  # a family or an office behind one router
MAX_CONNECTIONS_PER_ALIAS: Final = 60


class IMAPFactory(ServerFactory):
    """
    Makes an ``IMAPServer`` for each connection.

    ``tls`` is a context factory for STARTTLS; with implicit TLS it is not needed. Passwords are
    taken in clear only with ``allow_plaintext_auth``, which is for tests.
    """

    noisy = False

    def __init__(
        self,
        login: Login,
        mailboxes: MailboxStore,
        bus: Bus,
        *,
        hostname: str,
        clock: IReactorTime,
        tls: Any = None,
        allow_plaintext_auth: bool = False,
    ) -> None:
        self._services = Services(
            login=login, mailboxes=mailboxes, bus=bus, clock=clock, hostname=hostname
        )
        self._tls = tls
        self._allow_plaintext_auth = allow_plaintext_auth
        self._open: dict[IMAPServer, str] = {}
        self._addresses: Counter[str] = Counter()
        self._aliases: Counter[AliasId] = Counter()
        self._is_draining = False
        self._drained: list[Deferred[None]] = []

    @property
    def connections(self) -> int:
        """Open connections."""
        return len(self._open)

    def buildProtocol(self, addr: IAddress | None) -> IMAPServer:  # type: ignore[override]  # untyped
        """A connection; one over a limit hears why and is closed."""
        ip = str(getattr(addr, "host", ""))
        protocol = IMAPServer(
            self._services,
            tls=self._tls,
            allow_plaintext_auth=self._allow_plaintext_auth,
            refusal=self._refusal(ip),
        )
        protocol.factory = self
        self._open[protocol] = ip
        self._addresses[ip] += 1
        return protocol

    def _refusal(self, ip: str) -> str:
        if self._is_draining:
            return "The server is about to restart."
        if len(self._open) >= MAX_CONNECTIONS:
            return "Too many connections."
        if ip and self._addresses[ip] >= MAX_CONNECTIONS_PER_ADDRESS:
            return "Too many connections from your address."
        return ""

    def logged_in(self, protocol: IMAPServer) -> None:
        """Count the sessions of an alias; the one too many ends."""
        identity = protocol.session.identity
        assert identity is not None
        self._aliases[identity.alias.id] += 1
        if self._aliases[identity.alias.id] > MAX_CONNECTIONS_PER_ALIAS:
            protocol.say_farewell(Farewell("Too many connections of this mailbox.", b"LIMIT"))

    def connection_closed(self, protocol: IMAPServer) -> None:
        """Forget a connection."""
        ip = self._open.pop(protocol, None)
        if ip is None:
            return
        _decrease(self._addresses, ip)
        if protocol.session.identity is not None:
            _decrease(self._aliases, protocol.session.identity.alias.id)
        if not self._open:
            waiting, self._drained = self._drained, []
            for done in waiting:
                done.callback(None)

    async def drain(self) -> None:
        """Take no new connections, let running commands finish, end all sessions."""
        self._is_draining = True
        for protocol in tuple(self._open):
            protocol.say_farewell(Farewell("The server is about to restart.", b"UNAVAILABLE"))
        if self._open:
            done: Deferred[None] = Deferred()
            self._drained.append(done)
            await done


def _decrease(counter: "Counter[Any]", key: object) -> None:
    counter[key] -= 1
    if counter[key] <= 0:
        del counter[key]
