"""Tests of fe_mail.imap.parser, scanner, fetch_item and search_key."""

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from fe_mail.imap import command, dispatch
from fe_mail.imap.command import Command
from fe_mail.imap.fetch_item import Attribute, Section, SectionText
from fe_mail.imap.framing import Request
from fe_mail.imap.parser import COMMANDS, UID_COMMANDS, parse, parse_tag
from fe_mail.imap.scanner import BadCharset, Malformed
from fe_mail.model.criteria import BothOf, EitherOf, InSequence, NoneOf, Plain
from fe_mail.model.mailbox import FlagAction
from fe_mail.model.search import Flagged, HeaderContains, ModSeqSince, Since
from fe_mail.model.sequence import STAR, SequenceSet
from tests.growth import assert_linear

__all__ = ["HostileTests", "ParserTests", "TableTests"]

WORDS = st.sampled_from(
    [name.decode() for name in COMMANDS]
    + ["INBOX", "1:*", "4294967296", "0", "99999999999999999999", "*", "1,2,3:4", "(", ")"]
    + ["((", "))", '"', "\\", "{", "{5}", "{5+}", "NIL", "~{1}", "BODY[", "BODY.PEEK[1.HEADER]"]
    + ["BODY[]<0.5>", "FLAGS", "(FLAGS", "UID)", "+FLAGS.SILENT", "\\Seen", "(\\Seen)", "OR"]
    + ["NOT", "ALL", "UID", "HEADER", '"x"', "MODSEQ", "CHARSET", "UTF-8", "1-Jan-2020"]
    + ["31-Feb-2020", "(CONDSTORE)", "&", "&AOY-", "%", "(UNCHANGEDSINCE", "5)", "(CHANGEDSINCE"]
    + ["9)", "(MESSAGES)", "(USE", "(\\Drafts))", '" 1-Jan-2020 00:00:00 +0000"', "\x00", "ÿ"]
)


def one(text: str, *more: bytes) -> Command:
    """The command of a line (and its literals)."""
    return parse(Request((b"t " + text.encode(), *more)))[1]


