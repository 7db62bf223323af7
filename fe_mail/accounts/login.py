"""
Login of mail clients: an alias's address and one of its passwords, or a SCRAM proof.

Whoever guesses learns nothing: an unknown name costs the same reads and the same derivation as a
wrong password, gets a salt and an iteration count of its own that never change (made with the
server's key), and the same words. Disabled aliases and banned owners look the same too; only
after the right password does a client hear that the address has no mailbox.

A good password is remembered for a few minutes, because mail clients reconnect all the time: in
this process only, as a keyed hash of the password and the verifier, with the mailbox key wrapped
under another such hash. Without the password neither says anything.
"""

import secrets
from collections import OrderedDict
from typing import Protocol

import attrs
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from fe_mail.accounts.claims import chosen_claim
from fe_mail.accounts.failed_logins import FailedLogins
from fe_mail.accounts.limits import FailureLimits
from fe_mail.accounts.passwords import (
    CHOSEN_ITERATIONS,
    GENERATED_ITERATIONS,
    SALT_OCTETS,
    Slot,
    find_slot,
    prepare,
)
from fe_mail.accounts.sasl import (
    Candidate,
    LoginExchange,
    PlainExchange,
    SASLExchange,
    ScramExchange,
)
from fe_mail.errands import Errands
from fe_mail.model.account import Alias, Credential, Domain
from fe_mail.model.address import Address, parse_address
from fe_mail.model.envelope import Peer
from fe_mail.model.errors import (
    AuthenticationFailed,
    Invalid,
    NotFound,
    PermissionDenied,
)
from fe_mail.model.identity import Identity
from fe_mail.model.ids import AliasId
from fe_mail.model.network import parse_ip
from fe_mail.ports import AliasStore, Counters, Keyring, UserStore

__all__ = ["MAX_REMEMBERED", "REMEMBER_SECONDS", "TOUCH_SECONDS", "Login"]

REMEMBER_SECONDS = 300.0
MAX_REMEMBERED = 4096
TOUCH_SECONDS = 3600.0
MAX_USERNAME_LENGTH = 320
NONCE_OCTETS = 18
# One unknown name in four looks like one with a chosen password.
_CHOSEN_OF_256 = 64
_MAILBOX_PROTOCOLS = frozenset({"imap", "pop3", "managesieve", "caldav", "carddav", "dav"})


@attrs.frozen(kw_only=True)
class _Candidate:
    """Who a user name may mean; ``alias`` None: nobody, and the credential is a stand-in."""

    name: str
    peer: Peer
    protocol: str
    alias: Alias | None
    domain: Domain | None
    credentials: tuple[Credential, ...]  # never empty, oldest first

    @property
    def credential(self) -> Credential:
        """The newest: the one that SCRAM offers."""
        return self.credentials[-1]


@attrs.frozen(kw_only=True)
class _Remembered:
    """A recent good login; ``sealed`` opens only with the password."""

    alias_id: AliasId
    credential_id: str
    sealed: bytes = attrs.field(repr=False)
    expires_at: float


class LoginRecords(AliasStore, UserStore, Protocol):
    """What a login asks."""


