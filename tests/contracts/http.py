"""What every ``HTTPPost`` promises; asynchronous, since one adapter uses real sockets."""

from typing import Any

from twisted.internet.defer import Deferred, ensureDeferred

from fe_mail.model.errors import Invalid, NotFound, Unavailable
from fe_mail.model.web import Posting, WebAnswer
from fe_mail.ports.http import MAX_ANSWER_OCTETS, HTTPPost

__all__ = ["LONG", "HTTPPostContract"]

LONG = b"x" * (MAX_ANSWER_OCTETS * 3)


class HTTPPostContract:
    """
    Mixin for ``TestCase``: ``client()`` gives the adapter, ``url(path)`` a URL of a server that
    answers ``/ok`` with 200 ``thanks``, ``/error`` with 500, ``/moved`` with 302 and a Location,
    ``/long`` with 200 and ``LONG``; ``nowhere`` is a URL where nobody listens, ``unknown`` one of
    a host that does not exist; ``bad`` are URLs that cannot be asked.
    """

    nowhere: str
    unknown: str
    bad: tuple[str, ...]

    def client(self) -> HTTPPost:
        """The adapter under test."""
        raise AssertionError("the test case says which client")

    def url(self, path: str) -> str:
        """A URL of the server."""
        raise AssertionError("the test case says where")

    def received(self) -> list[tuple[str, bytes, dict[str, str]]]:
        """(path, body, some headers in lower case) of what the server got."""
        raise AssertionError("the test case says what arrived")

    async def posted(self, url: str, *body: bytes) -> WebAnswer:
        """Post something."""
        posting = Posting(url=url, headers={"X-Test": "yes"}, body=body)
        return await self.client().post(posting, 10.0)

    def test_posted(self: Any) -> "Deferred[None]":
        """Body and headers arrive as they are, in one request."""
        big = [bytes([number % 251]) * 65_536 for number in range(40)]

        async def scenario() -> None:
            answer = await self.posted(self.url("/ok?a=b%20c"), *big)
            self.assertEqual((answer.status, answer.body), (200, b"thanks"))
            ((path, body, headers),) = self.received()
            self.assertEqual(path, "/ok?a=b%20c")
            self.assertEqual(body, b"".join(big))
            self.assertEqual(headers["x-test"], "yes")

        return ensureDeferred(scenario())

    def test_empty(self: Any) -> "Deferred[None]":
        """A request may have no body."""

        async def scenario() -> None:
            self.assertEqual((await self.posted(self.url("/ok"))).status, 200)
            self.assertEqual(self.received()[0][1], b"")

        return ensureDeferred(scenario())

    def test_any_status_is_an_answer(self: Any) -> "Deferred[None]":
        """Errors of the server are values, and redirects are not followed."""

        async def scenario() -> None:
            self.assertEqual((await self.posted(self.url("/error"), b"x")).status, 500)
            self.assertEqual((await self.posted(self.url("/moved"), b"x")).status, 302)
            paths = [path for path, _, _ in self.received()]
            self.assertEqual(paths, ["/error", "/moved"])

        return ensureDeferred(scenario())

    def test_long_answer(self: Any) -> "Deferred[None]":
        """Only the start of the body is kept."""

        async def scenario() -> None:
            answer = await self.posted(self.url("/long"), b"x")
            self.assertEqual((answer.status, answer.body), (200, LONG[:MAX_ANSWER_OCTETS]))

        return ensureDeferred(scenario())

    def test_nobody(self: Any) -> "Deferred[None]":
        """Nobody listens: temporary. No such host: that is known."""

        async def scenario() -> None:
            for url, error in ((self.nowhere, Unavailable), (self.unknown, NotFound)):
                with self.assertRaises(error):
                    await self.posted(url, b"x")

        return ensureDeferred(scenario())

    def test_no_url(self: Any) -> "Deferred[None]":
        """What cannot be asked is refused before anything is sent."""

        async def scenario() -> None:
            for url in self.bad:
                with self.assertRaises(Invalid, msg=url):
                    await self.posted(url, b"x")

        return ensureDeferred(scenario())
