"""
SMTP as a client: the ``Exchange`` on Twisted's TCP.

One connection carries one transaction. The dialogue is a coroutine over ``_Connection``, which
only moves octets: replies come in through the shared grammar, content goes out in chunks with
back-pressure. Invariants:

- no bare CR or LF is ever sent, and no line of content begins with an unstuffed dot;
- nothing that came in clear is believed after STARTTLS: octets behind its reply end the
  connection (response injection);
- no transcript is kept;
- the host's answers are values; ``Unavailable`` only if no second copy can come of trying
  elsewhere. A connection that breaks behind the final dot is a temporary answer instead.

A host without 8BITMIME gets no 8-bit content: the answer is then 5.6.3 of our own. The courier may
convert the message; this adapter never changes one. RFC 5321 §3, §4.5.2, §4.5.3.2 (timeouts);
RFC 1870 (SIZE); RFC 2920 (pipelining); RFC 3207 (STARTTLS); RFC 3461 (DSN); RFC 6152;
RFC 6531 (SMTPUTF8).
"""

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from OpenSSL.SSL import Connection as TLSConnection
from OpenSSL.SSL import Context
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint
from twisted.internet.error import ConnectError, ConnectingCancelledError
from twisted.internet.interfaces import (
    IDelayedCall,
    IOpenSSLClientConnectionCreator,
    IPushProducer,
    IReactorTCP,
    IReactorTime,
)
from twisted.internet.protocol import Factory, connectionDone
from twisted.internet.protocol import Protocol as TwistedProtocol
from twisted.internet.ssl import CertificateOptions, TLSVersion
from twisted.logger import Logger
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from fe_mail.adapters.smtp_dialogue import Dialogue, Lost, TLSFailed
from fe_mail.model.errors import Invalid, TooBig, Unavailable
from fe_mail.model.outbound import Attempt, TLSWish, Transmission
from fe_mail.ports import BlobReader
from fe_mail.smtp.wire import ReplyParser, ServerReply

__all__ = ["CONNECT_SECONDS", "QUIT_SECONDS", "SMTPExchange"]

log = Logger()

CONNECT_SECONDS = 30.0
QUIT_SECONDS = 10.0
MAX_REPLIES_WAITING = 256


@implementer(IOpenSSLClientConnectionCreator)
class OpportunisticTLS:
    """
    TLS 1.2 or newer with the host's name in SNI and an unverified certificate.

    Without DANE or MTA-STS nobody says which certificate a mail host should have, and refusing
    an unexpected one would only send the mail in clear (RFC 7435).
    """

    def __init__(self, context: Context, host: str) -> None:
        self._context = context
        self._host = host

    def clientConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> TLSConnection:
        """A connection that asks for the host."""
        connection = TLSConnection(self._context, None)
        if not self._host.startswith("["):
            connection.set_tlsext_host_name(self._host.encode("ascii"))
        return connection


@implementer(IPushProducer)
class _Connection(TwistedProtocol):
    """Moves octets; ``Dialogue`` talks."""

    def __init__(self, clock: IReactorTime, context: Context, host: str) -> None:
        self._clock = clock
        self._context = context
        self._host = host
        self._parser = ReplyParser()
        self._replies: deque[ServerReply] = deque()
        self._waiting: Deferred[None] | None = None
        self._writable: Deferred[None] | None = None
        self._is_paused = False
        self._is_secure = False
        self._lost: Exception | None = None
        self._quit_timer: IDelayedCall | None = None

    # -- Twisted calls these --------------------------------------------------------------------

    def connectionMade(self) -> None:
        """Ask to be told when the transport's buffer is full."""
        self._transport.registerProducer(self, True)

    def dataReceived(self, data: bytes) -> None:
        """Replies; all of a segment are taken in before anybody acts on the first."""
        if self._quit_timer is not None:
            self._transport.loseConnection()
            return
        try:
            self._replies.extend(self._parser.feed(data))
        except (Invalid, TooBig):
            self._fail(Lost("The host does not speak SMTP."))
            return
        if len(self._replies) > MAX_REPLIES_WAITING:
            self._fail(Lost("The host sends replies that nobody asked for."))
        elif self._replies:
            self._wake()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Whoever waits hears it."""
        if self._quit_timer is not None and self._quit_timer.active():
            self._quit_timer.cancel()
        if self._lost is None:
            self._lost = Lost("The connection was lost.")
        self._wake()

    def pauseProducing(self) -> None:
        """The transport's buffer is full."""
        self._is_paused = True

    def resumeProducing(self) -> None:
        """It is not any more."""
        self._is_paused = False
        waiting, self._writable = self._writable, None
        if waiting is not None:
            waiting.callback(None)

    def stopProducing(self) -> None:
        """The connection is gone; ``connectionLost`` says so."""

    # -- the dialogue calls these ---------------------------------------------------------------

    @property
    def _transport(self) -> Any:
        return self.transport

    @property
    def has_reply(self) -> bool:
        """Is there a reply that nobody took yet?"""
        return bool(self._replies)

    @property
    def is_quiet(self) -> bool:
        """Nothing came in that was not asked for, not even a part of a reply."""
        return not self._replies and not self._parser.pending

    @property
    def tls(self) -> str:
        """``"TLSv1.3 TLS_AES_256_GCM_SHA384"``, empty without TLS."""
        if not self._is_secure:
            return ""  # a socket that is closed cannot be asked
        handle = self._transport.getHandle()
        return f"{handle.get_protocol_version_name()} {handle.get_cipher_name() or ''}".strip()

    def send(self, octets: bytes) -> None:
        """Write."""
        self._transport.write(octets)

    async def writable(self, seconds: float) -> None:
        """Wait until the transport takes more."""
        if self._lost is not None:
            raise self._lost
        if self._is_paused:
            self._writable = Deferred()
            await self._within(self._writable, seconds)
            if self._lost is not None:
                raise self._lost

    async def reply(self, seconds: float) -> ServerReply:
        """The next reply; what came before the connection broke still counts."""
        while not self._replies:
            if self._lost is not None:
                raise self._lost
            self._waiting = Deferred()
            await self._within(self._waiting, seconds)
        return self._replies.popleft()

    async def _within(self, waiting: "Deferred[None]", seconds: float) -> None:
        late = self._clock.callLater(seconds, self._fail, Lost("The host does not answer in time."))
        try:
            await waiting
        finally:
            if late.active():
                late.cancel()

    def start_tls(self) -> None:
        """Go over to TLS; the grammar starts anew."""
        self._parser = ReplyParser()
        self._is_secure = True
        self._transport.startTLS(OpportunisticTLS(self._context, self._host))

    def quit(self) -> None:
        """Leave politely, without keeping anybody waiting."""
        if self._lost is not None:
            return
        self._quit_timer = self._clock.callLater(QUIT_SECONDS, self._transport.abortConnection)
        self._transport.unregisterProducer()
        self.send(b"QUIT\r\n")

    def abort(self) -> None:
        """Leave at once: whatever was sent is no whole message."""
        self._fail(Lost("The connection was given up."))

    def _fail(self, error: Exception) -> None:
        if self._lost is None:
            self._lost = error
        self._replies.clear()
        self._transport.abortConnection()
        self._wake()

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.callback(None)
        if self._lost is not None:
            self.resumeProducing()


