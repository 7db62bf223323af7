"""What every ``Resolver`` answers; asynchronous, since one adapter uses real sockets."""

from typing import Any

from twisted.internet.defer import Deferred, ensureDeferred

from fe_mail.model.dns import (
    CAA,
    CNAME,
    MX,
    NS,
    PTR,
    SOA,
    SRV,
    TLSA,
    TXT,
    HostAddress,
)
from fe_mail.model.errors import Unavailable
from fe_mail.ports import Resolver

__all__ = ["AUTHENTIC", "FAILING", "TABLE", "ResolverContract"]

# What the resolver under test must know; what is in ``FAILING`` does not answer.
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
    ("half.test", "A"): ("192.0.2.7",),
    ("empty.test", "TXT"): ("no address",),
    ("_25._tcp.example.test", "TLSA"): ("3 1 1 " + "00ff" * 16,),
    ("_imaps._tcp.example.test", "SRV"): ("20 1 993 b.example.test.", "10 0 993 A.example.test."),
    ("_pop3s._tcp.example.test", "SRV"): ("0 0 0 .",),
    ("example.test", "CAA"): ('0 issue "ca.test"',),
    ("example.test", "SOA"): ("ns1.example.test. admin.example.test. 7 3600 600 86400 60",),
}
FAILING = ("broken.test", ("half.test", "AAAA"), ("empty.test", "AAAA"))
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
            answer = await self.resolver().query("example.test", MX)
            expected = (MX(10, "a.example.test"), MX(20, "b.example.test"))
            self.assertEqual(answer.records, expected)
            self.assertTrue(answer.exists)
            self.assertTrue(answer.authentic)
            self.assertGreater(answer.ttl, 0)

        return ensureDeferred(scenario())

    def test_null_mx(self: Any) -> "Deferred[None]":
        """RFC 7505: one record with an empty host."""

        async def scenario() -> None:
            answer = await self.resolver().query("null.test", MX)
            self.assertEqual(answer.records, (MX(0, ""),))

        return ensureDeferred(scenario())

    def test_addresses(self: Any) -> "Deferred[None]":
        """Both families, IPv6 first."""

        async def scenario() -> None:
            answer = await self.resolver().query("A.example.test.", HostAddress)
            self.assertEqual(answer.records[0], "2001:db8::1")
            self.assertEqual(set(answer.records[1:]), {"192.0.2.1", "192.0.2.2"})
            self.assertFalse(answer.authentic)
            answer = await self.resolver().query("four.example.test", HostAddress)
            self.assertEqual(answer.records, ("192.0.2.4",))

        return ensureDeferred(scenario())

    def test_cname_chain(self: Any) -> "Deferred[None]":
        """Aliases are followed; ``cname`` itself follows nothing."""

        async def scenario() -> None:
            resolver = self.resolver()
            answer = await resolver.query("www.example.test", HostAddress)
            self.assertIn("192.0.2.1", answer.records)
            answer = await resolver.query("www.example.test", CNAME)
            self.assertEqual(answer.records, ("alias.example.test",))

        return ensureDeferred(scenario())

    def test_txt(self: Any) -> "Deferred[None]":
        """Each record is one text, however many strings it is made of."""

        async def scenario() -> None:
            resolver = self.resolver()
            answer = await resolver.query("example.test", TXT)
            self.assertEqual(set(answer.records), {"v=spf1 mx -all", "other=1"})
            answer = await resolver.query("long.test", TXT)
            self.assertEqual(answer.records, ("x" * 600,))

        return ensureDeferred(scenario())

    def test_ptr_and_ns(self: Any) -> "Deferred[None]":
        """Reverse names of both families, name servers."""

        async def scenario() -> None:
            resolver = self.resolver()
            for ip in ("192.0.2.1", "2001:db8::1"):
                self.assertEqual((await resolver.query(ip, PTR)).records, ("a.example.test",))
            self.assertEqual(
                (await resolver.query("example.test", NS)).records, ("ns1.example.test",)
            )

        return ensureDeferred(scenario())

    def test_services(self: Any) -> "Deferred[None]":
        """TLSA, SRV by preference and the target that says no, CAA, SOA."""

        async def scenario() -> None:
            resolver = self.resolver()
            answer = await resolver.query("_25._tcp.example.test", TLSA)
            self.assertEqual(answer.records, (TLSA(3, 1, 1, b"\x00\xff" * 16),))
            answer = await resolver.query("_imaps._tcp.example.test", SRV)
            first, second = SRV(10, 0, 993, "a.example.test"), SRV(20, 1, 993, "b.example.test")
            self.assertEqual(answer.records, (first, second))
            answer = await resolver.query("_pop3s._tcp.example.test", SRV)
            self.assertEqual(answer.records, (SRV(0, 0, 0, ""),))
            answer = await resolver.query("example.test", CAA)
            self.assertEqual(answer.records, (CAA(0, "issue", "ca.test"),))
            answer = await resolver.query("example.test", SOA)
            expected = SOA("ns1.example.test", "admin.example.test", 7, 3600, 600, 86400, 60)
            self.assertEqual(answer.records, (expected,))

        return ensureDeferred(scenario())

    def test_one_family(self: Any) -> "Deferred[None]":
        """What one family has is the answer when the other fails; nothing is none."""

        async def scenario() -> None:
            answer = await self.resolver().query("half.test", HostAddress)
            self.assertEqual(answer.records, ("192.0.2.7",))
            with self.assertRaises(Unavailable):
                await self.resolver().query("empty.test", HostAddress)

        return ensureDeferred(scenario())

    def test_nothing(self: Any) -> "Deferred[None]":
        """No such name, and a name without such records."""

        async def scenario() -> None:
            resolver = self.resolver()
            answer = await resolver.query("nowhere.test", MX)
            self.assertEqual((answer.records, answer.exists), ((), False))
            answer = await resolver.query("a.example.test", MX)
            self.assertEqual((answer.records, answer.exists), ((), True))

        return ensureDeferred(scenario())

    def test_unavailable(self: Any) -> "Deferred[None]":
        """A resolver that fails is no answer, and neither is a loop of aliases."""

        async def scenario() -> None:
            for name in ("broken.test", "loop.test"):
                with self.assertRaises(Unavailable):
                    await self.resolver().query(name, HostAddress)

        return ensureDeferred(scenario())

    def test_odd_names(self: Any) -> "Deferred[None]":
        """What can be no name does not exist."""

        async def scenario() -> None:
            self.assertFalse((await self.resolver().query("no-address", PTR)).exists)
            for name in ("a..test", "x" * 64 + ".test", ("long." * 60) + "test"):
                self.assertFalse((await self.resolver().query(name, MX)).exists)

        return ensureDeferred(scenario())
