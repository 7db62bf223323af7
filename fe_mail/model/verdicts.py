"""
What is known about where a message comes from: the results of the methods of authentication.

RFC 8601 §2.7 (results), §2.2 (properties, "header.d").
"""

import enum

import attrs

__all__ = ["Result", "Verdict", "Verdicts"]


class Result(enum.Enum):
    """RFC 8601 §2.7. ``TEMPERROR``: it cannot be told now."""

    NONE = "none"
    PASS = "pass"  # noqa: S105 - a result, no password
    FAIL = "fail"
    SOFTFAIL = "softfail"
    POLICY = "policy"
    NEUTRAL = "neutral"
    TEMPERROR = "temperror"
    PERMERROR = "permerror"


@attrs.frozen(kw_only=True)
class Verdict:
    """One result of one method; ``domain`` is what it speaks of, if it is known."""

    result: Result
    domain: str = ""
    reason: str = ""  # ours, for the log
    properties: tuple[tuple[str, str], ...] = ()


@attrs.frozen(kw_only=True)
class Verdicts:
    """
    What every method says, None where it was not asked.

    A method may say several things: DKIM one for each signature, SPF one for each identity.
    """

    iprev: tuple[Verdict, ...] | None = None
    spf: tuple[Verdict, ...] | None = None
    dkim: tuple[Verdict, ...] | None = None
    arc: tuple[Verdict, ...] | None = None
    dmarc: tuple[Verdict, ...] | None = None
    spam: tuple[Verdict, ...] | None = None
