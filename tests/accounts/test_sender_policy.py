"""Tests of fe_mail.accounts.sender_policy: may this server send under a given SPF record?"""

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from fe_mail.accounts.sender_policy import Admission, admits, find_policy
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
    ("25.2.0.192.in-addr.list.test", "A"): ("127.0.0.2",),
    ("d.test.inc2.test", "TXT"): ("v=spf1 ip4:192.0.2.25 -all",),
    ("md.test", "A"): ("192.0.2.25",),
    ("maybe.test", "TXT"): ("v=spf1 exists:%{l}.list.test -all",),
    ("many.test", "MX"): tuple(f"10 mx{n}.test." for n in range(11)),
    ("near.test", "A"): ("192.0.2.80",),
    ("192.0.2.25", "PTR"): ("liar.example.", "mx.test."),
}


class AdmitsTests(SynchronousTestCase):
    """``192.0.2.25`` wants to send mail of ``d.test``."""

    def ask(self, policy: str, address: str = "192.0.2.25") -> Admission:
        """What the record says of the address."""
        resolver = TableResolver(TABLE, failing=["broken.test"])
        work = admits(resolver, policy, "d.test", address, "mx.test")
        return self.successResultOf(Deferred.fromCoroutine(work))

    def admits(self, policy: str, address: str = "192.0.2.25") -> bool:
        """Does it say yes?"""
        return self.ask(policy, address) is Admission.ADMITTED

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

    def test_macros(self) -> None:
        """Those that are the same for every message are filled in."""
        for policy in (
            "v=spf1 a:%{h} -all", "v=spf1 exists:%{ir}.%{v}.list.test -all",
            "v=spf1 include:%{d2}.inc2.test -all", "v=spf1 a:m%{d1r}.test -all",
            "v=spf1 exists:%{i}.%%%_%-.list.test mx -all", "v=spf1 redirect=%{o}.inc2.test",
        ):  # fmt: skip
            self.assertIs(self.ask(policy), Admission.ADMITTED, policy)

    def test_macros_of_the_message(self) -> None:
        """What depends on who sends is told only if it does not matter."""
        for policy, says in (
            ("v=spf1 exists:%{l}.list.test -all", Admission.UNKNOWN),
            ("v=spf1 include:%{s}.test ?all", Admission.UNKNOWN),
            ("v=spf1 redirect=%{l}.test", Admission.UNKNOWN),
            ("v=spf1 include:maybe.test -all", Admission.UNKNOWN),
            ("v=spf1 exists:%{l}.list.test mx -all", Admission.ADMITTED),
            ("v=spf1 -exists:%{l}.list.test -all", Admission.REFUSED),
            ("v=spf1 -exists:%{p}.list.test mx -all", Admission.UNKNOWN),
        ):
            self.assertIs(self.ask(policy), says, policy)

    def test_unreadable(self) -> None:
        """Records that a receiver gives up on, whatever else they say."""
        for policy in (
            "v=spf1 ip4:2001:db8::25 mx -all", "v=spf1 ip6:192.0.2.25 mx -all", "v=spf1 ip4: mx",
            "v=spf1 ip4:192.0.2.256 mx", "v=spf1 ip4:192.0.2.0/33 mx", "v=spf1 a:%{z}.test mx",
            "v=spf1 mx: -all", "v=spf1 mx/33 -all", "v=spf1 mx//129 -all", "v=spf1 all:x",
            "v=spf1 include mx", "v=spf1 exists mx", "v=spf1 a:50% mx", "v=spf1 mx -al",
            "v=spf1 redirect=inc.test redirect=inc.test", "v=spf1 redirect= mx",
            "v=spf1 v=spf1 include: mx", "v=spf1 ip4 mx", "v=spf1 ptr/24 mx",
            "v=spf1 a:no1.test a:no2.test a:no3.test mx -all", "v=spf1 mx:many.test mx -all",
        ):  # fmt: skip
            self.assertIs(self.ask(policy), Admission.BROKEN, policy)

    def test_lengths_of_a_name(self) -> None:
        """``a:name/24`` is a network around the name's addresses."""
        self.assertTrue(self.admits("v=spf1 a:near.test/24 -all"))
        self.assertFalse(self.admits("v=spf1 a:near.test/32 -all"))

    def test_pointer(self) -> None:
        """``ptr`` counts only with a name that leads back."""
        self.assertTrue(self.admits("v=spf1 ptr:test -all"))
        self.assertTrue(self.admits("v=spf1 ptr:mx.test -all"))
        self.assertFalse(self.admits("v=spf1 ptr:liar.example -all"))
        self.assertFalse(self.admits("v=spf1 ptr:x.test -all"))

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
