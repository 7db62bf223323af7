"""
Whatever octets a stranger sends to the port of both faces: an answer, and no traceback.
"""

from hypothesis import example, given, settings
from hypothesis import strategies as st

from fe_mail.api.site import create_api_resource
from fe_mail.http.proxies import Proxies
from fe_mail.http.site import HTTPSite, Switch
from fe_mail.http.work import Work
from tests.http.raw import exchange, room
from tests.web.pages import WebTestCase

HOSTS = (b"mail.example.net", b"api.example.net", b"\xff\xfe", b"a..b", b"x" * 70, b"[", b"")
TARGETS = (b"/", b"/v1/domains", b"/en/login", b"*", b"//x", b"/\xff", b"/%ff", b"/en/%00", b"x:y")
METHODS = (b"GET", b"HEAD", b"POST", b"PUT", b"OPTIONS", b"TRACE", b"CONNECT", b"M-SEARCH", b"x")
FIELDS = (
    b"Content-Type", b"Accept-Language", b"Cookie", b"Origin", b"Referer", b"Authorization",
    b"X-Forwarded-For", b"Accept", b"Sec-Fetch-Site", b"Expect", b"Connection",
    b"Transfer-Encoding", b"Content-Length",
)  # fmt: skip
VALUES = (
    b"\xff", b"", b"multipart/form-data; boundary=\xff", b"application/json", b"session=\xff",
    b"__Host-session=x; language=\xff", b"http://[", b"http://x:99999", b"Basic \xff",
    b"Basic Og==", b"chunked", b"10", b"100-continue", b"close", b"en;q=nan, da;q=-1e999",
)  # fmt: skip
SOME = st.binary(max_size=30)


class StrangerTests(WebTestCase):
    """The site that the world sees."""

    def setUp(self) -> None:
        """Both faces on one port."""
        super().setUp()
        work = Work()
        api = create_api_resource(
            self.services,
            web_url="http://mail.example.net",
            mail_host="mail.example.net",
            work=work,
            proxies=Proxies(("127.0.0.1",)),
        )
        both = Switch(self.site.resource, api, frozenset({"api.example.net"}))
        self.both = HTTPSite(both, clock=self.clock, work=work, room=room())

    @given(
        st.sampled_from(METHODS) | SOME,
        st.sampled_from(TARGETS) | SOME,
        st.sampled_from(HOSTS) | SOME,
        st.lists(st.tuples(st.sampled_from(FIELDS), st.sampled_from(VALUES) | SOME), max_size=4),
        SOME,
    )
    @example(b"GET", b"/\xff", b"a", [], b"")
    @example(b"POST", b"/a\x80", b"a", [(b"Content-Length", b"3")], b"abc")
    @example(b"GET", b"/", b"\xff", [], b"")
    @example(b"GET", b"/", b"a..b", [], b"")
    @example(b"GET", b"/v1/test", b"x" * 70, [], b"")
    @settings(max_examples=400, deadline=None)
    def test_no_traceback(
        self,
        method: bytes,
        target: bytes,
        host: bytes,
        fields: list[tuple[bytes, bytes]],
        rest: bytes,
    ) -> None:
        """Nothing is logged as an error of ours, and no answer is a 500."""
        lines = [b"%s %s HTTP/1.1" % (method, target), b"Host: " + host]
        lines += [b"%s: %s" % field for field in fields]
        answer = exchange(self.both, b"\r\n".join(lines) + b"\r\n\r\n" + rest)
        self.assertEqual(self.flushLoggedErrors(), [])
        self.assertNotIn(b"HTTP/1.1 500", answer)
