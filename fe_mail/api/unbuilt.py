"""
The routes of the reference that are not built yet.

They answer 501 to whom they would admit, so that a client can tell "not yet" from "no such thing",
and 401 to others. Those that will ask for one of the server's own secrets ask for a token until
then. A route that is built moves to ``routes``; a test holds both lists against the contract.
RFC 9110 §15.6.2.
"""

from collections.abc import Iterator

from fe_mail.api.access import Access
from fe_mail.api.call import Call
from fe_mail.api.routes import ALIAS, DOMAIN
from fe_mail.http.routes import Route

__all__ = ["UNBUILT"]

NOBODY, TOKEN, EITHER = Access.NOBODY, Access.TOKEN, Access.TOKEN_OR_ALIAS
SCRIPT = "<segment:script_id>"


async def _nothing(call: Call, **names: str) -> object:
    raise NotImplementedError


def _routes(access: Access, path: str, *methods: str) -> Iterator[Route[Access]]:
    for method in methods:
        yield Route(method, path, _nothing, access, answers=(501,), is_built=False)


def _scripts(access: Access, base: str) -> Iterator[Route[Access]]:
    """Sieve, under either of its two bases."""
    yield from _routes(access, base, "GET", "POST")
    yield from _routes(access, f"{base}/{SCRIPT}", "GET", "PUT", "DELETE")
    yield from _routes(access, f"{base}/{SCRIPT}/activate", "POST")
    yield from _routes(access, f"{base}/deactivate", "POST")
    yield from _routes(access, f"{base}/active", "GET")
    yield from _routes(access, f"{base}/capabilities", "GET")
    yield from _routes(access, f"{base}/validate", "POST")
    yield from _routes(access, f"{base}/test", "POST")


def _collection(name: str) -> Iterator[Route[Access]]:
    """What mail programs of the web read and write."""
    yield from _routes(EITHER, f"/v1/{name}", "GET", "POST")
    yield from _routes(EITHER, f"/v1/{name}/<segment:item_id>", "GET", "PUT", "DELETE")


UNBUILT: tuple[Route[Access], ...] = (
    *_routes(NOBODY, "/v1/log", "POST"),
    *_routes(NOBODY, "/v1/encrypt", "POST"),
    *_routes(NOBODY, "/v1/ws", "GET"),
    *_routes(TOKEN, "/v1/lookup", "GET"),
    *_routes(TOKEN, "/v1/port", "GET"),
    *_routes(TOKEN, "/v1/settings", "GET"),
    *_routes(TOKEN, "/v1/max-forwarded-addresses", "GET"),
    *_routes(TOKEN, "/v1/self-test", "POST"),
    *_routes(TOKEN, "/v1/upgrade", "POST"),
    *_routes(TOKEN, "/v1/logs/download", "GET"),
    *_routes(EITHER, "/v1/emails", "GET", "POST"),
    *_routes(EITHER, "/v1/emails/limit", "GET"),
    *_routes(EITHER, "/v1/emails/<segment:email_id>", "GET", "DELETE"),
    *_routes(TOKEN, f"{DOMAIN}/test-s3-connection", "POST"),
    *_routes(TOKEN, f"{DOMAIN}/catch-all-passwords", "GET", "POST"),
    *_routes(TOKEN, f"{DOMAIN}/catch-all-passwords/<segment:token_id>", "DELETE"),
    *_routes(TOKEN, f"{DOMAIN}/invites", "GET", "POST", "DELETE"),
    *_routes(TOKEN, f"{DOMAIN}/invites/<segment:token>", "GET"),
    *_routes(TOKEN, f"{DOMAIN}/members/<segment:member_id>", "PUT", "DELETE"),
    *_scripts(TOKEN, f"{ALIAS}/sieve"),
    *_scripts(EITHER, "/v1/sieve-scripts"),
    *_collection("contacts"),
    *_collection("calendars"),
    *_collection("calendar-events"),
    *_collection("folders"),
    *_collection("messages"),
    *_routes(EITHER, "/v1/push-tokens", "GET", "POST", "DELETE"),
    *_routes(EITHER, "/v1/push-tokens/<segment:token_id>", "DELETE"),
)
