"""
Who calls, and how often: HTTP Basic with a token or with alias credentials, and the limits.

An empty password means an API token, any other the credentials of an alias. The order of the
refusals is part of the contract: authentication, verified e-mail, banned, rate. RFC 7617.
"""

import base64
import binascii
import enum

from fe_mail.api.call import Call
from fe_mail.http.gate import CLOSED
from fe_mail.http.limits import Limit, limit_counter
from fe_mail.http.request import header
from fe_mail.model.counting import Claim, Window
from fe_mail.model.envelope import Peer
from fe_mail.model.errors import (
    AuthenticationFailed,
    NotFound,
    PermissionDenied,
    RateLimited,
)
from fe_mail.model.network import network_of

__all__ = ["CALLS", "WRONG_TOKENS", "Access", "admit", "count"]

MAX_AUTHORIZATION_CHARS = 4096


class Access(enum.Enum):
    """What a route asks of its caller."""

    NOBODY = "nobody"
    GATED = "whoever passes the gate"  # before the first account
    TOKEN = "token"  # noqa: S105 - the name of a kind of access
    TOKEN_OR_ALIAS = "token or alias"  # noqa: S105 - likewise


CALLS = Limit("calls", 1000, Window.MINUTE)
WRONG_TOKENS = Limit("wrong-tokens", 60, Window.HOUR)  # a right one is asked for no limit


async def admit(call: Call, access: Access) -> None:
    """Set ``user`` or ``identity``, or refuse."""
    if access is Access.NOBODY:
        return
    try:
        if access is Access.GATED:
            await _admit_through_gate(call)
            return
        username, password = _basic(header(call.request, b"Authorization"))
        if password and access is Access.TOKEN_OR_ALIAS:
            await _admit_alias(call, username, password)
        else:
            await _admit_token(call, username)
    except AuthenticationFailed:
        await count(call, None)
        raise


async def _admit_through_gate(call: Call) -> None:
    authorization = header(call.request, b"Authorization")
    if not await call.api.gatekeeper.admits(authorization, network_of(call.remote)):
        raise AuthenticationFailed(CLOSED)


def _basic(authorization: str) -> tuple[str, str]:
    """User name and password of an Authorization header (RFC 7617 §2)."""
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic" or len(authorization) > MAX_AUTHORIZATION_CHARS:
        raise AuthenticationFailed("Authentication is required.")
    try:
        decoded = base64.b64decode(encoded.strip(), validate=True).decode("utf-8")
    except (binascii.Error, UnicodeDecodeError, ValueError):
        raise AuthenticationFailed("Authentication is required.") from None
    username, _, password = decoded.partition(":")
    if not username:
        raise AuthenticationFailed("Authentication is required.")
    return username, password


async def _admit_token(call: Call, token: str) -> None:
    try:
        user = await call.api.services.users.by_token(token)
    except (NotFound, AuthenticationFailed):
        await _spend(call, WRONG_TOKENS, network_of(call.remote))
        raise AuthenticationFailed("Invalid API token.") from None
    if not user.has_verified_email:
        raise AuthenticationFailed("Please verify your e-mail address first.")
    if user.is_banned:
        raise PermissionDenied("This account is suspended.")
    call.user = user


async def _admit_alias(call: Call, username: str, password: str) -> None:
    peer = Peer(ip=call.remote, protocol="HTTP")
    try:
        call.identity = await call.api.services.login.authenticate(username, password, peer, "api")
    except PermissionDenied as error:
        raise AuthenticationFailed(error.sentence) from None


async def count(call: Call, limit: Limit | None) -> None:
    """
    Count the call against the limit of the whole API and that of its route.

    Admins of the server are exempt from the limits of single routes.
    """
    known = call.user or (call.identity and call.identity.alias)
    who = known.id if known else network_of(call.remote)
    await _spend(call, CALLS, who)
    if limit is not None and not (call.user and call.user.group == "admin"):
        await _spend(call, limit, who)


async def _spend(call: Call, limit: Limit, who: str) -> None:
    counter = limit_counter(limit.name, who, limit.window)
    taken = await call.api.services.counters.take(Claim(counter, most=limit.calls))
    (count,) = taken.counts
    left_seconds = max(1, round(count.seconds_left))
    reset_at = int(call.api.services.clock.seconds()) + left_seconds
    set_header = call.request.setHeader
    set_header(b"X-RateLimit-Limit", b"%d" % limit.calls)
    set_header(b"X-RateLimit-Remaining", b"%d" % max(0, limit.calls - count.value))
    set_header(b"X-RateLimit-Reset", b"%d" % reset_at)
    if taken.refused is not None:
        raise RateLimited("Rate limit exceeded, please try again later.", left_seconds)
