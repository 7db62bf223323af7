"""
Routes as data: what a face of the HTTP edge offers, as one list of values.

A ``Route`` says everything that is decided before its handler runs, in this order: method and
path, access, rate limit, and how much body is read. The list feeds the router, the tests that
walk it, and ``docs/routes.rst``; importing a module registers nothing.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Generic, TypeVar

import attrs
from klein import Klein
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from werkzeug.exceptions import HTTPException

from fe_mail.http.limits import Limit
from fe_mail.http.request import Request, Segment

__all__ = ["SMALL_OCTETS", "Route", "router", "shown", "table"]

SMALL_OCTETS = 16_384  # a body that anybody may send

A = TypeVar("A")
P = TypeVar("P")


@attrs.frozen
class Route(Generic[A]):
    """
    A method at a path.

    ``parameters`` are the fields of query or body that the handler knows, ``answers`` the
    statuses that it gives besides those that stop a request before any handler. One that is not
    built yet answers 501 to whom it would admit, and has no handler.
    """

    method: str
    path: str
    handler: Callable[..., Awaitable[Any]]
    access: A
    limit: Limit | None = None
    max_octets: int = SMALL_OCTETS
    parameters: Sequence[str] = ()
    answers: Sequence[int] = (200,)
    is_built: bool = True

    def known(self, fields: Mapping[str, object]) -> dict[str, object]:
        """Those of the fields that the handler knows; others are ignored."""
        return {name: fields[name] for name in self.parameters if name in fields}


def router(
    places: Mapping[str, tuple[Sequence[str], P]],
    enter: Callable[[Request, P, dict[str, str]], Deferred[bytes]],
    refuse: Callable[[Request, HTTPException], object],
) -> Klein:
    """
    An app that calls ``enter`` for the paths of ``places``, each with its methods and a value.

    ``refuse`` answers where there is no such path, or not with this method.
    """
    app = Klein()
    app.url_map.converters["segment"] = Segment
    app.url_map.merge_slashes = False
    for path, (methods, place) in places.items():
        app.route(path, methods=methods, endpoint=path)(_handler(enter, place))

    def failed(request: Request, failure: Failure) -> object:
        assert isinstance(failure.value, HTTPException)
        return refuse(request, failure.value)

    # Klein's types know only error handlers of methods on Klein itself.
    on_error: Any = app.handle_errors
    on_error(HTTPException)(failed)
    return app


def _handler(
    enter: Callable[[Request, P, dict[str, str]], Deferred[bytes]], place: P
) -> Callable[..., Any]:
    def handle(request: Request, **names: str) -> Deferred[bytes]:
        return enter(request, place, names)

    return handle


def shown(path: str) -> str:
    """A path for people."""
    return path.replace("<segment:", "<")


_COLUMNS = ("Method", "Path", "Access", "Limit", "Body", "Answers")


def table(routes: Iterable[Route[Any]]) -> str:
    """One line for each route."""
    rows = [_COLUMNS, *map(_row, routes)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_COLUMNS))]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    return "\n".join(lines) + "\n"


def _row(route: Route[Any]) -> tuple[str, ...]:
    limit = route.limit
    return (
        route.method,
        shown(route.path),
        route.access.value,
        f"{limit.calls}/{limit.window} s" if limit else "",
        f"{route.max_octets // 1024} KiB",
        " ".join(map(str, route.answers)),
    )
