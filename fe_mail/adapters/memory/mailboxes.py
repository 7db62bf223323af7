"""
Mailboxes in memory: the specification of the port, and the store that tests use.

Nothing is encrypted here, but a mailbox without an open handle is locked all the same: what is
delivered to it waits as "sealed" until somebody unlocks it with the right key.
"""

import secrets

from twisted.internet.interfaces import IReactorTime

from fe_mail.adapters.mailbox_rules import check_size
from fe_mail.adapters.memory.mailbox_open import MemoryOpenMailbox
from fe_mail.adapters.memory.mailbox_state import MailboxState
from fe_mail.model.errors import AlreadyExists, AuthenticationFailed, NotFound
from fe_mail.model.ids import AliasId
from fe_mail.model.mailbox import Delivery
from fe_mail.ports import Bus

__all__ = ["MemoryMailboxStore"]

_KEY_OCTETS = 32


class MemoryMailboxStore:
    """``fe_mail.ports.MailboxStore`` without a disk."""

    def __init__(self, bus: Bus, clock: IReactorTime) -> None:
        self._bus = bus
        self._clock = clock
        self._states: dict[AliasId, MailboxState] = {}

    async def start(self) -> None:
        """Nothing to open."""

    async def stop(self) -> None:
        """Nothing to close."""

    async def create(self, alias_id: AliasId, mailbox_key: bytes) -> bytes:
        """A new mailbox with the default folders; returns its public sealing key."""
        if alias_id in self._states:
            raise AlreadyExists("The mailbox exists already.")
        sealing_key = secrets.token_bytes(_KEY_OCTETS)
        self._states[alias_id] = MailboxState.new(mailbox_key, sealing_key, self._clock.seconds())
        return sealing_key

    async def unlock(self, alias_id: AliasId, mailbox_key: bytes) -> MemoryOpenMailbox:
        """Open, take in sealed mail."""
        state = self._state(alias_id)
        if not secrets.compare_digest(state.key, mailbox_key):
            raise AuthenticationFailed
        state.handles += 1
        mailbox = MemoryOpenMailbox(alias_id, state, self._bus, self._clock)
        await mailbox.take_in()
        return mailbox

    async def deliver(self, alias_id: AliasId, sealing_key: bytes, delivery: Delivery) -> None:
        """Append if somebody has the mailbox open, else keep as sealed."""
        state = self._state(alias_id)
        size = check_size([len(delivery.message.raw)])
        if delivery.id in state.delivered or delivery.id in state.sealed:
            return
        state.check_quota(size)
        state.sealed[delivery.id] = delivery
        if state.handles:
            await MemoryOpenMailbox(alias_id, state, self._bus, self._clock).take_in()
        else:
            self._bus.publish(f"sealed:{alias_id}", {})

    async def set_quota(self, alias_id: AliasId, limit_octets: int) -> None:
        """The limit that append and deliver enforce; 0: none."""
        self._state(alias_id).limit_octets = limit_octets

    async def used_octets(self, alias_id: AliasId) -> int:
        """Octets of stored and sealed mail; 0 if there is no mailbox."""
        state = self._states.get(alias_id)
        return 0 if state is None else state.used_octets + state.sealed_octets

    async def destroy(self, alias_id: AliasId) -> None:
        """Remove the mailbox and everything sealed for it; a missing one is ignored."""
        state = self._states.pop(alias_id, None)
        if state is not None:
            state.folders.clear()
            state.sealed.clear()

    async def check(self) -> tuple[str, ...]:
        """What waits sealed must not have been delivered already."""
        return tuple(
            f"Mailbox {alias_id}: delivery {delivery_id} waits sealed and is stored."
            for alias_id, state in self._states.items()
            for delivery_id in state.sealed
            if delivery_id in state.delivered
        )

    def _state(self, alias_id: AliasId) -> MailboxState:
        try:
            return self._states[alias_id]
        except KeyError:
            raise NotFound("There is no such mailbox.") from None
