"""The mailbox contract, on every store there is."""

from types import ModuleType

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from fe_mail.adapters.memory import mailbox_state
from fe_mail.adapters.memory.bus import MemoryBus
from fe_mail.adapters.memory.mailboxes import MemoryMailboxStore
from fe_mail.adapters.sqlite.mailbox import SQLiteMailboxStore, folders
from fe_mail.adapters.threads import InlineThreads
from tests.contracts.mailbox_case import KEY
from tests.contracts.mailbox_folders import MailboxFoldersContract
from tests.contracts.mailbox_messages import MailboxMessagesContract
from tests.contracts.mailbox_search import MailboxSearchContract
from tests.contracts.mailboxes import MailboxStoreContract


class MemoryTests(
    MailboxStoreContract,
    MailboxFoldersContract,
    MailboxMessagesContract,
    SynchronousTestCase,
):
    """The specification."""

    def make_store(self, bus: MemoryBus, clock: Clock) -> MemoryMailboxStore:
        """In memory."""
        return MemoryMailboxStore(bus, clock)

    def modules_with_limits(self) -> tuple[ModuleType, ...]:
        """Where the count of folders is limited."""
        return (mailbox_state,)


class MemorySearchTests(MailboxSearchContract, SynchronousTestCase):
    """Searching in memory."""

    make_store = MemoryTests.make_store


class SQLiteTests(
    MailboxStoreContract,
    MailboxFoldersContract,
    MailboxMessagesContract,
    SynchronousTestCase,
):
    """Encrypted files."""

    def make_store(self, bus: MemoryBus, clock: Clock) -> SQLiteMailboxStore:
        """In a new directory, all work done at once."""
        store = SQLiteMailboxStore(self.mktemp(), bus, InlineThreads(), clock, key=KEY)
        self.successResultOf(Deferred.fromCoroutine(store.start()))
        self.addCleanup(lambda: self.successResultOf(Deferred.fromCoroutine(store.stop())))
        return store

    def modules_with_limits(self) -> tuple[ModuleType, ...]:
        """Where the count of folders is limited."""
        return (folders,)


class SQLiteSearchTests(MailboxSearchContract, SynchronousTestCase):
    """Searching in encrypted files."""

    make_store = SQLiteTests.make_store
