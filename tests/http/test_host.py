"""Who is asked: the Host field and the target of a request (RFC 9112 §3.2)."""

from typing import Any

from tests.http.raw import Echo, SiteTestCase


class Asked(Echo):
    """Says what it was asked."""

    def render(self, request: Any) -> bytes:
        """Host, path and target."""
        host = request.requestHeaders.getRawHeaders(b"Host") or [b"-"]
        return b"%s|%s|%s" % (host[0], b"/".join(request.postpath), request.uri)


class HostTests(SiteTestCase):
    """What is asked for sure."""

    def setUp(self) -> None:
        """A resource that says it."""
        super().setUp()
        self.site = self.site_of(Asked())

    def answer(self, head: bytes) -> bytes:
        """To a request on a new connection."""
        return self.ask(self.connect(), head + b"\r\n")

    def test_one(self) -> None:
        """A name, an address, with a port or without; even an empty one is a host."""
        for host in (
            b"mail.example.org",
            b"MAIL.example.org.:8080",
            b"192.0.2.1",
            b"[2001:db8::1]:3000",
            b"fe_mail:3000",
            b"xn--blbr-roah.example",
            b"mail.example.org:",
            b"",
        ):
            with self.subTest(host=host):
                answer = self.answer(b"GET /x HTTP/1.1\r\nHost: %s\r\n" % host)
                self.assertTrue(answer.startswith(b"HTTP/1.1 200 "), answer)
                self.assertIn(host + b"|x|/x", answer)

    def test_none_or_two(self) -> None:
        """400, and the end of the connection, with a body and without; nothing was called."""
        for fields in (
            b"",
            b"Host: a\r\nHost: a\r\n",
            b"Host: a\r\nhost: b\r\n",
            b"Host: a b\r\n",
            b"Host: a/b\r\n",
            b"Host: user@a\r\n",
            b"Host: a:port\r\n",
            b"Host: a:123456\r\n",
            b"Host: a, b\r\n",
            b"Host: <script>\r\n",
            b"Host: \xc3\xa6.example\r\n",
            b"Host: [::1\r\n",
        ):
            for head in (b"GET / HTTP/1.1\r\n", b"POST / HTTP/1.1\r\nContent-Length: 3\r\n"):
                with self.subTest(fields=fields):
                    channel = self.connect()
                    answer = self.ask(channel, head + fields + b"\r\n")
                    self.assertEqual(answer[:13], b"HTTP/1.1 400 ", answer)
                    self.assertTrue(channel.transport.disconnecting)

    def test_before_1_1(self) -> None:
        """Health checks of balancers speak HTTP/1.0 without Host; two are wrong there too."""
        self.assertIn(b" 200 ", self.answer(b"GET / HTTP/1.0\r\n"))
        self.assertIn(b" 400 ", self.answer(b"GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n"))

    def test_absolute_target(self) -> None:
        """As clients of proxies send it: the authority there is the host, the rest the path."""
        for target, seen in (
            (b"http://b.example/x?y=1", b"b.example|x|/x?y=1"),
            (b"HTTPS://b.example:8443/x/", b"b.example:8443|x/|/x/"),
            (b"http://b.example", b"b.example||/"),
            (b"http://b.example?y=1", b"b.example||/?y=1"),
        ):
            with self.subTest(target=target):
                answer = self.answer(b"GET %s HTTP/1.1\r\nHost: a\r\n" % target)
                self.assertTrue(answer.endswith(seen), answer)
        self.assertIn(b" 400 ", self.answer(b"GET http://b.example/ HTTP/1.1\r\n"))
