"""Tests of fe_mail.accounts.passwords: what is generated, refused and understood."""

from concurrent.futures import ThreadPoolExecutor

from twisted.trial.unittest import SynchronousTestCase

from fe_mail.accounts import passwords
from fe_mail.accounts.guessing import judge
from fe_mail.model.errors import Invalid
from fe_mail.model.sentence import Paragraph
from tests.accounts.fakes import AccountsTestCase


class PrepareTests(SynchronousTestCase):
    """SASLprep, with the examples of RFC 4013 §3."""

    def test_examples(self) -> None:
        """What RFC 4013 maps, and what it forbids."""
        for given, prepared in (
            ("I\u00adX", "IX"), ("user", "user"), ("USER", "USER"), ("\u00aa", "a"),
            ("\u2168", "IX"), ("\u0627\u0628", "\u0627\u0628"), ("a\u00a0b", "a b"),
        ):  # fmt: skip
            self.assertEqual(passwords.prepare(given), prepared)
        for given in ("\u0007", "\u0627\u0031", "\ue000", "\ufffd", "\u200e", "a\u0627"):
            self.assertRaises(Invalid, passwords.prepare, given)

    def test_trimmed_and_bounded(self) -> None:
        """Blanks around go; empty and too long are refused."""
        self.assertEqual(passwords.prepare("  pass word "), "pass word")
        self.assertEqual(passwords.prepare("x" * 128), "x" * 128)
        for given in ("", "   ", "x" * 129, "x" * 10**6):
            self.assertRaises(Invalid, passwords.prepare, given)


class StrengthTests(SynchronousTestCase):
    """Passwords that people choose."""

    def test_weak(self) -> None:
        """The refusal carries advice, and no word of the password."""
        for weak in ("Password1", "P@ssw0rd", "abcdefgh1", "qwertyuiop", "example2026", "a" * 128):
            with self.assertRaises(Invalid) as caught:
                passwords.check_strength(weak, ("example.org", "example"))
            self.assertEqual(caught.exception.code, "INVALID_PASSWORD_STRENGTH")
            self.assertIn("too easy to guess", caught.exception.message)
            self.assertNotIn(weak, caught.exception.message)

    def test_advice_can_be_translated(self) -> None:
        """The advice is a paragraph of known sentences."""
        with self.assertRaises(Invalid) as caught:
            passwords.check_strength("qwertyuiop")
        sentence = caught.exception.sentence
        self.assertIsInstance(sentence, Paragraph)
        self.assertEqual("X X X", " ".join(sentence.translated(lambda _: "X").split()[:3]))

    def test_threads(self) -> None:
        """Two judgements at the same time do not see each other's context."""
        word, other = "christopher-nielsen", "bartholomew-jensen"

        def judge_both(_: int) -> tuple[bool, bool]:
            return judge(word, (word,)) is None, judge(word, (other,)) is None

        with ThreadPoolExecutor(4) as pool:
            self.assertEqual({(False, True)}, set(pool.map(judge_both, range(20))))

    def test_context(self) -> None:
        """One's own address is a bad password."""
        self.assertRaises(
            Invalid, passwords.check_strength, "christopher-nielsen", ("christopher-nielsen",)
        )

    def test_strong(self) -> None:
        """A good one passes, and comes back as it is stored."""
        self.assertEqual(passwords.check_strength(" mulled otter 84 quay "), "mulled otter 84 quay")
        passwords.check_strength("mulled otter 84 quay " * 5)

    def test_quotes(self) -> None:
        """Alias passwords have no quotation marks."""
        for quote in "'\"":
            text = f"mulled otter{quote} 84 quay"
            passwords.check_strength(text)
            self.assertRaises(Invalid, passwords.check_strength, text, quotes=False)


class GeneratedTests(SynchronousTestCase):
    """What the server makes up."""

    def test_password(self) -> None:
        """24 characters, none of them easily taken for another, always other ones."""
        made = {passwords.generate_password() for _ in range(100)}
        self.assertEqual(len(made), 100)
        for password in made:
            self.assertEqual(len(password), 24)
            self.assertFalse(set(password) & set("0O1lI'\""))

    def test_recovery_code(self) -> None:
        """At least 128 bits, in groups, readable however it was typed."""
        self.assertTrue(passwords.RECOVERY_BITS >= 128)
        code = passwords.generate_recovery_code()
        self.assertRegex(code, r"\A[0-9A-Z]{4}(-[0-9A-Z]{4}){6}\Z")
        typed = code.lower().replace("-", " ").replace("0", "o").replace("1", "l")
        self.assertEqual(passwords.normalize_recovery_code(typed), code)

    def test_no_recovery_code(self) -> None:
        """Anything else is none."""
        for text in ("", "abc", "U" * 28, "x" * 27, "-" * 28, passwords.generate_password()):
            self.assertEqual(passwords.normalize_recovery_code(text), "")


class SlotTests(AccountsTestCase):
    """Verifiers and key slots."""

    def test_round_trip(self) -> None:
        """The password finds its slot, and the slot gives the key; another finds none."""
        alias = self.add_alias(self.add_domain("example.org"), "a")
        made = self.add_credential(alias, "one", b"m" * 32)
        slot = self.now(passwords.find_slot(self.keyring, [made], "one"))
        assert slot is not None
        key = self.keyring.unwrap(made.wrapped_key, slot.client_key, alias.id)
        self.assertEqual(key, b"m" * 32)
        self.assertIsNone(self.now(passwords.find_slot(self.keyring, [made], "two")))

    def test_bounded(self) -> None:
        """However many passwords there are, one guess costs a few derivations."""
        alias = self.add_alias(self.add_domain("example.org"), "a")
        many = [self.add_credential(alias, f"p{n}") for n in range(9)]
        self.keyring.derivations.clear()
        self.now(passwords.find_slot(self.keyring, many, "wrong"))
        self.assertEqual(len(self.keyring.derivations), passwords.MAX_DERIVATIONS)
