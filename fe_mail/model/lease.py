"""The right to do something alone for a while."""

import attrs

__all__ = ["Lease"]


@attrs.frozen
class Lease:
    """
    ``token`` grows with every acquisition of a name, so that who comes too late can be told.

    ``until`` is a time of the clock that the adapter measures leases with, no date. ``note`` is
    what the last holder left.
    """

    name: str
    owner: str
    token: int
    until: float
    note: str = ""
