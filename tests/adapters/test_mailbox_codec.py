"""What goes into the files comes out as it was: codec, contents, seals."""

import datetime
import json
import zlib
from collections.abc import Coroutine
from typing import Any, TypeVar

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from fe_mail.adapters.mailbox_rules import fold, searchable, searchable_lines
from fe_mail.adapters.memory.bus import MemoryBus
from fe_mail.adapters.sqlite.mailbox import SQLiteMailboxStore, sealing
from fe_mail.adapters.sqlite.mailbox.codec import decode_outline, encode_outline
from fe_mail.adapters.sqlite.mailbox.sealing import new_key_pair, open_sealed, seal
from fe_mail.adapters.threads import InlineThreads
from fe_mail.message.digest import digest
from fe_mail.model import search
from fe_mail.model.errors import Corrupt, MailError
from fe_mail.model.mailbox import Delivery, FlagAction, NewMessage, Want
from fe_mail.model.structure import Mailbox, MessageEnvelope, Outline, Part
from fe_mail.ports import OpenMailbox
from tests.adapters.plain_search import matches
from tests.contracts.mailbox_case import ALICE, KEY, NOW, letter
from tests.contracts.mailbox_messages import ODD_MESSAGES, with_attachment

T = TypeVar("T")

octets = st.binary(max_size=12)
maybe = st.none() | octets
mailboxes = st.lists(st.builds(Mailbox, maybe, maybe, maybe, maybe), max_size=2).map(tuple)
envelopes = st.builds(
    MessageEnvelope,
    date=maybe,
    subject=maybe,
    from_=mailboxes,
    sender=mailboxes,
    reply_to=mailboxes,
    to=mailboxes,
    cc=mailboxes,
    bcc=mailboxes,
    in_reply_to=maybe,
    message_id=maybe,
)
params = st.lists(st.tuples(octets, octets), max_size=2).map(tuple)


def parts(children: st.SearchStrategy[Any]) -> st.SearchStrategy[Part]:
    """Parts with these children."""
    return st.builds(
        Part,
        type=octets,
        subtype=octets,
        params=params,
        content_id=maybe,
        description=maybe,
        encoding=octets,
        md5=maybe,
        disposition=st.none() | st.tuples(octets, params),
        language=st.lists(octets, max_size=2).map(tuple),
        location=maybe,
        header_start=st.integers(0, 10**9),
        body_start=st.integers(0, 10**9),
        body_end=st.integers(0, 10**9),
        lines=st.integers(0, 10**6),
        parts=children,
        envelope=st.none() | envelopes,
    )


trees = parts(st.lists(parts(st.just(())), max_size=2).map(tuple))


class CodecTests(SynchronousTestCase):
    """The outline of a message as text."""

    @settings(max_examples=60, deadline=None)
    @given(trees)
    def test_outline(self, part: Part) -> None:
        """Every place of a tree survives."""
        self.assert_same_places(decode_outline(encode_outline(part)), part)

    def test_real_messages(self) -> None:
        """What the digest makes of strange messages survives too."""
        for raw in (*ODD_MESSAGES, letter(), with_attachment("a", 9000)):
            part = digest(raw).structure
            self.assert_same_places(decode_outline(encode_outline(part)), part)

    def assert_same_places(self, outline: Outline, part: Part) -> None:
        """The one says of all parts what the other does."""
        for name in ("header_start", "body_start", "body_end", "is_multipart", "is_message"):
            self.assertEqual(getattr(outline, name), getattr(part, name))
        for inner, child in zip(outline.parts, part.parts, strict=True):
            self.assert_same_places(inner, child)


