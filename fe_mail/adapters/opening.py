"""How a store opens its files."""

import enum

__all__ = ["Opening"]


class Opening(enum.Enum):
    """What may happen to a file that is not there, and to one that is."""

    NEW = "made if it is missing"
    KEPT = "must be there: an empty one would say that nothing was ever stored"
    LOOK = "must be there, and nothing is written"
