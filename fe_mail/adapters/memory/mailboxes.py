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
from fe_mail.model.errors import AuthenticationFailed, Conflict, NotFound
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
        self._epochs: dict[AliasId, int] = {}  # of the last one, also of one that is gone

    async def start(self) -> None:
        """Nothing to open."""

    async def stop(self) -> None:
        """Nothing to close."""

    async def create(
        self, alias_id: AliasId, mailbox_key: bytes, epoch: int = 0, limit_octets: int = 0
    ) -> bytes:
        """A new mailbox with the default folders; returns its public sealing key."""
        if self._epochs.get(alias_id, -1) >= epoch:
            raise Conflict("The mailbox was replaced in the meantime.")
        sealing_key = secrets.token_bytes(_KEY_OCTETS)
        state = MailboxState.new(mailbox_key, sealing_key, self._clock.seconds())
        state.limit_octets = limit_octets
        self._states[alias_id], self._epochs[alias_id] = state, epoch
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
        state = self._states.get(alias_id)
        if alias_id in self._epochs and (state is None or state.sealing_key != sealing_key):
            raise Conflict("The mailbox was replaced in the meantime.")
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

    async def settle(self, alias_id: AliasId, before: int, sealing_key: bytes = b"") -> None:
        """Remove the mailboxes of earlier epochs, but not the one of this key."""
        state, epoch = self._states.get(alias_id), self._epochs.get(alias_id, -1)
        if state is not None and (epoch >= before or state.sealing_key == sealing_key):
            return
        self._epochs[alias_id] = max(epoch, before - 1)
        if state is not None:
            del self._states[alias_id]
            state.folders.clear()
            state.sealed.clear()

    async def aliases(self) -> frozenset[AliasId]:
        """Every alias that has a mailbox."""
        return frozenset(self._states)

    async def has_key(self, alias_id: AliasId, sealing_key: bytes) -> bool:
        """Is there a mailbox of this key?"""
        return alias_id in self._states and self._states[alias_id].sealing_key == sealing_key

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
