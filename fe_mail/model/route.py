"""
Where an address goes: the answer that RCPT, the queue and the web UI share.
"""

import attrs

from fe_mail.model.queue import Target

__all__ = ["Refusal", "Route"]


@attrs.frozen(kw_only=True)
class Refusal:
    """An SMTP answer to a recipient: reply code, enhanced status (RFC 3463), one line of text."""

    code: int
    enhanced: str
    text: str


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
    refusal: Refusal | None = None
    trail: tuple[str, ...] = ()
