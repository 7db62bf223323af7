"""Leases: who does what alone."""

from typing import Protocol

from fe_mail.model.lease import Lease

__all__ = ["Leases"]


class Leases(Protocol):
    """
    Of all processes one at a time holds a lease, until it releases it or its time is over.

    Time is measured so that no change of the date grants a lease twice. A process that was
    stopped may wake up after its time: it asks ``holds`` before it acts, and what it writes
    elsewhere it writes with its ``token``, which is smaller than that of whoever came after it.
    """

    async def acquire(self, name: str, owner: str, seconds: float) -> Lease | None:
        """None while somebody holds it, also oneself."""

    async def renew(self, lease: Lease, seconds: float) -> Lease:
        """So much time from now, also when it was over and nobody came. ``Conflict``: lost."""

    async def release(self, lease: Lease, note: str | None = None) -> None:
        """End it and leave a ``note`` to the next holder (None: the old one). ``Conflict``."""

    def holds(self, lease: Lease) -> bool:
        """True while nobody else can have it."""
