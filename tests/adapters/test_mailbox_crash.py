"""SIGKILL at any moment: what was acknowledged is there exactly once, and the file is sound."""

import random
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from fe_mail.adapters.memory.bus import MemoryBus
from fe_mail.adapters.sqlite.mailbox import SQLiteMailboxStore
from fe_mail.adapters.threads import InlineThreads
from fe_mail.model.mailbox import Want
from tests.contracts.mailbox_case import ALICE, KEY, delivery, letter

T = TypeVar("T")

KILLS = 8
PROJECT = Path(__file__).parents[2]


class CrashTests(SynchronousTestCase):
    """Kill the writer, look, deliver again what was not acknowledged, look again."""

    def setUp(self) -> None:
        """An empty mailbox."""
        self.directory = Path(self.mktemp()).absolute()
        store = self.started()
        self.sealing_key = self.now(store.create(ALICE, KEY))
        self.now(store.stop())

    def now(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """The result of a coroutine that never waits."""
        return self.successResultOf(Deferred.fromCoroutine(coroutine))

    def started(self) -> SQLiteMailboxStore:
        """A store on the directory."""
        clock = Clock()
        store = SQLiteMailboxStore(
            self.directory, MemoryBus(clock), InlineThreads(), clock, key=KEY
        )
        self.now(store.start())
        return store

    def write_and_kill(self, prefix: str, acknowledgements: int) -> list[str]:
        """Start a writer and kill it after so many; returns the ids that it acknowledged."""
        command = [sys.executable, "-m", "tests.adapters.crash_writer", str(self.directory)]
        command += [self.sealing_key.hex(), prefix]
        with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=PROJECT) as writer:
            assert writer.stdout is not None
            lines = [writer.stdout.readline() for _ in range(acknowledgements)]
            writer.kill()
            lines += writer.stdout.readlines()
        return [line.decode().strip() for line in lines if line.endswith(b"\n")]

    def stored(self, store: SQLiteMailboxStore) -> Counter[str]:
        """How often each delivery is in INBOX."""
        mailbox = self.now(store.unlock(ALICE, KEY))
        self.assertEqual(self.now(mailbox.check()), ())
        view = self.now(mailbox.select("INBOX"))
        fetched = self.now(mailbox.fetch(view.folder.id, view.uids, Want.ENVELOPE | Want.BODY))
        subject = re.compile(rb'\(NIL "([^"]*)"')
        for message in fetched:
            self.assertEqual(len(message.raw or b""), message.size_octets)
        mailbox.close()
        found = (subject.match(message.envelope or b"") for message in fetched)
        return Counter(match[1].decode() for match in found if match)

    def test_kill(self) -> None:
        """Every acknowledged delivery is there once, also when the queue tries it again."""
        chance, acknowledged = random.Random(5), list[str]()
        for kill in range(KILLS):
            names = self.write_and_kill(f"k{kill}", chance.randrange(1, 30))
            self.assertTrue(names)
            acknowledged += names
            store = self.started()
            stored = self.stored(store)
            self.assertEqual([name for name in acknowledged if stored[name] != 1], [])
            self.assertEqual([name for name, count in stored.items() if count != 1], [])
            prefix, number = names[-1].split("-")
            for again in (names[-1], f"{prefix}-{int(number) + 1}"):
                acknowledged.append(again)
                self.now(store.deliver(ALICE, self.sealing_key, delivery(again, letter(again))))
            stored = self.stored(store)
            self.assertEqual(set(stored.values()), {1})
            self.assertLessEqual(set(acknowledged), set(stored))
            self.assertEqual(self.now(store.check()), ())
            self.now(store.stop())
