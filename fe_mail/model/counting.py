"""What limits rest on: counters that run out, claims on them, and what they say."""

import enum

import attrs

from fe_mail.model.errors import Invalid

__all__ = ["MAX_COUNTER_LENGTH", "Claim", "Count", "Counter", "Taken", "Window"]

MAX_COUNTER_LENGTH = 200


class Window(enum.IntEnum):
    """How long a counter lives after its first increment, in seconds."""

    MINUTE = 60
    HOUR = 3600
    DAY = 86_400
    MONTH = 30 * 86_400


def _is_bounded(_: object, attribute: "attrs.Attribute[str]", name: str) -> None:
    if not 0 < len(name) <= MAX_COUNTER_LENGTH:
        raise Invalid("The name of the counter is too long.", attribute.name)


@attrs.frozen
class Counter:
    """A counter by its name; each window of a name is a counter of its own."""

    name: str = attrs.field(validator=_is_bounded)
    window: Window


@attrs.frozen
class Claim:
    """``by`` more of a counter, unless it has reached ``most``. By 0 it is only looked at."""

    counter: Counter
    by: int = 1
    most: int | None = None


@attrs.frozen
class Count:
    """What a counter says, and for how long; nothing when it ran out or never began."""

    value: int = 0
    seconds_left: float = 0.0


@attrs.frozen
class Taken:
    """
    The counts after several claims, in their order.

    ``refused`` is the first one that was used up; then nothing was taken.
    """

    counts: tuple[Count, ...]
    refused: Count | None = None
