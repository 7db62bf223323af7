"""
Plays every ``tests/dialogues/imap_*.txt``; those named ``imap_clear_*`` begin without TLS;
in those named ``imap_damaged_*`` the octets of message 2 are lost.

``${m}`` is INBOX's highest mod-sequence, ``${m1}`` and ``${m2}`` the next two; ``${o}`` is what
all object ids of the mailbox have in common.
INBOX holds three messages: ``one`` (seen), ``two`` with repeated and folded header fields, and a
multipart with a message inside.
"""

from collections.abc import Callable

from tests.damage import lose_piece
from tests.dialogue import SCRIPTS
from tests.imap.base import KEY, IMAPTestCase, message

__all__ = ["DialogueTests"]

FOLDED = message(
    "two",
    body="Second body.\r\n",
    more="Received: from a\r\n\tby b\r\nX-Note: first\r\nReceived: from c\r\nx-note: second\r\n",
)
NESTED = (
    b"From: carol@example.com\r\nSubject: =?utf-8?q?three_=C3=A6?=\r\n"
    b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=xx\r\n\r\n"
    b"--xx\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nfirst part\r\n"
    b"--xx\r\nContent-Type: message/rfc822\r\n\r\nSubject: inner\r\nTo: d@example.com\r\n\r\n"
    b"inner body\r\n--xx--\r\n"
)


class DialogueTests(IMAPTestCase):
    """One test per script."""

    def setUp(self) -> None:
        """The three messages."""
        super().setUp()
        self.add(message("one"), flags=("\\Seen",))
        self.add(FOLDED, NESTED)


def _test(name: str, docstring: str) -> Callable[[DialogueTests], None]:
    def test(case: DialogueTests) -> None:
        (inbox,) = case.now(case.mailbox.status(("INBOX",)))
        names = {f"m{n or ''}": str(inbox.highest_modseq + n) for n in range(3)}
        if name.startswith("imap_damaged_"):
            lose_piece(case.directory, case.alice.id, KEY, 2)
        names["o"] = inbox.folder.object_id[1:9]
        case.play(name, names, secure=not name.startswith("imap_clear_"))

    test.__doc__ = docstring
    return test


for path in sorted(SCRIPTS.glob("imap_*.txt")):
    first = path.read_text("utf-8").partition("\n")[0].removeprefix("# ")
    setattr(DialogueTests, f"test_{path.stem}", _test(path.name, first))
