"""What every ``Resolver`` answers; asynchronous, since one adapter uses real sockets."""

from typing import Any

from twisted.internet.defer import Deferred, ensureDeferred

from fe_mail.model.dns import MX
from fe_mail.model.errors import Unavailable
from fe_mail.ports import Resolver

__all__ = ["AUTHENTIC", "FAILING", "TABLE", "ResolverContract"]

# What the resolver under test must know; ``broken.test`` does not answer.
TABLE: dict[tuple[str, str], tuple[str, ...]] = {
    ("example.test", "MX"): ("20 b.example.test.", "10 A.example.test."),
    ("example.test", "TXT"): ("v=spf1 mx -all", "other=1"),
    ("example.test", "NS"): ("ns1.example.test.",),
    ("a.example.test", "A"): ("192.0.2.1", "192.0.2.2"),
    ("a.example.test", "AAAA"): ("2001:db8::1",),
    ("four.example.test", "A"): ("192.0.2.4",),
    ("null.test", "MX"): ("0 .",),
    ("www.example.test", "CNAME"): ("alias.example.test.",),
    ("alias.example.test", "CNAME"): ("a.example.test.",),
    ("loop.test", "CNAME"): ("loop2.test.",),
    ("loop2.test", "CNAME"): ("loop.test.",),
    ("192.0.2.1", "PTR"): ("a.example.test.",),
    ("2001:db8::1", "PTR"): ("a.example.test.",),
    ("long.test", "TXT"): ("x" * 600,),
}
FAILING = ("broken.test",)
AUTHENTIC = ("example.test",)


class ResolverContract:
    """Mixin for ``TestCase``: ``resolver()`` gives one that knows ``TABLE``."""

    def resolver(self) -> Resolver:
        """The adapter under test."""
        raise AssertionError("the test case says which resolver")

    def check(self: Any, work: Any) -> "Deferred[None]":
        """Run a coroutine."""
        return ensureDeferred(work)

    def test_mx(self: Any) -> "Deferred[None]":
        """Sorted by preference, lower case, no final dot, authentic as the resolver says."""

        async def scenario() -> None:
            answer = await self.resolver().mx("example.test")
            expected = (MX(10, "a.example.test"), MX(20, "b.example.test"))
            self.assertEqual(answer.records, expected)
            self.assertTrue(answer.exists)
            self.assertTrue(answer.authentic)
            self.assertGreater(answer.ttl, 0)

        return ensureDeferred(scenario())

    def test_null_mx(self: Any) -> "Deferred[None]":
        """RFC 7505: one record with an empty host."""

        async def scenario() -> None:
            answer = await self.resolver().mx("null.test")
            self.assertEqual(answer.records, (MX(0, ""),))

        return ensureDeferred(scenario())

    def test_addresses(self: Any) -> "Deferred[None]":
        """Both families, IPv6 first."""

        async def scenario() -> None:
            answer = await self.resolver().addresses("A.example.test.")
            self.assertEqual(answer.records[0], "2001:db8::1")
            self.assertEqual(set(answer.records[1:]), {"192.0.2.1", "192.0.2.2"})
            self.assertFalse(answer.authentic)
            answer = await self.resolver().addresses("four.example.test")
            self.assertEqual(answer.records, ("192.0.2.4",))

        return ensureDeferred(scenario())

    def test_cname_chain(self: Any) -> "Deferred[None]":
        """Aliases are followed; ``cname`` itself follows nothing."""

        async def scenario() -> None:
            resolver = self.resolver()
            answer = await resolver.addresses("www.example.test")
            self.assertIn("192.0.2.1", answer.records)
            answer = await resolver.cname("www.example.test")
            self.assertEqual(answer.records, ("alias.example.test",))

        return ensureDeferred(scenario())

    def test_txt(self: Any) -> "Deferred[None]":
        """Each record is one text, however many strings it is made of."""

        async def scenario() -> None:
            resolver = self.resolver()
            answer = await resolver.txt("example.test")
            self.assertEqual(set(answer.records), {"v=spf1 mx -all", "other=1"})
            answer = await resolver.txt("long.test")
            self.assertEqual(answer.records, ("x" * 600,))

        return ensureDeferred(scenario())

    def test_ptr_and_ns(self: Any) -> "Deferred[None]":
        """Reverse names of both families, name servers."""

        async def scenario() -> None:
            resolver = self.resolver()
            for ip in ("192.0.2.1", "2001:db8::1"):
                self.assertEqual((await resolver.ptr(ip)).records, ("a.example.test",))
            self.assertEqual((await resolver.ns("example.test")).records, ("ns1.example.test",))

        return ensureDeferred(scenario())

    def test_nothing(self: Any) -> "Deferred[None]":
        """No such name, and a name without such records."""

        async def scenario() -> None:
            resolver = self.resolver()
            answer = await resolver.mx("nowhere.test")
            self.assertEqual((answer.records, answer.exists), ((), False))
            answer = await resolver.mx("a.example.test")
            self.assertEqual((answer.records, answer.exists), ((), True))

        return ensureDeferred(scenario())

    def test_unavailable(self: Any) -> "Deferred[None]":
        """A resolver that fails is no answer, and neither is a loop of aliases."""

        async def scenario() -> None:
            for name in ("broken.test", "loop.test"):
                with self.assertRaises(Unavailable):
                    await self.resolver().addresses(name)

        return ensureDeferred(scenario())

    def test_odd_names(self: Any) -> "Deferred[None]":
        """What can be no name does not exist."""

        async def scenario() -> None:
            for name in ("a..test", "x" * 64 + ".test", ("long." * 60) + "test"):
                self.assertFalse((await self.resolver().mx(name)).exists)

        return ensureDeferred(scenario())
