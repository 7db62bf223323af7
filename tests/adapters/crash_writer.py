"""
A process that delivers mail until it is killed: ``python -m tests.adapters.crash_writer``.

Arguments: directory, sealing key in hex, prefix of the delivery ids. It prints each id when the
delivery is durable. Every fifth message the mailbox is locked or unlocked, so that a kill hits
sealing, taking in and appending alike.
"""

import itertools
import sys
from collections.abc import Coroutine
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from fe_mail.adapters.memory.bus import MemoryBus
from fe_mail.adapters.sqlite.mailbox import SQLiteMailboxStore
from fe_mail.adapters.threads import InlineThreads
from tests.contracts.mailbox_case import ALICE, KEY, delivery, letter


def now(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """The result of a coroutine that never waits."""
    results: list[Any] = []
    Deferred.fromCoroutine(coroutine).addBoth(results.append)
    return results[0]


def main(directory: str, sealing_key: str, prefix: str) -> None:
    """Deliver for ever."""
    clock = Clock()
    store = SQLiteMailboxStore(directory, MemoryBus(clock), InlineThreads(), clock, key=KEY)
    now(store.start())
    mailbox = None
    for number in itertools.count():
        if number % 5 == 4:
            if mailbox is None:
                mailbox = now(store.unlock(ALICE, KEY))
            else:
                mailbox.close()
                clock.advance(60)
                mailbox = None
        name = f"{prefix}-{number}"
        raw = letter(name, f"{name}\r\n" * 200)
        now(store.deliver(ALICE, bytes.fromhex(sealing_key), delivery(name, raw)))
        print(name, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
