"""
Is this server well? Asked by ``/health``, answered by trying.

What is read from a cache, or would be written later, says nothing of the disk. So a little is
written for real, to every file that mail needs, at most every ``PROBE_SECONDS``; and a disk that is
nearly full is told before it is. What mail or people met meanwhile is known to ``Troubles``.

*Failing* is what concerns everybody: whoever balances load may send them elsewhere, and mail waits
at its senders. *Noted* is what does not: one mailbox that is damaged, a disk with little space.
"""

import os
from pathlib import Path
from typing import Final

import attrs
from twisted.internet.interfaces import IReactorTime

from fe_mail.app.stores import Stores
from fe_mail.model.errors import MailError

__all__ = ["MIN_FREE_OCTETS", "MIN_FREE_PART", "PROBE_SECONDS", "Condition", "Health"]

PROBE_SECONDS: Final = 10.0
# Whichever is less: a small disk may be nearly full all the time.
MIN_FREE_OCTETS: Final = 256 * 1024 * 1024
MIN_FREE_PART: Final = 0.05
MIN_FREE_FILES: Final = 1000


@attrs.frozen
class Condition:
    """Problems that an operator should know of, one sentence each."""

    failing: tuple[str, ...] = ()
    noted: tuple[str, ...] = ()


class Health:
    """Of the stores of one process, whose files are in ``data``."""

    def __init__(self, stores: Stores, data: Path, clock: IReactorTime) -> None:
        self._stores = stores
        self._data = data
        self._clock = clock
        self._probed_at: float | None = None
        self._failed: tuple[str, ...] = ()

    async def condition(self) -> Condition:
        """How they are now."""
        await self._probe_in_time()
        troubles = self._stores.troubles.current()
        failing = [str(trouble) for trouble in troubles if trouble.is_wide]
        noted = [str(trouble) for trouble in troubles if not trouble.is_wide]
        low = await self._stores.run(lambda: _low_space(self._data))
        return Condition((*failing, *self._failed), (*noted, *low))

    async def _probe_in_time(self) -> None:
        now = self._clock.seconds()
        if self._probed_at is not None and 0 <= now - self._probed_at < PROBE_SECONDS:
            return
        self._probed_at = now
        failed = []
        for name, probe in self._stores.probes():
            try:
                await probe()
            except MailError as error:
                known = {trouble.store for trouble in self._stores.troubles.current()}
                if name not in known:
                    failed.append(f"{name}: {error.message}")
        self._failed = tuple(failed)


def _low_space(data: Path) -> tuple[str, ...]:
    try:
        found = os.statvfs(data)
    except OSError as error:
        return (f"{data}: its disk cannot be asked for its free space: {error.strerror}.",)
    free, whole = found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize
    if free < min(MIN_FREE_OCTETS, whole * MIN_FREE_PART):
        return (f"{data}: its disk is nearly full, {free // 1024} KiB are free.",)
    if found.f_files and found.f_favail < min(MIN_FREE_FILES, found.f_files * MIN_FREE_PART):
        return (f"{data}: its disk has room for {found.f_favail} more files only.",)
    return ()
