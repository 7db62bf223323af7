"""
Where an address goes: the answer that RCPT, the queue and the web UI share.
"""

import attrs

from fe_mail.model.queue import Target
from fe_mail.model.status import Status

__all__ = ["Route"]


@attrs.frozen(kw_only=True)
class Route:
    """
    The targets of one address. ``refusal`` set: nothing is delivered and the sender is told so.

    Neither targets nor refusal: accepted and dropped on purpose (a disabled alias with code 250).
    ``is_hosted`` is False when the domain is none of ours. ``trail`` lists the addresses that
    were passed on the way, for "where does this address go?".
    """

    address: str
    is_hosted: bool
    targets: tuple[Target, ...] = ()
    refusal: Status | None = None
    trail: tuple[str, ...] = ()
