"""
Room in mailboxes, asked before mail is accepted: who sends to a full one hears it at RCPT or at the
end of data, and not five days after a 250.

What an alias has left is its quota less what is stored, sealed, and accepted but still on its
way. It is known for a moment (``KNOWN_SECONDS``), less what was accepted meanwhile, so that a burst
costs one question and cannot pass the quota. A mailbox that cannot be asked has room: the courier,
which checks again, waits with what it gets. RFC 3463 §3.3 (4.2.2).
"""

from collections.abc import Iterable, Sequence

import attrs
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from fe_mail.model.errors import MailError
from fe_mail.model.ids import AliasId
from fe_mail.model.lane import LOCAL, lane_of
from fe_mail.model.queue import Target
from fe_mail.model.route import Route
from fe_mail.ports import MailboxStore, Queue

__all__ = ["KNOWN_SECONDS", "MAX_KNOWN", "Rooms"]

log = Logger()

KNOWN_SECONDS = 5.0
MAX_KNOWN = 10_000
# The names of the fields that the courier puts on top, with their punctuation.
FIELD_OCTETS = len("Return-Path: <>\r\nDelivered-To: \r\nX-Original-To: \r\n")


@attrs.define
class _Known:
    """``left`` None: there is no quota."""

    until: float
    left: int | None


class Rooms:
    """How much more fits into mailboxes of ours."""

    def __init__(self, mailboxes: MailboxStore, queue: Queue, clock: IReactorTime) -> None:
        self._mailboxes = mailboxes
        self._queue = queue
        self._clock = clock
        self._known: dict[str, _Known] = {}

    async def is_full(self, route: Route, size_octets: int) -> bool:
        """Would nobody get a message of this size (0: any)? Where it also leads elsewhere: no."""
        if not _is_all_local(route):
            return False
        for target in route.targets:
            if _fits(await self._room(target), size_octets):
                return False
        return True

    async def take(self, routes: Sequence[Route], size_octets: int, sender: str) -> bool:
        """
        Count a message in; False, and nothing is counted, if nobody would get it.

        Where some have no room it is for all the same: it waits for it in the queue.
        """
        targets = {target.alias_id: target for route in routes for target in _locals(route)}
        rooms = {alias_id: await self._room(target) for alias_id, target in targets.items()}
        # From here on nothing is awaited, so that no other message takes the same room.
        sizes = {
            alias_id: size_octets + _fields_octets(target, routes, sender)
            for alias_id, target in targets.items()
        }
        is_wanted = any(
            not _is_all_local(route)
            or any(_fits(rooms[one.alias_id], sizes[one.alias_id]) for one in route.targets)
            for route in routes
        )
        for alias_id, room in rooms.items():
            if is_wanted and room.left is not None:
                room.left -= sizes[alias_id]
        return is_wanted

    async def _room(self, target: Target) -> _Known:
        now = self._clock.seconds()
        known = self._known.get(target.alias_id)
        if known is not None and now < known.until:
            return known
        left = await self._left(target)
        known = self._known.get(target.alias_id)  # somebody else may have asked meanwhile
        if known is None or now >= known.until:
            self._forget_some()
            known = self._known[target.alias_id] = _Known(now + KNOWN_SECONDS, left)
        return known

    async def _left(self, target: Target) -> int | None:
        try:
            quota = await self._mailboxes.quota(AliasId(target.alias_id))
            if not quota.limit_octets:
                return None
            on_the_way = await self._queue.waiting_octets(lane_of(target))
        except MailError as error:
            log.warn(
                "the room of {alias} is not known: {reason}",
                alias=target.address,
                reason=error.message,
            )
            return None
        return quota.limit_octets - quota.used_octets - on_the_way

    def _forget_some(self) -> None:
        if len(self._known) >= MAX_KNOWN:
            now = self._clock.seconds()
            self._known = {name: one for name, one in self._known.items() if now < one.until}
        if len(self._known) >= MAX_KNOWN:
            self._known.clear()


def _locals(route: Route) -> Iterable[Target]:
    return (target for target in route.targets if target.courier == LOCAL)


def _is_all_local(route: Route) -> bool:
    return bool(route.targets) and all(target.courier == LOCAL for target in route.targets)


def _fits(room: _Known, size_octets: int) -> bool:
    return room.left is None or room.left >= max(1, size_octets)


def _fields_octets(target: Target, routes: Sequence[Route], sender: str) -> int:
    """At most what the fields of the delivery add."""
    longest = max(len(route.address.encode()) for route in routes)
    return FIELD_OCTETS + len(sender.encode()) + len(target.address.encode()) + longest
