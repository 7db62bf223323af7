"""
How fast the encrypted mailbox store is: ``python -m bench.bench_store [messages]``.

Real threads, a real directory, fsync as in production. Messages have about 3.5 KB of words.
"""

import functools
import random
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import react

from fe_mail.adapters.memory.bus import MemoryBus
from fe_mail.adapters.sqlite.mailbox import SQLiteMailboxStore
from fe_mail.adapters.threads import ReactorThreads
from fe_mail.model import search
from fe_mail.model.ids import AliasId
from fe_mail.model.mailbox import Delivery, FlagAction, FolderView, NewMessage, Want
from fe_mail.ports import OpenMailbox

ALIAS = AliasId("65aaaaaaaaaaaaaaaaaaaaaa")
KEY = bytes(range(32))
SINGLE = 300
IN_FLIGHT = 50


def vocabulary(size: int = 6000) -> list[str]:
    """Words as frequent as in a language: a few very, most hardly."""
    letters = "etaoinshrdlucmfwypvbgk"
    return ["".join(random.choices(letters, k=random.randint(2, 10))) for _ in range(size)]


def message(words: list[str], number: int) -> NewMessage:
    """A letter of 3.5 KB."""
    weights = [1 / (rank + 3) for rank in range(len(words))]
    chosen = random.choices(words, weights, k=520)
    lines = [" ".join(chosen[start : start + 11]) for start in range(0, len(chosen), 11)]
    raw = (
        f"Received: from mx.example.org (mx.example.org [192.0.2.1]) by mail.example.com;"
        f" Mon, 1 Jan 2024 10:00:00 +0000\r\n"
        f"From: Sender {number} <s{number}@example.org>\r\nTo: alice@example.com\r\n"
        f"Subject: {' '.join(chosen[:5])}\r\nDate: Mon, 1 Jan 2024 10:00:00 +0000\r\n"
        f"Message-ID: <{number}@example.org>\r\nMIME-Version: 1.0\r\n"
        f"Content-Type: text/plain; charset=utf-8\r\n\r\n" + "\r\n".join(lines) + "\r\n"
    ).encode()
    return NewMessage(raw=raw, received_at=1_700_000_000.0 + number)


async def timed(what: str, count: int, work: Callable[[], Awaitable[Any]]) -> Any:
    """Run and print a rate or a time."""
    start = time.perf_counter()
    result = await work()
    seconds = time.perf_counter() - start
    rate = f"{count / seconds:10,.0f}/s" if count > 1 else f"{seconds * 1000:8.1f} ms"
    print(f"{what:54} {rate}", flush=True)
    return result


async def bench(reactor: Any, directory: str, total: int) -> None:
    """Everything, in the order in which a mailbox grows."""
    threads = ReactorThreads(reactor, 4, "bench")
    store = SQLiteMailboxStore(directory, MemoryBus(reactor), threads, reactor, key=KEY)
    await store.start()
    public = await store.create(ALIAS, KEY)
    words = vocabulary()
    letters = [message(words, number) for number in range(total)]
    size = sum(len(letter.raw) for letter in letters) // total
    print(f"{total} messages of {size} octets")
    mailbox = await receive(store, public, letters)
    await fill(store, public, mailbox, letters)
    view = await timed("select", 1, lambda: mailbox.select("Sent Mail"))
    await read(mailbox, view)
    await look_for(store, mailbox, view.folder.id, words, total)
    await timed("copy all", 1, lambda: mailbox.copy(view.folder.id, view.uids, "Trash"))
    await timed("remove all", 1, lambda: mailbox.remove(view.folder.id, view.uids))
    mailbox.close()
    await store.stop()
    await threads.stop()


async def receive(
    store: SQLiteMailboxStore, public: bytes, letters: list[NewMessage]
) -> OpenMailbox:
    """Mail while nobody is there, and what the owner waits for at the next login."""
    await timed(
        f"seal to a locked mailbox, {IN_FLIGHT} at once",
        SINGLE,
        lambda: deliver(store, public, letters, "s", SINGLE),
    )
    mailbox: OpenMailbox = await timed(
        "unlock and take in", SINGLE, lambda: store.unlock(ALIAS, KEY)
    )
    return mailbox


