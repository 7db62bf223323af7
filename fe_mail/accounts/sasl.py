"""
SASL exchanges of the server, the same for SMTP, IMAP and POP3: PLAIN, LOGIN, SCRAM-SHA-256.

An edge moves lines only: ``converse`` calls ``step`` with the client's response (None when AUTH
came without an initial one, ``b""`` for ``=``) and sends on the challenge that it gets, until an
``Identity`` comes back. ``Invalid``: malformed; ``AuthenticationFailed``: refused.

RFC 4422 §3 (exchange); RFC 4616 (PLAIN); RFC 5802, RFC 7677 (SCRAM-SHA-256). LOGIN has no RFC;
old clients want it. A client may ask for an authorization identity only if it is its own.
"""

import base64
import binascii
import hmac
from collections.abc import Awaitable, Callable
from typing import Protocol

from fe_mail.accounts import scram
from fe_mail.model.account import Credential
from fe_mail.model.envelope import Peer
from fe_mail.model.errors import AuthenticationFailed, Invalid
from fe_mail.model.identity import Identity

__all__ = [
    "MAX_PLAIN_OCTETS",
    "Authenticator",
    "Candidate",
    "LoginExchange",
    "PlainExchange",
    "SASLExchange",
    "ScramExchange",
    "converse",
    "decode_response",
]

MAX_PLAIN_OCTETS = 2048
MAX_STEPS = 10  # of one exchange


class SASLExchange(Protocol):
    """One authentication in progress."""

    async def step(self, response: bytes | None) -> bytes | Identity:
        """The next challenge (raw, possibly empty), or who signed in."""


class Candidate(Protocol):
    """Somebody who may prove who he is; for unknown names a convincing stand-in."""

    @property
    def credential(self) -> Credential:
        """The verifier to offer."""


class Authenticator(Protocol):
    """What the exchanges need of the login service."""

    async def authenticate(
        self, username: str, password: str, peer: Peer, protocol: str
    ) -> Identity:
        """Check a password."""

    async def candidate(self, username: str, peer: Peer, protocol: str) -> Candidate:
        """Begin a proof. ``RateLimited``."""

    async def prove(self, candidate: Candidate, client_key: bytes | None) -> Identity:
        """End a proof; None is a wrong one. ``AuthenticationFailed``, ``PermissionDenied``."""


def _text(octets: bytes) -> str:
    if len(octets) > MAX_PLAIN_OCTETS:
        raise Invalid("The SASL response is too long.")
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError:
        raise Invalid("The SASL response is not valid UTF-8.") from None


async def converse(
    exchange: SASLExchange, response: bytes | None, ask: Callable[[bytes], Awaitable[bytes]]
) -> Identity:
    """
    Run an exchange to its end; ``response`` is the initial one, decoded.

    ``ask`` sends a challenge, in base64, and waits for the client's next line; ``*`` cancels.
    """
    for _ in range(MAX_STEPS):
        answer = await exchange.step(response)
        if isinstance(answer, Identity):
            return answer
        line = await ask(base64.b64encode(answer))
        if line == b"*":
            raise Invalid("Canceled.")
        response = decode_response(line)
    raise Invalid("The exchange takes too long.")


def decode_response(line: bytes) -> bytes:
    """Strict base64, without line breaks (RFC 4648 §4)."""
    try:
        return binascii.a2b_base64(line, strict_mode=True)
    except binascii.Error:
        raise Invalid("The response is not base64.") from None


class PlainExchange:
    """``authzid NUL authcid NUL password`` (RFC 4616 §2)."""

    def __init__(self, login: Authenticator, peer: Peer, protocol: str) -> None:
        self._login = login
        self._peer = peer
        self._protocol = protocol

    async def step(self, response: bytes | None) -> bytes | Identity:
        """One message is all there is."""
        if response is None:
            return b""
        parts = _text(response).split("\0")
        if len(parts) != 3 or not parts[1] or not parts[2]:
            raise Invalid("The SASL PLAIN response is malformed.")
        authzid, username, password = parts
        if authzid and authzid.lower() != username.lower():
            raise AuthenticationFailed
        return await self._login.authenticate(username, password, self._peer, self._protocol)


class LoginExchange:
    """``Username:``, ``Password:``."""

    def __init__(self, login: Authenticator, peer: Peer, protocol: str) -> None:
        self._login = login
        self._peer = peer
        self._protocol = protocol
        self._username = ""

    async def step(self, response: bytes | None) -> bytes | Identity:
        """Ask for the name, then for the password."""
        if response is None:
            return b"Username:"
        if not self._username:
            self._username = _text(response)
            if not self._username:
                raise Invalid("A user name is needed.")
            return b"Password:"
        password = _text(response)
        return await self._login.authenticate(self._username, password, self._peer, self._protocol)


class ScramExchange:
    """SCRAM-SHA-256; ``make_nonce`` gives the server's half of the nonce."""

    def __init__(
        self, login: Authenticator, peer: Peer, protocol: str, make_nonce: Callable[[], str]
    ) -> None:
        self._login = login
        self._peer = peer
        self._protocol = protocol
        self._make_nonce = make_nonce
        self._step = self._greet

    async def step(self, response: bytes | None) -> bytes | Identity:
        """client-first, client-final, and the empty answer to server-final."""
        if response is None:
            if self._step != self._greet:
                raise Invalid("The SASL response is missing.")
            return b""
        return await self._step(response)

    async def _greet(self, response: bytes) -> bytes | Identity:
        self._first = scram.parse_client_first(response)
        if self._first.authzid and self._first.authzid.lower() != self._first.username.lower():
            raise AuthenticationFailed
        self._candidate = await self._login.candidate(
            self._first.username, self._peer, self._protocol
        )
        verifier = self._candidate.credential
        self._nonce = self._first.nonce + self._make_nonce()
        self._server_first = scram.server_first(self._nonce, verifier.salt, verifier.iterations)
        self._step = self._verify
        return self._server_first.encode()

    async def _verify(self, response: bytes) -> bytes | Identity:
        self._step = self._refuse
        final = scram.parse_client_final(response)
        same_binding = final.channel_binding == self._first.gs2_header.encode()
        if not (same_binding and hmac.compare_digest(final.nonce, self._nonce)):
            raise AuthenticationFailed
        signed = f"{self._first.bare},{self._server_first},{final.without_proof}"
        verifier = self._candidate.credential
        client_key = scram.client_key_of(final.proof, verifier.stored_key, signed)
        self._identity = await self._login.prove(self._candidate, client_key)
        self._step = self._finish
        return scram.server_final(verifier.server_key, signed).encode()

    async def _finish(self, response: bytes) -> bytes | Identity:
        self._step = self._refuse
        if response:
            raise Invalid("The last SASL response must be empty.")
        return self._identity

    async def _refuse(self, response: bytes) -> bytes | Identity:
        raise Invalid("The SASL exchange is over.")