class Login:
    """Checks passwords and proofs; hands out the mailbox key."""

    log = Logger()
    mechanisms: tuple[str, ...] = ("SCRAM-SHA-256", "PLAIN", "LOGIN")

    def __init__(
        self,
        accounts: LoginRecords,
        keyring: Keyring,
        counters: Counters,
        clock: IReactorTime,
        failed: FailedLogins,
        errands: Errands,
    ) -> None:
        self._accounts = accounts
        self._failed = failed
        self._errands = errands
        self._keyring = keyring
        self._clock = clock
        self._limits = FailureLimits(counters, keyring, clock, "login")
        self._remembered: OrderedDict[bytes, _Remembered] = OrderedDict()

    def begin(self, mechanism: str, peer: Peer, protocol: str) -> SASLExchange:
        """Start an exchange. ``Invalid`` for a mechanism that is not offered."""
        name = mechanism.upper()
        if name == "PLAIN":
            return PlainExchange(self, peer, protocol)
        if name == "LOGIN":
            return LoginExchange(self, peer, protocol)
        if name == "SCRAM-SHA-256":
            return ScramExchange(self, peer, protocol, lambda: secrets.token_urlsafe(NONCE_OCTETS))
        raise Invalid("This authentication mechanism is not offered.")

    async def authenticate(
        self, username: str, password: str, peer: Peer, protocol: str
    ) -> Identity:
        """
        Check a password.

        ``AuthenticationFailed``; ``RateLimited``; ``PermissionDenied`` when the alias has no
        mailbox; ``Unavailable`` when too many wait for their derivation.
        """
        candidate = await self.candidate(username, peer, protocol)
        try:
            text = prepare(password)
        except Invalid:
            return await self._refuse(candidate, password)
        remembered = self._recall(candidate, text)
        if remembered is not None:
            return await self._admit(candidate, *remembered, text)
        slot = await find_slot(self._keyring, candidate.credentials, text)
        if slot is None or candidate.alias is None:
            return await self._refuse(candidate, text)
        mailbox_key = self._open(candidate.alias, slot)
        identity = await self._admit(candidate, slot.credential, mailbox_key, text)
        self._remember(slot.credential, mailbox_key, text)
        return identity

    async def candidate(self, username: str, peer: Peer, protocol: str) -> _Candidate:
        """Whoever ``username`` may mean, or a stand-in that nobody can tell from it."""
        address = _address(username)
        name = _limited_name(username)
        await self._limits.check(peer.ip, name)
        alias, domain = await self._find(address) if address else (None, None)
        credentials = await self._credentials(alias.id if alias else AliasId("none"))
        if alias is None or not credentials:
            alias, credentials = None, (self._stand_in(name),)
        return _Candidate(
            name=name,
            peer=peer,
            protocol=protocol,
            alias=alias,
            domain=domain,
            credentials=credentials,
        )

    async def prove(self, candidate: Candidate, client_key: bytes | None) -> Identity:
        """End a SCRAM exchange; ``client_key`` None: the proof was wrong."""
        assert isinstance(candidate, _Candidate)
        await self._limits.check(candidate.peer.ip, candidate.name)
        if client_key is None or candidate.alias is None:
            return await self._refuse(candidate, None)
        slot = Slot(credential=candidate.credential, client_key=client_key)
        mailbox_key = self._open(candidate.alias, slot)
        return await self._admit(candidate, slot.credential, mailbox_key, None)

    async def _find(self, address: Address) -> tuple[Alias | None, Domain | None]:
        claim = chosen_claim(await self._accounts.route_rows(address.base, address.domain))
        if claim is None:
            return None, None
        return claim.named, claim.domain

    async def _credentials(self, alias_id: AliasId) -> tuple[Credential, ...]:
        try:
            found = await self._accounts.credentials(alias_id)
        except NotFound:
            return ()
        return tuple(credential for credential in found if credential.kind == "password")

    def _stand_in(self, name: str) -> Credential:
        octets = name.encode()
        seed = self._keyring.mac(octets, "login-stand-in")
        is_chosen = self._keyring.mac(octets, "login-stand-in-kind")[0] < _CHOSEN_OF_256
        return Credential(
            id="",
            alias_id=AliasId(""),
            salt=seed[:SALT_OCTETS],
            iterations=CHOSEN_ITERATIONS if is_chosen else GENERATED_ITERATIONS,
            stored_key=self._keyring.mac(octets, "login-stand-in-stored"),
            server_key=self._keyring.mac(octets, "login-stand-in-server"),
            wrapped_key=b"",
        )

    def _open(self, alias: Alias, slot: Slot) -> bytes:
        return self._keyring.unwrap(slot.credential.wrapped_key, slot.client_key, alias.id)

    async def _admit(
        self,
        candidate: _Candidate,
        credential: Credential,
        mailbox_key: bytes,
        password: str | None,
    ) -> Identity:
        """The password was right: may this alias sign in here?"""
        alias, domain = candidate.alias, candidate.domain
        assert alias is not None and domain is not None
        if not alias.is_enabled or await self._is_banned(alias):
            return await self._refuse(candidate, password)
        await self._limits.succeeded(candidate.peer.ip, candidate.name)  # or nobody hears more
        opens_mailbox = candidate.protocol in _MAILBOX_PROTOCOLS
        if opens_mailbox and not (alias.has_imap and alias.sealing_key):
            raise PermissionDenied("IMAP is not enabled for this address.")
        now = self._clock.seconds()
        if now - credential.last_used_at >= TOUCH_SECONDS:
            self._errands.later(
                "Recording a login", lambda: self._accounts.touch_credential(credential.id, now)
            )
        return Identity(
            alias=alias,
            domain=domain,
            credential_id=credential.id,
            mailbox_key=mailbox_key if opens_mailbox else b"",
        )

    async def _is_banned(self, alias: Alias) -> bool:
        try:
            return (await self._accounts.user(alias.user_id)).is_banned
        except NotFound:
            return True

    async def _refuse(self, candidate: _Candidate, password: str | None) -> Identity:
        failure = await self._limits.failed(candidate.peer.ip, candidate.name, password)
        self.log.info(
            "Login as {name} by {protocol} from {ip} failed.",
            name=candidate.name,
            protocol=candidate.protocol,
            ip=candidate.peer.ip,
            session_id=candidate.peer.session_id,
        )
        if candidate.alias is not None and failure.is_new:
            self._failed.record(
                candidate.protocol,
                candidate.name,
                candidate.peer.ip,
                is_last=failure.is_last,
                domain_id=candidate.alias.domain_id,
                alias_id=candidate.alias.id,
                user_id=candidate.alias.user_id,
            )
        raise AuthenticationFailed

    def _recall(self, candidate: _Candidate, password: str) -> tuple[Credential, bytes] | None:
        for credential in reversed(candidate.credentials):
            found = self._remembered.get(self._mac(credential, password, "login-recent"))
            if found is None or candidate.alias is None:
                continue
            if found.alias_id != candidate.alias.id or found.credential_id != credential.id:
                continue
            if found.expires_at <= self._clock.seconds():
                continue
            key = self._mac(credential, password, "login-recent-key")
            return credential, self._keyring.unwrap(found.sealed, key, found.alias_id)
        return None

    def _remember(self, credential: Credential, mailbox_key: bytes, password: str) -> None:
        mark = self._mac(credential, password, "login-recent")
        key = self._mac(credential, password, "login-recent-key")
        self._remembered[mark] = _Remembered(
            alias_id=credential.alias_id,
            credential_id=credential.id,
            sealed=self._keyring.wrap(mailbox_key, key, credential.alias_id),
            expires_at=self._clock.seconds() + REMEMBER_SECONDS,
        )
        self._remembered.move_to_end(mark)
        while len(self._remembered) > MAX_REMEMBERED:
            self._remembered.popitem(last=False)

    def _mac(self, credential: Credential, password: str, purpose: str) -> bytes:
        return self._keyring.mac(credential.stored_key + password.encode(), purpose)

    async def lift(self, who: str) -> None:
        """Forget the failures of an IP address or of a user name: for the operator."""
        if parse_ip(who) is not None:
            await self._limits.lift_address(who)
        else:
            await self._limits.lift_name(_limited_name(who))

    async def stop(self) -> None:
        """Forget what was remembered."""
        self._remembered.clear()


def _limited_name(username: str) -> str:
    """What failures count by: the same for every spelling of an address."""
    address = _address(username)
    return f"{address.base}@{address.domain}" if address else _printable(username)


def _printable(username: str) -> str:
    """What stands in the log for a name that is no address."""
    return ascii(username.strip().lower()[:MAX_USERNAME_LENGTH])


def _address(username: str) -> Address | None:
    try:
        return parse_address(username.strip()[: MAX_USERNAME_LENGTH + 1])
    except Invalid:
        return None