class ParserTests(SynchronousTestCase):
    """Commands as values."""

    def bad(self, text: str, *more: bytes) -> Malformed:
        """Something that does not parse."""
        return self.assertRaises(Malformed, one, text, *more)

    def test_login(self) -> None:
        """Atoms, quoted strings with escapes, literals."""
        expected = command.Login(b"al", b'p"\\')
        self.assertEqual(one('LOGIN al "p\\"\\\\"'), expected)
        self.assertEqual(one('login "al" {3}', b'p"\\', b""), expected)
        self.assertNotIn("secret", repr(command.Login(b"al", b"secret")))
        self.bad('LOGIN al "p\\x"')
        self.bad("LOGIN al {3}")
        self.bad("LOGIN al {1}", b"\0", b"")
        self.bad("LOGIN al {3} x", b"abc", b"")

    def test_tag(self) -> None:
        """A command that does not parse still has a tag to answer to."""
        self.assertEqual(parse_tag(Request((b"a1 FOO",))), b"a1")
        self.assertEqual(parse_tag(Request((b"+ FOO",))), b"*")

    def test_authenticate(self) -> None:
        """An initial response is base64, or = for an empty one."""
        self.assertEqual(one("AUTHENTICATE plain"), command.Authenticate("PLAIN"))
        self.assertEqual(one("AUTHENTICATE PLAIN ="), command.Authenticate("PLAIN", b""))
        self.assertEqual(one("AUTHENTICATE PLAIN eA=="), command.Authenticate("PLAIN", b"x"))
        self.bad("AUTHENTICATE PLAIN e A==")

    def test_sequence_sets(self) -> None:
        """Numbers, ranges in either order, stars."""
        found = one("FETCH 5:2,*,7:* UID")
        assert isinstance(found, command.Fetch)
        self.assertEqual(found.numbers, SequenceSet(((5, 2), (STAR, STAR), (7, STAR))))
        for text in ("0", "1:", ",1", "1,,2", "1:2:3", "4294967296", "-1", "1:0"):
            self.bad(f"FETCH {text} UID")

    def test_fetch(self) -> None:
        """Items in their order, once, with the label they are answered under."""
        found = one("UID FETCH 1 (FLAGS BODY.PEEK[1.2.HEADER.FIELDS.NOT (From X-A)]<3.9> FLAGS)")
        section = Section(
            label=b"BODY[1.2.HEADER.FIELDS.NOT (From X-A)]<3>",
            part=(1, 2),
            text=SectionText.FIELDS_NOT,
            fields=(b"from", b"x-a"),
            partial=(3, 9),
            peek=True,
        )
        assert isinstance(found, command.Fetch)
        self.assertEqual(found.items, (Attribute.UID, Attribute.FLAGS, section))
        self.assertTrue(found.uid)
        full = one("FETCH 1 FULL")
        assert isinstance(full, command.Fetch)
        self.assertEqual(len(full.items), 5)
        for text in ("BODY[1.]", "BODY[MIME]", "BODY[1HEADER]", "BODY[0]", "BODY[]<1>", "()"):
            self.bad(f"FETCH 1 {text}")
        self.bad("FETCH 1 BODY[" + "1." * 200 + "1]")
        self.bad("FETCH 1 BODY[HEADER.FIELDS (a:b)]")

    def test_changed_since(self) -> None:
        """CHANGEDSINCE implies MODSEQ."""
        found = one("FETCH 1:* (FLAGS) (CHANGEDSINCE 12345)")
        assert isinstance(found, command.Fetch)
        self.assertEqual(found.changed_since, 12345)
        self.assertIn(Attribute.MODSEQ, found.items)
        self.bad("FETCH 1 FLAGS (CHANGEDSINCE 9223372036854775808)")

    def test_store(self) -> None:
        """With and without parentheses, silent and conditional."""
        expected = command.Store(
            SequenceSet(((1, 1),)),
            FlagAction.ADD,
            frozenset({"\\Seen", "$X"}),
            silent=True,
            unchanged_since=7,
            uid=True,
        )
        self.assertEqual(one("UID STORE 1 (UNCHANGEDSINCE 7) +flags.silent (\\SEEN $X)"), expected)
        self.assertEqual(one("UID STORE 1 (UNCHANGEDSINCE 7) +FLAGS.SILENT \\seen $X"), expected)
        for nothing in ("()", "(\\Recent)", "\\Bogus", "( \\recent \\Bogus )"):
            found = one(f"STORE 1 +FLAGS {nothing}")
            assert isinstance(found, command.Store)
            self.assertEqual(found.flags, frozenset())
        self.bad("STORE 1 FLAGS (" + " ".join(f"k{n}" for n in range(500)) + ")")

    def test_search(self) -> None:
        """Keys combine as written."""
        found = one("SEARCH OR FROM x NOT SEEN (2:* SINCE 1-Feb-1994) MODSEQ 5")
        assert isinstance(found, command.Search)
        self.assertEqual(
            found.criterion,
            BothOf(
                (
                    EitherOf(Plain(HeaderContains("from", "x")), NoneOf(Plain(Flagged("\\Seen")))),
                    BothOf((InSequence(SequenceSet(((2, STAR),))), Plain(Since(727960)))),
                    Plain(ModSeqSince(5)),
                )
            ),
        )
        self.assertTrue(found.mentions_modseq)
        self.assertRaises(BadCharset, one, "SEARCH CHARSET KOI8-R ALL")
        self.bad("SEARCH SUBJECT {1}", b"\xff", b"")
        self.bad("SEARCH SINCE 30-Feb-2020")
        self.bad("SEARCH LARGER -1")

    def test_dates(self) -> None:
        """As clients spell them; each is the same day."""
        expected = one("SEARCH SINCE 1-Feb-2020")
        for text in (
            '"1-Feb-2020"',
            '" 1-Feb-2020"',
            "01-feb-2020",
            " 1-FEB-2020",
            '"01-Feb-2020"',
        ):
            self.assertEqual(one(f"SEARCH SINCE {text}"), expected, text)
        self.assertEqual(one("SEARCH SINCE {10}", b"1-Feb-2020", b""), expected)
        self.assertEqual(one("SEARCH SENTON 3-Mar-1912").__class__, command.Search)
        for text in ('"1-Feb-2020', '1-Feb-2020"', "1-Feb-20", "32-Jan-2020", "0-Jan-2020", '""'):
            self.bad(f"SEARCH SINCE {text}")

    def test_spaces(self) -> None:
        """More than one between words, some before the end and in lists."""
        for loose, strict in (
            ("NOOP  ", "NOOP"),
            ("FETCH  1  ( FLAGS  UID ) ", "FETCH 1 (FLAGS UID)"),
            ("FETCH 1 BODY[HEADER.FIELDS ( To  From )]", "FETCH 1 BODY[HEADER.FIELDS (To From)]"),
            ("STORE 1  +FLAGS ( \\Seen  x ) ", "STORE 1 +FLAGS (\\Seen x)"),
            ("STORE 1 +FLAGS \\Seen  x ", "STORE 1 +FLAGS (\\Seen x)"),
            ("STATUS x ( MESSAGES  UNSEEN )", "STATUS x (MESSAGES UNSEEN)"),
            ("SEARCH  ( UNSEEN  ALL )  DELETED ", "SEARCH (UNSEEN ALL) DELETED"),
            ('LIST  ""  % ', 'LIST "" %'),
            ("SELECT INBOX  ", "SELECT INBOX"),
            ("LOGIN  a  b ", "LOGIN a b"),
        ):
            self.assertEqual(one(loose), one(strict), loose)
        self.assertEqual(one("APPEND x {1}", b"a", b" "), one("APPEND x {1}", b"a", b""))
        for text in (
            "FETCH 1 (FLAGSUID)",
            "FETCH 1 ( )",
            "STATUS x ()",
            "SEARCH ( )",
            "FETCH 1 (UID",
        ):
            self.bad(text)

    def test_deep_nesting(self) -> None:
        """Neither parentheses nor NOT can exhaust the stack."""
        self.bad("SEARCH " + "(" * 60_000 + "ALL" + ")" * 60_000)
        self.bad("SEARCH " + "NOT " * 16_000 + "ALL")
        self.bad("SEARCH " + "ALL " * 10_000 + "ALL")

    def test_append(self) -> None:
        """Flags and date are optional."""
        found = one('APPEND inbox (\\Seen) " 1-Jan-2020 01:00:00 +0100" {2+}', b"hi", b"")
        self.assertEqual(
            found,
            command.Append(
                "INBOX", (command.NewLiteral(b"hi", frozenset({"\\Seen"}), 1577836800.0),)
            ),
        )
        for date in ("1-Jan-2020", "01-jan-2020", "  1-JAN-2020"):
            text = f'APPEND INBOX (\\Seen \\Bogus) "{date} 1:00:00  +0100"  {{2+}}'
            self.assertEqual(one(text, b"hi", b""), found)
        self.bad('APPEND INBOX "01-Jan-2020 25:00:00 +0000" {2+}', b"hi", b"")
        self.bad('APPEND INBOX "quoted"')

    def test_folder_names(self) -> None:
        """Modified UTF-7, and INBOX in any case, also as a parent."""
        self.assertEqual(one('SELECT "&ZeVnLIqe-"'), command.Select("日本語"))
        self.assertEqual(one("SELECT inBox/x"), command.Select("INBOX/x"))
        self.assertEqual(one("LIST (a %".replace("(a", "a")), command.List("a", "%"))
        self.assertEqual(one('LIST "a*/" %'), command.List("a*/", "%"))
        self.assertEqual(one("SELECT ~/mail"), command.Select("~/mail"))
        self.assertEqual(one("LIST ~ ~%"), command.List("~", "~%"))
        self.assertEqual(one("SELECT ~{2}", b"~x", b""), command.Select("~x"))
        self.bad('LIST "' + "*a" * 20 + '" %')  # they count together
        self.bad('LSUB "' + "*a" * 20 + '" %')
        self.bad("SELECT a&b")
        self.bad('SELECT "a\x7fb"')
        self.bad("SELECT {2}", b"\xc3\xa6", b"")

    def test_long_lists(self) -> None:
        """64 KiB of UIDs are no problem."""
        numbers = ",".join(str(n) for n in range(1, 24_000, 2))
        found = one(f"UID FETCH {numbers} FLAGS")
        assert isinstance(found, command.Fetch)
        self.assertEqual(len(found.numbers.ranges), 12_000)


