"""Tests of fe_mail.mailauth.srs."""

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from fe_mail.mailauth.srs import MAX_AGE_DAYS, SRS, is_srs
from fe_mail.model.address import Address, parse_address
from fe_mail.model.errors import Invalid

NOW = 1_800_000_000.0
DAY = 86_400
LOCALS = st.from_regex(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\-]{1,30}(\.[a-z=]{1,10})?", fullmatch=True)


class SRSTests(SynchronousTestCase):
    """Senders there and back."""

    def setUp(self) -> None:
        """A forwarder with a rotated secret."""
        self.srs = SRS([b"new", b"old"], "fwd.example")
        self.sender = Address("Joe.Bloggs", "origin.example")

    def test_round_trip(self) -> None:
        """A bounce finds its way, even when the local part lost its case."""
        wrapped = self.srs.forward(self.sender, NOW)
        self.assertTrue(is_srs(wrapped.local))
        self.assertEqual(wrapped.domain, "fwd.example")
        again = parse_address(str(wrapped).lower())
        self.assertEqual(self.srs.reverse(again, NOW).key, self.sender.key)
        self.assertEqual(self.srs.reverse(wrapped, NOW), self.sender)

    @settings(max_examples=200, deadline=None)
    @given(LOCALS)
    def test_any_local_part(self, local: str) -> None:
        """Also with = in it, or SRS-like by chance; the address stays parseable."""
        sender = Address(local, "origin.example")
        wrapped = self.srs.forward(sender, NOW)
        parsed = parse_address(str(wrapped))
        if not is_srs(local):
            self.assertEqual(self.srs.reverse(parsed, NOW), sender)

    def test_quoted_local_part(self) -> None:
        """A local part that needs quotes keeps them."""
        sender = Address('"a b"', "origin.example")
        wrapped = self.srs.forward(sender, NOW)
        self.assertTrue(is_srs(wrapped.local))
        self.assertEqual(self.srs.reverse(parse_address(str(wrapped)), NOW), sender)

    def test_own_senders_stay(self) -> None:
        """Our own addresses need no rewriting, so nothing is ever wrapped twice by us."""
        own = Address("x", "fwd.example")
        self.assertEqual(self.srs.forward(own, NOW), own)
        wrapped = self.srs.forward(self.sender, NOW)
        self.assertEqual(self.srs.forward(wrapped, NOW), wrapped)

    def test_chain(self) -> None:
        """Through three forwarders the address grows once, and comes back to the first."""
        second, third = SRS([b"2"], "two.example"), SRS([b"3"], "three.example")
        first_hop = self.srs.forward(self.sender, NOW)
        second_hop = second.forward(first_hop, NOW)
        third_hop = third.forward(second_hop, NOW)
        self.assertTrue(third_hop.local.startswith("SRS1="))
        self.assertEqual(len(third_hop.local), len(second_hop.local))
        self.assertEqual(third.reverse(third_hop, NOW), first_hop)
        self.assertEqual(second.reverse(second_hop, NOW), first_hop)
        self.assertEqual(self.srs.reverse(first_hop, NOW), self.sender)

    def test_other_separators(self) -> None:
        """Others write SRS0+ and SRS0-, and get back what they wrote."""
        for local in ("SRS0+abc=de=x.example=joe", "SRS0-abc=de=x.example=joe"):
            foreign = Address(local, "other.example")
            wrapped = self.srs.forward(foreign, NOW)
            self.assertEqual(self.srs.reverse(wrapped, NOW), foreign)

    def test_back_to_us(self) -> None:
        """What we forwarded twice is read to the end: no report from us to us."""
        ours = self.srs.forward(self.sender, NOW)
        for local in (ours.local, ours.local.lower(), ours.local.upper()):
            there = SRS([b"2"], "two.example").forward(Address(local, "fwd.example"), NOW)
            back = self.srs.forward(there, NOW)
            self.assertEqual(self.srs.reverse(back, NOW).key, self.sender.key)

    def test_separators_of_ours(self) -> None:
        """Whoever writes + or - behind the kind means the same address."""
        ours = self.srs.forward(self.sender, NOW)
        for separator in "+-":
            changed = Address(f"SRS0{separator}{ours.local[5:]}", "fwd.example")
            self.assertEqual(self.srs.reverse(changed, NOW), self.sender)

    def test_broken_chain(self) -> None:
        """An SRS1 without a first host is wrapped like any address, and comes back as it was."""
        for local in ("SRS1=abc=nohost", "SRS1=abc", "srs1+x", "SRS1=a=b=c=d.example=joe"):
            foreign = Address(local, "other.example")
            wrapped = self.srs.forward(foreign, NOW)
            self.assertEqual(self.srs.reverse(wrapped, NOW), foreign)

    def test_is_for_us(self) -> None:
        """By domain and shape, genuine or not."""
        for local in ("SRS0=x", "srs1-", '"SRS0+a b"'):
            self.assertTrue(self.srs.is_for_us(Address(local, "fwd.example")), local)
            self.assertFalse(self.srs.is_for_us(Address(local, "else.example")), local)
        self.assertFalse(self.srs.is_for_us(Address("srs0", "fwd.example")))

    def test_rotation(self) -> None:
        """Old secrets verify, unknown ones do not."""
        old = SRS([b"old"], "fwd.example").forward(self.sender, NOW)
        self.assertEqual(self.srs.reverse(old, NOW), self.sender)
        other = SRS([b"other"], "fwd.example").forward(self.sender, NOW)
        self.assertRaises(Invalid, self.srs.reverse, other, NOW)

    def test_expired(self) -> None:
        """Good to the last day, not longer, and not from the future."""
        wrapped = self.srs.forward(self.sender, NOW)
        self.srs.reverse(wrapped, NOW + MAX_AGE_DAYS * DAY)
        self.assertRaises(Invalid, self.srs.reverse, wrapped, NOW + (MAX_AGE_DAYS + 1) * DAY)
        self.assertRaises(Invalid, self.srs.reverse, wrapped, NOW - 3 * DAY)

    def test_forged_and_truncated(self) -> None:
        """Any change or cut is refused (spec/security row 11)."""
        local = self.srs.forward(self.sender, NOW).local
        for start in range(5, len(local)):
            changed = "b" if local[start].lower() == "a" else "a"
            for bad in (local[:start], local[:start] + changed + local[start + 1 :]):
                address = Address(bad, "fwd.example")
                self.assertRaises(Invalid, self.srs.reverse, address, NOW)

    def test_not_ours(self) -> None:
        """Other domains, no SRS, and empty pieces."""
        wrapped = self.srs.forward(self.sender, NOW)
        for address in (
            Address(wrapped.local, "else.example"),
            Address("joe", "fwd.example"),
            Address("SRS0=", "fwd.example"),
            Address("SRS0====", "fwd.example"),
            Address("SRS1=a==b", "fwd.example"),
            Address('""', "fwd.example"),
        ):
            self.assertRaises(Invalid, self.srs.reverse, address, NOW)

    def test_too_long(self) -> None:
        """An address that no server would take is not made."""
        long = Address("x" * 64, ".".join(["y" * 60] * 3) + ".example")
        self.assertRaises(Invalid, self.srs.forward, long, NOW)

    def test_no_secret(self) -> None:
        """Without a secret there is no SRS."""
        self.assertRaises(Invalid, SRS, [], "fwd.example")
        self.assertRaises(Invalid, SRS, [b""], "fwd.example")

    @settings(max_examples=200, deadline=None)
    @given(st.text(max_size=60))
    def test_anything(self, rest: str) -> None:
        """Whatever comes after SRS0= and SRS1=: Invalid, nothing else."""
        for kind in ("SRS0=", "SRS1="):
            self.assertRaises(Invalid, self.srs.reverse, Address(kind + rest, "fwd.example"), NOW)
