"""What a runner has in its hands: claims that wait in lanes, run, or wait to be told of."""

from collections.abc import Iterable, Sequence

import attrs

from fe_mail.model.queue import Claim
from fe_mail.queue.lanes import Work

__all__ = ["Hands", "Key", "part_of"]

Key = tuple[str, int]  # QueuedMessage.id, QueuedDelivery.number


class Hands:
    """By the deliveries that they are about: each of those is in one work at most."""

    def __init__(self) -> None:
        self._works: dict[Key, Work] = {}

    def __bool__(self) -> bool:
        return bool(self._works)

    def get(self, key: Key) -> Work | None:
        """The work with this delivery."""
        return self._works.get(key)

    def take(self, work: Work) -> None:
        """From now on its deliveries are in this one."""
        for key in work.keys:
            self._works[key] = work

    def forget(self, work: Work) -> None:
        """It is done with, but for what another work has taken over."""
        for key in work.keys:
            if self._works.get(key) is work:
                del self._works[key]

    def works(self) -> list[Work]:
        """Each once."""
        return _each_once(self._works.values())

    def of(self, keys: Sequence[Key]) -> list[Work]:
        """Those with any of these deliveries, each once."""
        return _each_once(work for key in keys if (work := self._works.get(key)) is not None)

    def of_message(self, message_id: str) -> list[Work]:
        """Those of one message, each once."""
        return _each_once(
            work for (of_message, _), work in self._works.items() if of_message == message_id
        )


def part_of(claim: Claim, chosen: Sequence[bool]) -> Claim:
    """Those of its deliveries that are chosen."""
    pairs = zip(claim.deliveries, chosen, strict=True)
    return attrs.evolve(claim, deliveries=tuple(one for one, is_chosen in pairs if is_chosen))


def _each_once(works: Iterable[Work]) -> list[Work]:
    return list({id(work): work for work in works}.values())
