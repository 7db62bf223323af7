"""Names that would leave a directory, or end a string too early, open nothing and make nothing."""

from pathlib import Path

from fe_mail.model.errors import NotFound
from fe_mail.model.ids import AliasId
from tests.adapters.test_mailbox_files import FilesCase
from tests.contracts.mailbox_case import KEY, delivery

NAMES = (
    "../evil", "..", ".", "", "/etc/passwd", "a/b", "a\\b", "a\0b", "a\n", "\u202ea", "sealed",
    "a'b", 'a"b', "a;b", "a*", "a.sqlite", "x" * 65, "~", "%2e%2e", "a b", "file:a?mode=memory",
)  # fmt: skip


class MailboxNameTests(FilesCase):
    """The file of a mailbox is named after its alias's id, which nobody chooses."""

    def files(self) -> set[Path]:
        """Everything in and around the directory."""
        return set(self.directory.resolve().parent.rglob("*"))

    def test_no_such_mailbox(self) -> None:
        """Nothing is created, opened, read or removed."""
        before = self.files()
        for name in NAMES:
            alias = AliasId(name)
            for attempt in (
                self.store.create(alias, KEY),
                self.store.unlock(alias, KEY),
                self.store.deliver(alias, self.sealing_key, delivery("d1")),
                self.store.settle(alias, 1),
            ):
                self.fails(NotFound, attempt)
        self.assertEqual(self.files(), before)
        self.unlock()
