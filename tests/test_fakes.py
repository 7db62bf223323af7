"""The fakes are verified: every port has one, and its contract suite runs on it."""

import unittest
from collections.abc import Callable
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from fe_mail import ports
from fe_mail.adapters.memory.bus import MemoryBus
from tests.adapters import (
    test_accounts,
    test_blobs,
    test_bus,
    test_cache,
    test_counters,
    test_dns,
    test_http_client,
    test_journal,
    test_mailboxes,
    test_queue,
    test_smtp_client,
    test_threads,
    test_vantage,
)
from tests.contracts.aliases import AliasesContract
from tests.contracts.blobs import BlobsContract
from tests.contracts.bus import BusContract
from tests.contracts.cache import CacheContract
from tests.contracts.counters import CountersContract
from tests.contracts.domains import DomainsContract
from tests.contracts.exchange import ExchangeContract
from tests.contracts.http import HTTPPostContract
from tests.contracts.journal import JournalContract
from tests.contracts.keyring import KeyringContract
from tests.contracts.leases import LeasesContract
from tests.contracts.mailboxes import MailboxStoreContract
from tests.contracts.offload import OffloadContract
from tests.contracts.queue import QueueContract
from tests.contracts.resolver import ResolverContract
from tests.contracts.sessions import SessionsContract
from tests.contracts.settings import SettingsContract
from tests.contracts.users import UsersContract
from tests.contracts.vantage import VantageContract
from tests.fakes import FAKES, QUICK_ITERATIONS, MemoryJournal, QuickKeyring

# What a store hands out is verified with the store.
PARTS = {"Acceptance", "BlobReader", "BlobWriter", "BodyWriter", "OpenMailbox", "Records"}
PARTS |= {"Settlement"}


class QuickKeyringTests(KeyringContract, SynchronousTestCase):
    """The contract, on the quick form, which is the real one up to ``QUICK_ITERATIONS``."""

    counts = (1, QUICK_ITERATIONS - 1, QUICK_ITERATIONS)

    def keyring(self, secret: bytes = b"s" * 32) -> QuickKeyring:
        """One with this secret."""
        return QuickKeyring(secret)


def _exchange() -> object:
    case = test_smtp_client.MemoryExchangeTests()
    case.setUp()
    return case.exchange()


def _offload() -> object:
    return test_threads.InlineThreadsTests().offload().__self__  # type: ignore[attr-defined]


def _accounts(contract: type) -> tuple[type, type, Callable[[], object]]:
    case = test_accounts.MemoryAccountsTests
    return contract, case, lambda: case().store()


# For each port: its contract, the test case that runs it on the fake, and what that case tests.
VERIFIED: dict[str, tuple[type, type, Callable[[], object]]] = {
    "AliasStore": _accounts(AliasesContract),
    "Blobs": (
        BlobsContract,
        test_blobs.MemoryBlobsTests,
        lambda: test_blobs.MemoryBlobsTests().store(),
    ),
    "Bus": (
        BusContract,
        test_bus.MemoryBusTests,
        lambda: test_bus.MemoryBusTests().store(Clock()),
    ),
    "Cache": (
        CacheContract,
        test_cache.MemoryCacheTests,
        lambda: test_cache.MemoryCacheTests().store(Clock()),
    ),
    "Counters": (
        CountersContract,
        test_counters.MemoryCountersTests,
        lambda: test_counters.MemoryCountersTests().store(Clock()),
    ),
    "DomainStore": _accounts(DomainsContract),
    "Exchange": (ExchangeContract, test_smtp_client.MemoryExchangeTests, _exchange),
    "HTTPPost": (
        HTTPPostContract,
        test_http_client.MemoryHTTPTests,
        lambda: test_http_client.MemoryHTTPTests().client(),
    ),
    "Journal": (JournalContract, test_journal.MemoryJournalTests, MemoryJournal),
    "Keyring": (KeyringContract, QuickKeyringTests, lambda: QuickKeyringTests().keyring()),
    "Leases": (
        LeasesContract,
        test_counters.MemoryLeasesTests,
        lambda: test_counters.MemoryLeasesTests().store(Clock()),
    ),
    "MailboxStore": (
        MailboxStoreContract,
        test_mailboxes.SQLiteTests,
        lambda: test_mailboxes.SQLiteTests().make_store(MemoryBus(Clock()), Clock()),
    ),
    "Offload": (OffloadContract, test_threads.InlineThreadsTests, _offload),
    "Queue": (
        QueueContract,
        test_queue.SQLiteInMemoryQueueTests,
        lambda: test_queue.SQLiteInMemoryQueueTests().store(),
    ),
    "Resolver": (
        ResolverContract,
        test_dns.TableResolverTests,
        lambda: test_dns.TableResolverTests().resolver(),
    ),
    "SessionStore": _accounts(SessionsContract),
    "SettingStore": _accounts(SettingsContract),
    "UserStore": _accounts(UsersContract),
    "Vantage": (
        VantageContract,
        test_vantage.TableVantageTests,
        lambda: test_vantage.TableVantageTests().vantage(),
    ),
}


class FakesTests(SynchronousTestCase):
    """``tests/fakes.py``."""

    def test_every_port_has_one(self) -> None:
        """A new port comes with its fake."""
        self.assertEqual(set(FAKES), set(ports.__all__) - PARTS)

    def test_every_one_is_verified(self) -> None:
        """The contract's case tests the fake itself, not something like it."""
        self.assertEqual(set(VERIFIED), set(FAKES))
        for port, (contract, case, make) in VERIFIED.items():
            self.assertTrue(issubclass(case, contract), port)
            self.assertTrue(unittest.TestLoader().getTestCaseNames(case), port)
            self.assertIs(type(make()), FAKES[port], port)

    def test_costs_are_noted(self) -> None:
        """The quick keyring tells what was asked, and asks less of the machine."""
        keyring: Any = QuickKeyring()
        keyring.derivations.clear()
        work = keyring.salted_password("p", b"salt", 600_000)
        with self.assertRaises(StopIteration) as ended:
            work.send(None)
        self.assertEqual(len(ended.exception.value), 32)
        self.assertEqual(keyring.derivations, [600_000])
