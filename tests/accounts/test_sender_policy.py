"""Tests of fe_mail.accounts.sender_policy: may this server send under a given SPF record?"""

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from fe_mail.accounts.sender_policy import admits, find_policy
from fe_mail.adapters.memory.resolver import TableResolver
from fe_mail.model.errors import Unavailable

TABLE = {
    ("d.test", "MX"): ("10 mx.test.",),
    ("d.test", "A"): ("192.0.2.80",),
    ("mx.test", "A"): ("192.0.2.25",),
    ("mx.test", "AAAA"): ("2001:db8::25",),
    ("inc.test", "TXT"): ("hello", "v=spf1 ip4:192.0.2.25 -all"),
    ("deny.test", "TXT"): ("v=spf1 -ip4:192.0.2.25 ~all",),
    ("loop.test", "TXT"): ("v=spf1 include:loop.test +all",),
    ("two.test", "TXT"): ("v=spf1 +all", "v=spf1 +all"),
}


class AdmitsTests(SynchronousTestCase):
    """``192.0.2.25`` wants to send mail of ``d.test``."""

    def admits(self, policy: str, address: str = "192.0.2.25") -> bool:
        """Ask."""
        resolver = TableResolver(TABLE, failing=["broken.test"])
        return self.successResultOf(
            Deferred.fromCoroutine(admits(resolver, policy, "d.test", address))
        )

    def test_yes(self) -> None:
        """Each mechanism that can say yes."""
        for policy in (
            "v=spf1 mx -all", "v=spf1 MX ~all", "v=spf1 ip4:192.0.2.25 -all", "v=spf1 +all",
            "v=spf1 ip4:192.0.2.0/24 -all", "v=spf1 include:inc.test -all", "v=spf1 a/24 -all",
            "v=spf1 a:mx.test -all", "v=spf1 a/24//64 -all", "v=spf1 redirect=inc.test",
            "v=spf1 mx:d.test exp=x.test -all", "v=spf1 include:deny.test mx -all",
        ):  # fmt: skip
            self.assertTrue(self.admits(policy), policy)

    def test_no(self) -> None:
        """Everything else."""
        for policy in (
            "v=spf1", "v=spf1 -all", "v=spf1 a -all", "v=spf1 -mx +all", "v=spf1 ?mx", "v=spf1 ~mx",
            "v=spf1 ip4:nonsense -all", "v=spf1 include:missing.test -all", "v=spf1 exists:x -all",
            "v=spf1 include:two.test -all", "v=spf1 include:two.test mx -all",
            "v=spf1 redirect=deny.test", "v=spf1 a//24 -all", "v=spf1 include:missing.test mx",
            "v=spf1 mx nonsense -all", "v=spf1 exists:x ptr -all",
        ):  # fmt: skip
            self.assertFalse(self.admits(policy), policy)

    def test_silence(self) -> None:
        """What depends on a name that cannot be looked up now is not known, not refused."""
        for policy in ("v=spf1 include:broken.test -all", "v=spf1 mx:broken.test -all"):
            resolver = TableResolver(TABLE, failing=["broken.test"])
            work = admits(resolver, policy, "d.test", "192.0.2.25")
            self.failureResultOf(Deferred.fromCoroutine(work), Unavailable)
        self.assertTrue(self.admits("v=spf1 mx include:broken.test -all"))

    def test_ipv6(self) -> None:
        """The length after two slashes is for IPv6."""
        self.assertTrue(self.admits("v=spf1 mx -all", "2001:db8::25"))
        self.assertTrue(self.admits("v=spf1 mx//64 -all", "2001:db8::26"))
        self.assertTrue(self.admits("v=spf1 mx/32//64 -all", "2001:db8::26"))
        self.assertFalse(self.admits("v=spf1 mx/24 -all", "2001:db8::26"))
        self.assertFalse(self.admits("v=spf1 mx -all", "nonsense"))

    def test_bounded(self) -> None:
        """Loops and long records end (RFC 7208 §4.6.4)."""
        self.assertFalse(self.admits("v=spf1 include:loop.test -all"))
        resolver = TableResolver(TABLE)
        policy = "v=spf1 " + "a:x.test " * 90 + "mx +all"
        work = admits(resolver, policy, "d.test", "192.0.2.25")
        self.successResultOf(Deferred.fromCoroutine(work))
        self.assertTrue(len(resolver.asked) <= 20)

    def test_find(self) -> None:
        """Only records that begin with the version alone."""
        records = ("v=spf1", "v=spf10 a", "V=SPF1 mx", " v=spf1", "x v=spf1")
        self.assertEqual(find_policy(records), ("v=spf1", "V=SPF1 mx"))
