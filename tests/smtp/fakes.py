"""What the SMTP tests put behind the edge: a reception, a login, and a connected server."""

from collections.abc import Callable
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import ISSLTransport
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from zope.interface import directlyProvides

from fe_mail.accounts.sasl import SASLExchange
from fe_mail.model.account import Alias, Domain
from fe_mail.model.address import Address
from fe_mail.model.envelope import Envelope, Peer
from fe_mail.model.errors import AuthenticationFailed, Invalid
from fe_mail.model.identity import Identity
from fe_mail.model.ids import AliasId, DomainId, UserId
from fe_mail.model.status import Status
from fe_mail.smtp.factory import SMTPFactory
from fe_mail.smtp.mx import MXFactory
from fe_mail.smtp.server import SMTPServer
from fe_mail.smtp.submission import SubmissionFactory

HOSTNAME = "mx.test"
ACCEPTED = Status(250, "2.0.0", "Queued as 1")
ALICE = Identity(
    alias=Alias(
        id=AliasId("a1"),
        domain_id=DomainId("d1"),
        user_id=UserId("u1"),
        name="alice",
        domain_name="a.test",
    ),
    domain=Domain(id=DomainId("d1"), name="a.test"),
    credential_id="c1",
    mailbox_key=b"k" * 32,
)


class RecordingSpooling:
    """One message in memory."""

    def __init__(self, reception: "RecordingReception", envelope: Envelope) -> None:
        self.reception = reception
        self.envelope = envelope
        self.parts: list[bytes] = []
        self.state = "open"

    @property
    def content(self) -> bytes:
        """All that was written."""
        return b"".join(self.parts)

    async def write(self, data: bytes) -> None:
        """Keep it."""
        assert self.state == "open", self.state
        await self.reception.answer("write", None)
        self.parts.append(data)

    async def finish(self) -> Status:
        """Accept."""
        assert self.state == "open", self.state
        reply = await self.reception.answer("finish", ACCEPTED)
        self.state = "finished"
        self.reception.messages.append(self)
        return reply

    async def abort(self) -> None:
        """Forget."""
        self.state = "aborted"


class RecordingReception:
    """
    Accepts everything and writes it down.

    ``answers`` maps a step ("connected", "sender", "recipient", "begin", "write", "finish", or
    the address of a recipient) to what it gives: a value, an exception, or a Deferred.
    """

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {}
        self.steps: list[str] = []
        self.sizes: list[int] = []
        self.peers: list[Peer] = []
        self.identities: list[Identity | None] = []
        self.spoolings: list[RecordingSpooling] = []
        self.messages: list[RecordingSpooling] = []

    async def answer(self, step: str, default: Any) -> Any:
        """What ``answers`` says."""
        result = self.answers.get(step, default)
        if isinstance(result, Deferred):
            result = await result
        if isinstance(result, Exception):
            raise result
        return result

    async def connected(self, peer: Peer) -> Status | None:
        """A connection."""
        self.steps.append("connected")
        return await self.answer("connected", None)

    async def patience(self, peer: Peer) -> float | None:
        """How long the greeting waits; by default not at all."""
        return await self.answer("patience", 0.0)

    async def sender(
        self, peer: Peer, identity: Identity | None, reverse_path: Address | None
    ) -> Status | None:
        """MAIL."""
        self.peers.append(peer)
        self.identities.append(identity)
        self.steps.append(f"from {reverse_path or ''}")
        return await self.answer("sender", None)

    async def recipient(
        self,
        peer: Peer,
        identity: Identity | None,
        reverse_path: Address | None,
        recipient: Address,
        size_octets: int = 0,
    ) -> Status | None:
        """RCPT."""
        self.sizes.append(size_octets)
        self.steps.append(f"to {recipient}")
        refusal = await self.answer("recipient", None)
        return refusal or await self.answer(str(recipient), None)

    def begin(self, envelope: Envelope, identity: Identity | None) -> RecordingSpooling:
        """DATA or BDAT."""
        if "begin" in self.answers:
            raise self.answers["begin"]
        spooling = RecordingSpooling(self, envelope)
        self.spoolings.append(spooling)
        return spooling


class PlainOnly:
    """PLAIN for alice@a.test with the password "secret"."""

    async def step(self, response: bytes | None) -> bytes | Identity:
        """RFC 4616."""
        if response is None:
            return b""
        parts = response.split(b"\0")
        if len(parts) != 3:
            raise Invalid("The response is malformed.")
        if parts[1:] != [b"alice@a.test", b"secret"]:
            raise AuthenticationFailed
        return ALICE


class TwoSteps:
    """LOGIN, the same user."""

    def __init__(self) -> None:
        self.answers: list[bytes] = []

    async def step(self, response: bytes | None) -> bytes | Identity:
        """User name, then password."""
        if response is not None:
            self.answers.append(response)
        if len(self.answers) < 2:
            return (b"User Name", b"Password")[len(self.answers)]
        return await PlainOnly().step(b"\0" + b"\0".join(self.answers))


class FakeLogin:
    """A ``Login`` without accounts."""

    mechanisms = ("PLAIN", "LOGIN")

    def __init__(self) -> None:
        self.error: Exception | None = None

    def begin(self, mechanism: str, peer: Peer, protocol: str) -> SASLExchange:
        """Start an exchange."""
        if self.error is not None:
            raise self.error
        return PlainOnly() if mechanism == "PLAIN" else TwoSteps()


class Transport(StringTransport):
    """A transport that can pretend to be encrypted."""

    def __init__(self, ip: str = "192.0.2.1", is_secure: bool = False) -> None:
        super().__init__(peerAddress=IPv4Address("TCP", ip, 40000))
        if is_secure:
            directlyProvides(self, ISSLTransport)


def make_mx(reception: RecordingReception, clock: Clock, **options: Any) -> MXFactory:
    """An MX factory."""
    return MXFactory(reception, hostname=HOSTNAME, clock=clock, **options)


def make_submission(
    reception: RecordingReception, clock: Clock, login: Any = None, **options: Any
) -> SubmissionFactory:
    """A submission factory."""
    login = login or FakeLogin()
    return SubmissionFactory(reception, login, hostname=HOSTNAME, clock=clock, **options)


def connector(
    factory: SMTPFactory, is_secure: bool = False
) -> Callable[[], tuple[SMTPServer, Transport]]:
    """A function that opens connections, as the player of dialogues wants it."""

    def connect() -> tuple[SMTPServer, Transport]:
        transport = Transport(is_secure=is_secure)
        server = factory.buildProtocol(transport.getPeer())
        server.makeConnection(transport)
        return server, transport

    return connect