class TableTests(SynchronousTestCase):
    """The tables fit together."""

    def test_every_command_is_served(self) -> None:
        """A value without a coroutine would be an internal error."""
        self.assertEqual(set(dispatch.COMMANDS), set(Command.__subclasses__()))

    def test_every_command_has_an_example_of_its_name(self) -> None:
        """The UID forms are commands of their own too."""
        self.assertLessEqual(set(UID_COMMANDS), set(COMMANDS))


class HostileTests(SynchronousTestCase):
    """Whatever comes, only ``Malformed`` is raised."""

    def test_repetition(self) -> None:
        """The same thing a hundred thousand times is too much, and is refused in linear time."""
        for number in range(len(self.repeated(1))):

            def refuse(many: int, number: int = number) -> None:
                self.assertRaises(Malformed, one, self.repeated(many)[number])

            assert_linear(self, refuse, 100_000, self.repeated(1)[number])

    def repeated(self, many: int) -> tuple[str, ...]:
        """Commands that repeat something that often."""
        return (
            "STORE 1 FLAGS (" + "\\Seen " * many + "\\Seen)",
            "FETCH 1 (" + "FLAGS " * many + "FLAGS)",
            "FETCH " + "1," * many + "1 FLAGS",
            "STATUS x (" + "MESSAGES " * many + "MESSAGES)",
            'LIST "" "' + "*%" * many + '"',
            'LIST "" ' + "a" * many,
            'LIST "' + "*" * many + '" x',
            "SEARCH " + "(" * many + "ALL" + ")" * many,
            "SEARCH " + "NOT " * many + "ALL",
            "SEARCH " + "OR ALL " * many + "ALL",
            "FETCH 1 BODY[" + "1." * many + "1]",
            "FETCH 1 BODY[HEADER.FIELDS (" + "To " * many + "To)]",
        )

    @settings(max_examples=300, deadline=None)
    @given(st.lists(WORDS, min_size=1, max_size=12), st.lists(st.binary(max_size=8), max_size=2))
    def test_words(self, words: list[str], literals: list[bytes]) -> None:
        """Words of the grammar in any order."""
        pieces = [b"t " + " ".join(words).encode("latin-1", "replace")]
        for literal in literals:
            pieces += [literal, b" x"]
        self.attempt(Request(tuple(pieces)))

    @settings(max_examples=200, deadline=None)
    @given(st.binary(max_size=100))
    def test_octets(self, octets: bytes) -> None:
        """Any octets."""
        self.attempt(Request((octets,)))
        self.attempt(Request((b"a SEARCH " + octets,)))
        self.attempt(Request((b"a FETCH 1 (" + octets,)))

    def attempt(self, request: Request) -> None:
        """Parse, or be told that it is malformed."""
        try:
            tag, found = parse(request)
        except Malformed as error:
            self.assertTrue(error.message)
            return
        self.assertIsInstance(found, Command)
        self.assertTrue(tag)
