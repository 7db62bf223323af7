"""The mailbox contract, on every store there is."""

from types import ModuleType

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from fe_mail.adapters.memory.bus import MemoryBus
from fe_mail.adapters.sqlite.mailbox import SQLiteMailboxStore, folders, records
from tests.contracts.mailbox_case import ALICE, KEY
from tests.contracts.mailbox_folders import MailboxFoldersContract
from tests.contracts.mailbox_messages import MailboxMessagesContract
from tests.contracts.mailbox_records import MailboxRecordsContract
from tests.contracts.mailbox_search import MailboxSearchContract
from tests.contracts.mailboxes import MailboxStoreContract
from tests.damage import lose_piece
from tests.fakes import mailbox_store


class SQLiteTests(
    MailboxStoreContract,
    MailboxFoldersContract,
    MailboxMessagesContract,
    SynchronousTestCase,
):
    """Encrypted files."""

    def make_store(self, bus: MemoryBus, clock: Clock) -> SQLiteMailboxStore:
        """In a new directory, all work done at once."""
        return mailbox_store(self, bus, clock)

    def damage(self, number: int, piece: int = 0) -> None:
        """In the file."""
        lose_piece(self.store._directory, ALICE, KEY, number, piece)

    def modules_with_limits(self) -> tuple[ModuleType, ...]:
        """Where the count of folders is limited."""
        return (folders,)


class SQLiteRecordsTests(MailboxRecordsContract, SynchronousTestCase):
    """Records in encrypted files."""

    make_store = SQLiteTests.make_store

    def modules_with_record_limits(self) -> tuple[ModuleType, ...]:
        """Where the limits are looked at."""
        return (records,)


class SQLiteSearchTests(MailboxSearchContract, SynchronousTestCase):
    """Searching in encrypted files."""

    make_store = SQLiteTests.make_store
