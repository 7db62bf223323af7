"""
The Basic-auth gate in front of a server that nobody owns yet.

Between the first start and the first registration anybody could become its admin; so the web UI,
and registration through the API, ask for a name and password that the operator knows. The gate
opens for good, without a restart, as soon as an admin exists, unless it is meant to stay. RFC 7617.
"""

import base64
import binascii
import hashlib
import hmac

import attrs

from fe_mail.accounts.fresh_counters import FreshCounters
from fe_mail.accounts.users import Users
from fe_mail.model.counting import Claim, Counter, Window
from fe_mail.model.errors import RateLimited
from fe_mail.model.sentence import Sentence
from fe_mail.ports import Counters

__all__ = ["CLOSED", "MAX_FAILURES", "Gate", "Gatekeeper"]

CLOSED = Sentence(
    "This server asks for a name and a password first. Whoever runs it finds the password in its "
    ".env file, as AUTH_BASIC_PASSWORD."
)
MAX_FAILURES = 50  # of one visitor in an hour; the same wrong password again is none


@attrs.frozen(kw_only=True)
class Gate:
    """What the operator set: ``AUTH_BASIC_USERNAME``, ``_PASSWORD``, ``_ALWAYS``."""

    username: str
    password: str = attrs.field(repr=False)
    always: bool = False


class Gatekeeper:
    """Lets visitors pass or not."""

    def __init__(self, gate: Gate | None, users: Users, counters: Counters) -> None:
        self._gate = gate
        self._users = users
        self._counters = FreshCounters(counters)

    @property
    def is_open(self) -> bool:
        """True when nobody needs to be asked."""
        return self._gate is None

    async def admits(self, authorization: str, remote: str) -> bool:
        """May this visitor pass? ``RateLimited`` after too many wrong guesses."""
        gate = self._gate
        if gate is None:
            return True
        if not gate.always and await self._users.has_admin():
            self._gate = None
            return True
        if not authorization:
            return False
        counter = Counter(f"gate:{remote}", Window.HOUR)
        (failures,) = await self._counters.read(counter)
        if failures.value >= MAX_FAILURES:
            raise RateLimited(retry_after_seconds=round(failures.seconds_left) + 1)
        if _knows(gate, authorization):
            return True
        guess = Counter(f"gate-guess:{remote}:{_mark(authorization)}", Window.HOUR)
        taken = await self._counters.take(Claim(counter, most=MAX_FAILURES), Claim(guess, most=1))
        failures = taken.counts[0]
        if taken.refused is not None and failures.value >= MAX_FAILURES:
            raise RateLimited(retry_after_seconds=round(failures.seconds_left) + 1)
        return False


def _knows(gate: Gate, authorization: str) -> bool:
    expected = f"{gate.username}:{gate.password}".encode()
    scheme, _, encoded = authorization.partition(" ")
    try:
        given = base64.b64decode(encoded.strip(), validate=True)
    except (binascii.Error, ValueError):
        return False
    return scheme.lower() == "basic" and hmac.compare_digest(given, expected)


def _mark(authorization: str) -> str:
    """What tells one guess from another; counters are kept encrypted."""
    return hashlib.sha256(authorization.encode("utf-8", "backslashreplace")).hexdigest()[:32]