class SearchableTests(SynchronousTestCase):
    """Text as searching compares it."""

    def test_examples(self) -> None:
        """Case, form, what is invisible and the kind of white space do not matter."""
        for text, expected in (
            ("HELLO", "hello"),
            ("Stra\u00dfe", "strasse"),
            ("u\u0308", "\u00fc"),
            ("\u03a3\u03c2", "\u03c3\u03c3"),
            ("a\u00a0b\u2003c\u3000\td\r\ne", "a b c d e"),
            (" a  b ", " a b "),
            ("co\u00adop\u200b\ufeff", "coop"),
            ("\ufb01\uff21\u00b2", "fia2"),
            ("a\0b", "a\ufffdb"),
            ("\ud800", "?"),
            ("", ""),
            (" \n ", " "),
        ):
            self.assertEqual(searchable(text), expected, text)
        self.assertEqual(searchable_lines("A:\u00a0B\nC: d\n"), "a: b\nc: d\n")

    @given(st.text(max_size=20) | st.text(" \n\u00a0a\u00ad\u0301", max_size=20))
    def test_stable(self, text: str) -> None:
        """Again it changes nothing, can be stored, and has no white space but single spaces."""
        found = searchable(text)
        self.assertEqual(searchable(found), found)
        found.encode()
        self.assertEqual(" ".join(found.split()), found.strip(" "))
        self.assertNotIn("  ", found)

    @given(st.text("a B\0\t\r\n\f\x1c\u00e6", max_size=20))
    def test_lines(self, text: str) -> None:
        """Every line is what it is alone."""
        lines = [searchable(line) for line in text.split("\n")]
        self.assertEqual(searchable_lines(text).split("\n"), lines)

    def test_long(self) -> None:
        """Text that is taken in pieces is the same, wherever they end."""
        for word in ("na\u00efve \n", "x", "x" * 70_000 + " \u00e5", " "):
            text = word * (200_000 // len(word))
            expected = searchable(word) * (200_000 // len(word))
            self.assertEqual(searchable(text), " " if word == " " else expected, word[:9])


class FoldTests(SynchronousTestCase):
    """Text as lists are sorted by it."""

    def test_examples(self) -> None:
        """Case and composition do not matter; NUL and lone surrogates do no harm."""
        for one, other in (
            ("HELLO", "hello"),
            ("Stra\u00dfe", "STRASSE"),
            ("u\u0308", "\u00dc"),
            ("\u03a3\u03c2", "\u03c3\u03c3"),
            ("a\0b", "a\ufffdb"),
            ("\ud800", "?"),
        ):
            self.assertEqual(fold(one), fold(other))

    @given(st.text(max_size=20))
    def test_stable(self, text: str) -> None:
        """Folding again changes nothing, and the result can be stored."""
        self.assertEqual(fold(fold(text)), fold(text))
        fold(text).encode()


class SealingTests(SynchronousTestCase):
    """HPKE to a mailbox."""

    def setUp(self) -> None:
        """A key pair and a delivery."""
        self.public, self.private = new_key_pair()
        message = NewMessage(raw=b"\0\xff\r\n" * 99, flags=frozenset({"\\Seen"}), received_at=1.5)
        self.delivery = Delivery(id="d1", message=message, folder="B\u00fccher")

    def test_opens(self) -> None:
        """Everything comes back, and no two seals are alike."""
        sealed = seal(self.public, ALICE, self.delivery)
        self.assertEqual(open_sealed(self.private, ALICE, "any row", sealed), self.delivery)
        self.assertNotEqual(seal(self.public, ALICE, self.delivery), sealed)

    def of_version_1(self) -> bytes:
        """The delivery as it was sealed before its id was inside."""
        about = json.dumps([self.delivery.folder, ["\\Seen"], 1.5]).encode()
        plain = zlib.compress(about + b"\n" + self.delivery.message.raw)
        info = f"fe-mail sealed mail\0{ALICE}\0d1".encode()
        key = sealing._public_key(self.public)
        return b"\x01" + sealing._SUITE.encrypt(plain, key, info=info)

    def test_version_1(self) -> None:
        """What was sealed by the version before is still opened, under its own name."""
        opened = open_sealed(self.private, ALICE, "d1", self.of_version_1())
        self.assertEqual(opened, self.delivery)

    def test_refuses(self) -> None:
        """Another key or alias, and any change: ``Corrupt``."""
        sealed = seal(self.public, ALICE, self.delivery)
        _, stranger = new_key_pair()
        changed = [
            sealed[:place] + bytes([sealed[place] ^ 1]) + sealed[place + 1 :]
            for place in (0, 1, 500, 1150, len(sealed) - 1)
        ]
        for private, alias_id, delivery_id, value in (
            (stranger, ALICE, "d1", sealed),
            (self.private, "other", "d1", sealed),
            (self.private, ALICE, "d2", self.of_version_1()),
            (self.private, "other", "d1", self.of_version_1()),
            (self.private, ALICE, "d1", sealed[:-1]),
            (self.private, ALICE, "d1", b""),
            *((self.private, ALICE, "d1", value) for value in changed),
        ):
            with self.assertRaises(Corrupt):
                open_sealed(private, alias_id, delivery_id, value)
        with self.assertRaises(Corrupt):
            seal(b"no key", ALICE, self.delivery)


words = st.sampled_from(["ab", "abc", "ABCD", "\u00dcber", "stra\u00dfe", "x", "bcd e", ""])
bodies = st.lists(words, max_size=6).map(" ".join)
flags = st.frozensets(st.sampled_from(["\\Seen", "\\Deleted", "$Work", "$work", "New"]))
names = st.sampled_from(["INBOX", "Junk", "a", "a/b", "a/b/c", "inbox/x", "Trash", "a//", "b"])
uids = st.lists(st.integers(1, 8), max_size=5)
days = st.integers(-1, 3).map(lambda n: datetime.date(1970, 1, 1).toordinal() + n)

leaves = (
    st.just(search.All())
    | st.builds(search.Flagged, st.sampled_from(["\\seen", "$WORK", "new"]))
    | st.builds(search.BodyContains, words)
    | st.builds(search.TextContains, words)
    | st.builds(search.HeaderContains, st.sampled_from(["subject", "From", "x"]), words)
    | st.builds(search.Before, days)
    | st.builds(search.On, days)
    | st.builds(search.Since, days)
    | st.builds(search.Larger, st.integers(100, 160))
    | st.builds(search.Smaller, st.integers(100, 160))
    | st.builds(search.InUIDs, st.sampled_from([((1, 2),), ((2, 2), (4, 9)), ()]))
    | st.builds(search.ModSeqSince, st.sampled_from([0, 1000]))
)
keys = st.recursive(
    leaves,
    lambda inner: (
        st.builds(search.Not, inner)
        | st.builds(search.Or, inner, inner)
        | st.builds(search.And, st.lists(inner, max_size=3).map(tuple))
    ),
    max_leaves=5,
)
messages = st.builds(
    lambda subject, body, flags, day: NewMessage(
        raw=letter(subject, body), flags=flags, received_at=day * 43_200.0
    ),
    words,
    bodies,
    flags,
    st.integers(0, 4),
)
steps = (
    st.tuples(st.just("append"), names, st.lists(messages, max_size=3))
    | st.tuples(st.just("create_folder"), names)
    | st.tuples(st.just("delete_folder"), names)
    | st.tuples(st.just("rename_folder"), names, names)
    | st.tuples(st.just("select"), names, st.booleans())
    | st.tuples(st.just("copy"), st.just(1), uids, names)
    | st.tuples(st.just("move"), st.just(1), uids, names)
    | st.tuples(st.just("expunge"), st.just(1), st.none() | uids)
    | st.tuples(st.just("remove"), st.just(1), uids)
    | st.tuples(st.just("search"), st.just(1), keys)
    | st.tuples(
        st.just("store_flags"),
        st.just(1),
        uids,
        st.sampled_from(FlagAction),
        flags,
        st.sampled_from([None, 0, 1000]),
    )
)


class SessionsTests(SynchronousTestCase):
    """Random sessions leave a sound mailbox, and searches find what plain reading finds."""

    @settings(max_examples=30, deadline=None)
    @given(
        st.lists(messages, min_size=1, max_size=5),
        st.lists(steps, max_size=12),
        st.lists(keys, min_size=1, max_size=5),
    )
    def test_sessions(
        self, first: list[NewMessage], script: list[tuple[Any, ...]], asked: list[search.Key]
    ) -> None:
        """Every step ends well or with one of our errors; nothing is broken after it."""
        clock = Clock()
        clock.advance(NOW)
        bus = MemoryBus(clock)
        store = SQLiteMailboxStore(self.mktemp(), bus, InlineThreads(), clock, key=KEY)
        self.now(store.start())
        self.now(store.create(ALICE, KEY))
        mailbox = self.now(store.unlock(ALICE, KEY))
        self.now(mailbox.append("INBOX", first))
        for name, *arguments in script:
            self.now(self.outcome(getattr(mailbox, name)(*arguments)))
            self.assertEqual(self.now(mailbox.check()), ())
        for is_indexed in (False, True):
            for key in asked:
                self.compare(mailbox, key, f"{key} {is_indexed}")
            clock.advance(5)
        self.assertEqual(self.now(mailbox.check()), ())
        self.now(store.stop())

    def compare(self, mailbox: OpenMailbox, key: search.Key, message: str) -> None:
        """The store's answer is what reading every message gives."""
        fetched = self.now(mailbox.fetch(1, range(1, 60), Want.BODY))
        expected = tuple((each.uid, each.modseq) for each in fetched if matches(key, each))
        self.assertEqual(self.now(mailbox.search(1, key)), expected, message)

    def now(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """The result of a coroutine that never waits."""
        return self.successResultOf(Deferred.fromCoroutine(coroutine))

    async def outcome(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """The result, or our error."""
        try:
            return await coroutine
        except MailError as error:
            return error
