"""
The key with which a domain signs its webhooks: 64 hex digits, made when they are first needed.

The receiver uses the digits as they stand, as ASCII, so that they can be copied from one form
into another. Only the domain's admins may see them; the store keeps them encrypted.
"""

import secrets

from twisted.internet.interfaces import IReactorTime

from fe_mail.model.errors import Conflict
from fe_mail.model.ids import DomainId
from fe_mail.ports import DomainStore, Keyring

__all__ = ["WEBHOOK_PURPOSE", "WebhookKeys"]

WEBHOOK_PURPOSE = "webhook"
_KEY_OCTETS = 32


class WebhookKeys:
    """Reads, makes and replaces keys. Who asks is for the caller to check."""

    def __init__(self, accounts: DomainStore, keyring: Keyring, clock: IReactorTime) -> None:
        self._accounts = accounts
        self._keyring = keyring
        self._clock = clock

    async def key(self, domain_id: DomainId) -> str:
        """The domain's key. ``NotFound`` when the domain is gone."""
        domain = await self._accounts.domain(domain_id)
        if not domain.webhook_key:
            return await self._first(domain_id)
        return self._keyring.reveal(domain.webhook_key, WEBHOOK_PURPOSE).decode("ascii")

    async def _first(self, domain_id: DomainId) -> str:
        """Two deliveries that need a first key at the same time get the same one."""
        key, protected = self._new()
        try:
            await self._accounts.update_domain(
                domain_id, self._clock.seconds(), {"webhook_key": b""}, webhook_key=protected
            )
        except Conflict:
            return await self.key(domain_id)  # once made, it is never taken away again
        return key

    async def replace(self, domain_id: DomainId) -> str:
        """
        A new key, valid from now on; the old one is gone. ``Conflict`` when somebody else does
        the same at the same moment.
        """
        old = (await self._accounts.domain(domain_id)).webhook_key
        key, protected = self._new()
        await self._accounts.update_domain(
            domain_id, self._clock.seconds(), {"webhook_key": old}, webhook_key=protected
        )
        return key

    def _new(self) -> tuple[str, bytes]:
        key = secrets.token_hex(_KEY_OCTETS)
        return key, self._keyring.protect(key.encode("ascii"), WEBHOOK_PURPOSE)
