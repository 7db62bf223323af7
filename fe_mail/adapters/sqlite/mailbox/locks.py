"""A lock for each alias, as long as somebody has it or waits for it."""

from twisted.internet.defer import DeferredLock

from fe_mail.model.ids import AliasId

__all__ = ["AliasLock"]


class AliasLock:
    """One at a time per alias: open, close, create, destroy."""

    def __init__(self, locks: dict[AliasId, DeferredLock], alias_id: AliasId) -> None:
        self._locks = locks
        self._alias_id = alias_id
        self._lock = locks.setdefault(alias_id, DeferredLock())

    async def __aenter__(self) -> None:
        await self._lock.acquire()

    async def __aexit__(self, *error: object) -> None:
        self._lock.release()
        if not self._lock.locked:
            self._locks.pop(self._alias_id, None)
