"""
The ``Vantage`` of this host: what the operator configured, what the kernel says, and a connection
to port 25.

The kernel tells which address it would send from to the Internet, without sending anything, and
whether an address is one of an interface's. Only public addresses count: behind a translation of
addresses the kernel knows a private one, and the family is hidden. For a family of which the
operator named addresses, the kernel is not asked; and who named any has named all that are hidden.

RFC 5321 §3.1 (the greeting), §4.5.3.1.5 (its length).
"""

import errno
import socket
from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint
from twisted.internet.error import ConnectError
from twisted.internet.interfaces import IReactorTCP, IReactorTime
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from fe_mail.model.errors import Unavailable
from fe_mail.model.network import is_public, parse_ip, plain_address
from fe_mail.model.vantage import OwnAddresses, Whose, versions

__all__ = ["HostVantage"]

SMTP_PORT = 25
CONNECT_SECONDS = 4.0
GREETING_SECONDS = 6.0  # our own MX lets strangers wait for three
MAX_GREETING_OCTETS = 512
# Somewhere in the Internet; nothing is sent there.
_FAR = {4: (socket.AF_INET, "198.41.0.4"), 6: (socket.AF_INET6, "2001:503:ba3e::2:30")}
_ANY_PORT = 53
# Nobody has these (RFC 5737, RFC 3849); a kernel that binds to them binds to anything.
_NOBODYS = {4: "192.0.2.1", 6: "2001:db8::1"}


class HostVantage:
    """``configured`` are the public addresses that the operator named, if any."""

    def __init__(
        self, reactor: IReactorTCP, configured: Sequence[str] = (), *, port: int = SMTP_PORT
    ) -> None:
        self._reactor = reactor
        self._clock = IReactorTime(reactor)
        self._configured = tuple(dict.fromkeys(map(plain_address, configured)))
        self._port = port

    def addresses(self) -> OwnAddresses:
        """Asked anew each time: interfaces change while a server runs."""
        known, hidden = list(self._configured), []
        for version in sorted(set(_FAR) - versions(self._configured)):
            source = _source(version)
            if source and is_public(source):
                known.append(source)
            elif source and not self._configured:
                hidden.append(version)
        return OwnAddresses(known=tuple(known), hidden=tuple(hidden))

    def whose(self, address: str) -> Whose:
        """By what is known, and by the interfaces."""
        if is_public(address) and _is_here(address):
            return Whose.OURS
        return self.addresses().whose(address)

    async def greeting(self, address: str) -> str:
        """Connect, read a line, leave."""
        kind = TCP6ClientEndpoint if ":" in address else TCP4ClientEndpoint
        endpoint = kind(self._reactor, address, self._port, timeout=CONNECT_SECONDS)
        try:
            listener: Any = await endpoint.connect(Factory.forProtocol(_Listener))
        except (ConnectError, OSError):
            raise Unavailable("Nobody answers there.") from None
        heard: Deferred[str] = listener.heard
        try:
            return await heard.addTimeout(GREETING_SECONDS, self._clock)
        except TimeoutError:
            raise Unavailable("Nobody answers there.") from None
        finally:
            listener.leave()


class _Listener(Protocol):
    """Hears the first line and says nothing but goodbye."""

    def __init__(self) -> None:
        self.heard: Deferred[str] = Deferred()
        self._octets = b""

    def dataReceived(self, data: bytes) -> None:
        """Until the line ends."""
        if self.heard.called:
            return
        self._octets += data
        line, end, _ = self._octets.partition(b"\n")
        if end or len(self._octets) > MAX_GREETING_OCTETS:
            self.heard.callback(_printable(line[:MAX_GREETING_OCTETS]))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Before the line ended, or after."""
        if not self.heard.called:
            self.heard.errback(Failure(Unavailable("Nobody answers there.")))

    def leave(self) -> None:
        """Politely if somebody spoke."""
        transport: Any = self.transport
        if self._octets:
            transport.write(b"QUIT\r\n")
            transport.loseConnection()
        else:
            transport.abortConnection()


def _printable(line: bytes) -> str:
    text = line.decode("utf-8", "replace").strip()
    return "".join(char if char.isprintable() else "?" for char in text)


def _source(version: int) -> str:
    """The address that packets to the Internet bear; empty without a way there."""
    family, far = _FAR[version]
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((far, _ANY_PORT))
            return plain_address(probe.getsockname()[0])
    except OSError:
        return ""


def _is_here(address: str) -> bool:
    """Has an interface of this host this address?"""
    ip = parse_ip(address)
    if ip is None:
        return False
    family = _FAR[ip.version][0]
    return _can_bind(family, str(ip)) and not _can_bind(family, _NOBODYS[ip.version])


def _can_bind(family: int, address: str) -> bool:
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((address, 0))
    except OSError as error:
        return error.errno == errno.EADDRINUSE
    return True
