"""
DKIM signatures of hosted domains under what leaves this server.

What the server itself writes (reports, mail to its people) is signed by its own domain, which may
publish that everything unsigned in its name is to be refused (RFC 7489 §6.3).

Parsed keys are kept at hand; messages of size are signed in a thread. RFC 6376.
"""

from collections.abc import Sequence

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from fe_mail.accounts.claims import chosen_claim
from fe_mail.mailauth.dkim import SigningKey, is_signed_by, sign
from fe_mail.model.account import Domain
from fe_mail.model.errors import MailError
from fe_mail.ports import AliasStore, Keyring, Offload

__all__ = ["OFFLOAD_OCTETS", "OwnDomain", "Signer"]

log = Logger()

OFFLOAD_OCTETS = 1024 * 1024  # bigger messages are signed in a thread
MAX_SIGNING_KEYS = 256  # parsed keys that are kept at hand


class Signer:
    """Signs with the keys that domains have."""

    def __init__(self, keyring: Keyring, clock: IReactorTime, run: Offload) -> None:
        self._keyring = keyring
        self._clock = clock
        self._run = run
        self._keys: dict[bytes, SigningKey] = {}

    async def signed(self, raw: bytes, domain: Domain) -> bytes:
        """The message under its DKIM-Signature field; as it is if the domain has no key."""
        if not domain.dkim_private_key or not domain.dkim_selector:
            return raw
        key = await self._signing_key(domain)
        now = self._clock.seconds()

        def work() -> bytes:
            field = sign(raw, key, domain=domain.name, selector=domain.dkim_selector, now=now)
            return field + raw

        return await self._run(work) if len(raw) > OFFLOAD_OCTETS else work()

    async def has_signed(self, chunks: Sequence[bytes], domain: Domain) -> bool:
        """Does the message bear a signature that we made for the domain?"""
        if not domain.dkim_private_key:
            return False
        key = await self._signing_key(domain)
        now = self._clock.seconds()
        return await self._run(
            lambda: is_signed_by(b"".join(chunks), key, domain=domain.name, now=now)
        )

    async def _signing_key(self, domain: Domain) -> SigningKey:
        """Read in a thread: OpenSSL takes long to check the numbers of an RSA key."""
        sealed = domain.dkim_private_key
        key = self._keys.get(sealed)
        if key is None:
            pem = self._keyring.reveal(sealed, "dkim")
            key = await self._run(lambda: SigningKey.from_pem(pem))
            if len(self._keys) >= MAX_SIGNING_KEYS:
                del self._keys[next(iter(self._keys))]
            self._keys[sealed] = key
        return key


class OwnDomain:
    """The server's own domain, ``name``: in its name the server itself writes."""

    def __init__(self, name: str, accounts: AliasStore, signer: Signer) -> None:
        self.name = name
        self._accounts = accounts
        self._signer = signer

    async def signing(self) -> Domain | None:
        """The domain with its key; None if it is not hosted here, or has no key."""
        claim = chosen_claim(await self._accounts.route_rows("postmaster", self.name))
        has_key = claim is not None and claim.domain.dkim_private_key and claim.domain.dkim_selector
        return claim.domain if claim is not None and has_key else None

    async def signed(self, raw: bytes) -> bytes:
        """
        The message under the domain's signature; as it is where the domain cannot sign.

        A key that cannot be read costs the signature, never the message.
        """
        try:
            domain = await self.signing()
            return raw if domain is None else await self._signer.signed(raw, domain)
        except MailError as error:
            log.error("{domain} cannot sign: {reason}", domain=self.name, reason=error.message)
            return raw
