"""
What is connected to what: the only place that chooses adapters.

``Stores`` are the ports with their adapters, ``Inside`` the services on them and the factories of
the listeners. The other columns of the table in ``docs/architecture.rst`` (workers, nodes) differ
from this one in ``Stores`` only.
"""

__all__ = ["Inside", "Stores"]

STORE_THREADS = 4
MAILBOX_THREADS = 8
SPOOL_THREADS = 4
COSTLY_THREADS = 2  # hashing and key derivation: a storm of logins waits here, mail does not
COSTLY_WAITING = 200