class SMTPExchange:
    """
    Hands messages to hosts. ``reactor`` provides ``IReactorTime`` too. ``hostname`` is our EHLO
    name; ``bind_address`` the address of ours
    to speak from, empty for the system's choice.
    """

    def __init__(
        self,
        reactor: IReactorTCP,
        *,
        hostname: str,
        bind_address: str = "",
        connect_seconds: float = CONNECT_SECONDS,
    ) -> None:
        self._reactor = reactor
        self._clock = IReactorTime(reactor)
        self._hostname = hostname
        self._bind = (bind_address, 0) if bind_address else None
        self._connect_seconds = connect_seconds
        options = CertificateOptions(verify=False, raiseMinimumTo=TLSVersion.TLSv1_2)
        self._context = options.getContext()

    async def transmit(
        self,
        host: str,
        addresses: Sequence[str],
        port: int,
        attempt: Attempt,
        content: Callable[[], Awaitable[BlobReader]],
    ) -> Transmission:
        """One transaction with the first address that answers; once more in clear if TLS fails."""
        wish = attempt.tls
        try:
            return await self._transact(host, addresses, port, attempt, content, wish)
        except TLSFailed:
            if wish is TLSWish.REQUIRED:
                raise Unavailable("The host's encryption does not work.") from None
            log.info("TLS with {host} failed, trying without", host=host)
        try:
            return await self._transact(host, addresses, port, attempt, content, TLSWish.NONE)
        except TLSFailed:
            raise Unavailable("The host's encryption does not work.") from None

    async def _transact(
        self,
        host: str,
        addresses: Sequence[str],
        port: int,
        attempt: Attempt,
        content: Callable[[], Awaitable[BlobReader]],
        wish: TLSWish,
    ) -> Transmission:
        connection, ip = await self._connect(host, addresses, port)
        dialogue = Dialogue(connection, attempt, hostname=self._hostname, wish=wish)
        try:
            replies = await dialogue.run(content)
        except TLSFailed:
            connection.abort()
            raise
        except Lost as error:
            connection.abort()
            raise Unavailable(str(error)) from None
        except BaseException:
            connection.abort()
            raise
        tls = connection.tls
        connection.quit()
        return Transmission(replies=replies, host=host, ip=ip, tls=tls)

    async def _connect(
        self, host: str, addresses: Sequence[str], port: int
    ) -> tuple[_Connection, str]:
        for ip in _alternating(addresses):
            factory = Factory.forProtocol(lambda: _Connection(self._clock, self._context, host))
            try:
                connection = await self._endpoint(ip, port).connect(factory)
            except ConnectingCancelledError:
                raise CancelledError from None  # we were stopped
            except (ConnectError, OSError):
                log.info("{host} [{ip}] does not answer", host=host, ip=ip, port=port)
                continue
            assert isinstance(connection, _Connection)
            return connection, ip
        raise Unavailable("The host does not answer.")

    def _endpoint(self, ip: str, port: int) -> TCP4ClientEndpoint | TCP6ClientEndpoint:
        kind = TCP6ClientEndpoint if ":" in ip else TCP4ClientEndpoint
        bind = self._bind if self._bind and (":" in ip) == (":" in self._bind[0]) else None
        return kind(self._reactor, ip, port, timeout=self._connect_seconds, bindAddress=bind)


def _alternating(addresses: Sequence[str]) -> list[str]:
    """The first address's family first, then turn by turn, so that one broken family costs one."""
    families: dict[bool, list[str]] = {}
    for ip in addresses:
        families.setdefault(":" in ip, []).append(ip)
    queues = list(families.values())
    longest = max((len(queue) for queue in queues), default=0)
    return [queue[turn] for turn in range(longest) for queue in queues if turn < len(queue)]
