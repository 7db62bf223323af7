"""
Messages whose octets cannot be read.

``fetch`` leaves them out, as it does those that are gone; a look that wants no octets tells the
two apart. A big one may break off behind its beginning, when only the end of the connection can
say so. The client comes back and asks again, and would be cut off at the same place for ever: so
what broke off is remembered, and the next time read to its end before anything is promised.
"""

from collections.abc import Sequence
from typing import Final

from fe_mail.model.ids import AliasId
from fe_mail.model.mailbox import Want
from fe_mail.ports import OpenMailbox

__all__ = ["BrokenOff", "are_damaged"]

MAX_REMEMBERED: Final = 1000


async def are_damaged(mailbox: OpenMailbox, folder_id: int, left_out: Sequence[int]) -> bool:
    """Is one of the messages that ``fetch`` left out there all the same?"""
    return bool(await mailbox.fetch(folder_id, left_out, Want.NOTHING))


class BrokenOff:
    """Messages of any mailbox that were sent in part, the latest ones."""

    def __init__(self) -> None:
        self._known: dict[tuple[AliasId, int, int], None] = {}

    def add(self, mailbox: OpenMailbox, folder_id: int, uid: int) -> None:
        """It broke off."""
        self._known[mailbox.alias_id, folder_id, uid] = None
        if len(self._known) > MAX_REMEMBERED:
            del self._known[next(iter(self._known))]

    def has(self, mailbox: OpenMailbox, folder_id: int, uid: int) -> bool:
        """Did it break off before?"""
        return (mailbox.alias_id, folder_id, uid) in self._known