async def fill(
    store: SQLiteMailboxStore, public: bytes, mailbox: OpenMailbox, letters: list[NewMessage]
) -> None:
    """The ways into an open mailbox; "Sent Mail" holds every letter afterwards."""

    async def one_by_one() -> None:
        for letter in letters[:SINGLE]:
            await mailbox.append("Archive", [letter])

    async def in_batches() -> None:
        for start in range(0, len(letters), 50):
            await mailbox.append("Sent Mail", letters[start : start + 50])

    await timed("append, one by one", SINGLE, one_by_one)
    await timed(
        f"deliver to an open mailbox, {IN_FLIGHT} at once",
        2 * SINGLE,
        lambda: deliver(store, public, letters, "d", 2 * SINGLE),
    )
    await timed("append in batches of 50", len(letters), in_batches)


async def deliver(
    store: SQLiteMailboxStore, public: bytes, letters: list[NewMessage], prefix: str, count: int
) -> None:
    """Hand the first letters to the store, ``IN_FLIGHT`` at the same time."""
    deliveries = [Delivery(id=f"{prefix}{n}", message=letters[n]) for n in range(count)]
    await at_once([functools.partial(store.deliver, ALIAS, public, d) for d in deliveries])


async def read(mailbox: OpenMailbox, view: FolderView) -> None:
    """What a mail program asks for when it synchronizes a folder."""
    folder, uids = view.folder.id, view.uids

    async def bodies() -> None:
        for uid in uids[:1000]:
            await mailbox.fetch(folder, [uid], Want.BODY)

    async def envelopes() -> None:
        for start in range(0, len(uids), 500):
            await mailbox.fetch(folder, uids[start : start + 500], Want.ENVELOPE)

    await timed("fetch single bodies", 1000, bodies)
    await timed(
        "fetch bodies, 1000 in one call",
        1000,
        lambda: mailbox.fetch(folder, uids[:1000], Want.BODY),
    )
    await timed("fetch envelopes, 500 in one call", len(uids), envelopes)
    await timed(
        "store flags on all",
        1,
        lambda: mailbox.store_flags(folder, uids, FlagAction.ADD, frozenset({"\\Seen"})),
    )
    await timed(
        "status of all folders", 1, lambda: mailbox.status(["INBOX", "Archive", "Sent Mail"])
    )


async def look_for(
    store: SQLiteMailboxStore, mailbox: OpenMailbox, folder: int, words: list[str], total: int
) -> None:
    """Searches, the first of them before there is an index."""
    rare, common = words[4000], words[10]

    def searched(what: str, key: search.Key) -> Awaitable[Any]:
        return timed(f"search {what}", 1, lambda: mailbox.search(folder, key))

    await searched("text, nothing indexed yet", search.TextContains(rare))
    await timed("upkeep: digest and index", total, store._open[ALIAS]._tend)
    for what, needle in (
        ("rare", rare),
        ("common", common),
        ("two letters", "xz"),
        ("absent", "qqzzqq"),
    ):
        found = await searched(f"text, {what}", search.TextContains(needle))
        print(f"    {len(found)} matches")
    await searched("header", search.HeaderContains("From", "s77"))
    await searched("by flag", search.Flagged("\\Seen"))


async def at_once(calls: list[Callable[[], Any]]) -> None:
    """Make the calls with ``IN_FLIGHT`` at the same time."""
    waiting = iter(calls)

    async def one_after_another() -> None:
        for call in waiting:
            await call()

    await gatherResults([Deferred.fromCoroutine(one_after_another()) for _ in range(IN_FLIGHT)])


def main(reactor: Any, total: str = "10000") -> "Deferred[None]":
    """What the command line asks for."""
    if int(total) < 2 * SINGLE:
        raise SystemExit(f"At least {2 * SINGLE} messages, please.")
    random.seed(1)
    return Deferred.fromCoroutine(in_a_directory(reactor, int(total)))


async def in_a_directory(reactor: Any, total: int) -> None:
    """Measure, and leave nothing behind."""
    with tempfile.TemporaryDirectory(prefix="fe-mail-bench-") as directory:
        await bench(reactor, directory, total)


if __name__ == "__main__":
    react(main, sys.argv[1:])
