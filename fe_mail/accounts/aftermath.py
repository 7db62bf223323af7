"""
What follows when an alias's keys change, or it is gone: its sessions end, and of its mailboxes only
the one that the keys open stays.

These are other stores than the one with the keys, so the change itself leaves a note in an outbox.
What follows is done at once and, should that fail or the process be killed, by a job until it is
done. Each step may be repeated. To settle an alias first raises its epoch, so that whoever is about
to give it another mailbox fails, instead of finding its new files swept away.
"""

from collections.abc import Iterable

from twisted.logger import Logger

from fe_mail.model.account import MailboxKeys
from fe_mail.model.errors import MailError, NotFound
from fe_mail.model.ids import AliasId
from fe_mail.ports import AccountStore, Bus, MailboxStore
from fe_mail.ports.accounts import EPOCH_OF_THE_GONE

__all__ = ["Aftermath"]


class Aftermath:
    """Makes sessions and mailboxes follow the keys."""

    log = Logger()

    def __init__(self, accounts: AccountStore, mailboxes: MailboxStore, bus: Bus) -> None:
        self._accounts = accounts
        self._mailboxes = mailboxes
        self._bus = bus

    async def follow(self, alias_ids: Iterable[AliasId]) -> None:
        """Now. The change is durable already, so what fails here is no failure of the change."""
        for alias_id in alias_ids:
            await self._try(alias_id)

    async def follow_all(self, now: float) -> None:
        """Whatever is noted and due: for the job."""
        after = ""
        while due := await self._accounts.unsettled(now, after):
            for alias_id in due:
                await self._try(alias_id)
            after = due[-1]

    async def _try(self, alias_id: AliasId) -> None:
        try:
            await self._settle(alias_id)
        except MailError as error:
            self.log.warn(
                "The sessions and mailboxes of alias {alias_id} could not follow its keys; "
                "that is tried again: {reason}",
                alias_id=alias_id,
                reason=error.message,
            )

    async def _settle(self, alias_id: AliasId) -> None:
        try:
            keys = await self._accounts.fence(alias_id)
        except NotFound:
            keys = MailboxKeys(alias_id=alias_id, epoch=EPOCH_OF_THE_GONE)
        self._bus.publish(f"credentials:{alias_id}")
        await self._mailboxes.settle(alias_id, keys.epoch, keys.sealing_key)
        await self._accounts.settled(alias_id, keys.epoch)
