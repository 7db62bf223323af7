"""Stores that are damaged or gone: what ``fe-mail verify`` says, and what a start does."""

import contextlib
import os
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from fe_mail.adapters.sqlite.schema import open_connection
from fe_mail.app.config import load
from fe_mail.app.manifest import NAME
from fe_mail.app.verify import Findings, examine
from fe_mail.app.wiring import Inside
from fe_mail.model.envelope import Peer
from fe_mail.model.errors import Corrupt, MailError, Missing
from fe_mail.model.mailbox import Delivery, NewMessage
from tests.contracts.queue import LARGE, delivery, message

FIXTURE = Path(__file__).parents[1] / "fixtures" / "data-v1.tar.gz"
KEY = "k" * 32
LETTER = b"Subject: sealed\r\n\r\nbody\r\n"


def cut(path: Path) -> None:
    """Half of it is gone."""
    os.truncate(path, path.stat().st_size // 2 + 100)


def empty(path: Path) -> None:
    """As a crash of the file system leaves it."""
    os.truncate(path, 0)


def scribble(path: Path) -> None:
    """Other octets where pages begin, but for the first one."""
    with path.open("r+b") as file:
        for at in range(min(4096, path.stat().st_size - 100), path.stat().st_size, 4096):
            file.seek(at)
            file.write(b"scribble")


def change(path: Path) -> None:
    """Some bits of the first page."""
    with path.open("r+b") as file:
        file.seek(5)
        file.write(b"changed")


DAMAGES: dict[str, Callable[[Path], None]] = {
    "gone": Path.unlink,
    "empty": empty,
    "cut": cut,
    "scribbled": scribble,
    "changed": change,
}


class DamageCase(TestCase):
    """A server's directory with something in every store, made once and copied for each test."""

    timeout = 120
    made: Path | None = None
    alias_id = address = password = ""

    def setUp(self) -> Any:
        """The copy."""
        return Deferred.fromCoroutine(self.prepare())

    async def prepare(self) -> None:
        """A directory of this test."""
        cls = type(self)
        if cls.made is None:
            made = Path(tempfile.mkdtemp())
            await self.fill(made)
            cls.made = made
        self.directory = Path(tempfile.mkdtemp()) / "server"
        self.addCleanup(shutil.rmtree, self.directory.parent)
        shutil.copytree(cls.made, self.directory)
        self.data = self.directory / "sqlite-data"

    @classmethod
    def tearDownClass(cls) -> None:
        """The one that was copied."""
        if cls.made is not None:
            shutil.rmtree(cls.made)

    async def fill(self, directory: Path) -> None:
        """A user, a domain, two aliases, one with a mailbox; mail that waits, sealed or queued."""
        cls = type(self)
        inside = self.inside(directory)
        await inside.start()
        try:
            user = await inside.users.register("me@example.net", "correct horse battery staple")
            domain = await inside.domains.create(user, "example.org", catchall=False)
            for name, has_imap in (("alice", True), ("team", False)):
                fields = {"name": name, "recipients": ["a@b.test"], "has_imap": has_imap}
                alias = await inside.aliases.create(user, domain, fields)
                if has_imap:
                    made = await inside.aliases.generate_password(user, domain, alias)
                    alias = await inside.stores.accounts.alias(alias.id)
                    cls.alias_id, cls.address, cls.password = alias.id, alias.address, made.password
                    letter = Delivery(id="1", message=NewMessage(raw=LETTER, received_at=100.0))
                    await inside.stores.mailboxes.deliver(alias.id, alias.sealing_key, letter)
            for name, octets in (("small", LETTER), ("large", LARGE)):
                body = await inside.intake.written(octets, now=100.0)
                waiting = delivery(name, next_attempt_at=100.0)
                await inside.intake.accept(message(name), [waiting], body)
        finally:
            await inside.stop()

    def inside(self, directory: Path | None = None, key: str = KEY) -> Inside:
        """The services on a directory, not started."""
        environ = {"DOMAIN": "example.org", "HELPER_ENCRYPTION_KEY": key, "SRS_SECRET": KEY}
        return Inside(reactor, load(directory or self.directory, environ))

    async def look(self, key: str = KEY) -> Findings:
        """What ``verify`` finds; it leaves everything as it was."""
        before = self.state()
        inside = self.inside(key=key)
        try:
            return await examine(inside.stores)
        finally:
            await inside.stop()
            self.assertEqual(self.state(), before)

    def state(self) -> dict[str, tuple[int, int]]:
        """Names, sizes and times of everything."""
        paths = [path for path in self.directory.rglob("*") if path.is_file()]
        return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in paths}

    async def start(self, key: str = KEY) -> str:
        """Why a start is refused; empty if it is not."""
        inside = self.inside(key=key)
        try:
            await inside.start()
        except MailError as error:
            return error.message
        finally:
            await inside.stop()
        return ""


class StoreTests(DamageCase):
    """Each store, in each way."""

    async def each(
        self, name: str, check: Callable[[str, Path], Coroutine[Any, Any, None]]
    ) -> None:
        """Damage a file in every way, and put it right again."""
        path = self.data / name
        kept = path.read_bytes()
        for kind, damage in DAMAGES.items():
            damage(path)
            await check(kind, path)
            path.write_bytes(kept)

    async def test_whole(self) -> None:
        """Nothing to say, and everything is counted."""
        found = await self.look()
        self.assertEqual(found.problems, [])
        counts = {"accounts": 1, "domains": 1, "aliases": 2, "mailboxes": 1}
        self.assertEqual(found.counts, {**counts, "sealed": 1, "queued": 2})
        self.assertEqual(await self.start(), "")

    async def test_files(self) -> None:
        """The store, the file and the next step, from both; a start makes nothing of it."""
        for store, name in (
            ("accounts", "accounts.sqlite"),
            ("queue", "queue.sqlite"),
            ("sealed", "mailboxes/sealed.sqlite"),
        ):

            async def check(kind: str, path: Path, store: str = store) -> None:
                problems = (await self.look()).problems
                (problem,) = [text for text in problems if text.startswith(f"{store}:")]
                self.assertIn(str(path), problem)
                self.assertIn("Restore it from a backup", problem)
                before = self.state().get(str(path))
                refusal = await self.start()
                self.assertIn(str(path), refusal, f"{store} {kind}")
                self.assertIn(f"fe-mail begin-anew {store}", refusal)
                self.assertNotIn("HELPER_ENCRYPTION_KEY", refusal)
                self.assertEqual(self.state().get(str(path)), before)

            await self.each(name, check)

    async def test_counters(self) -> None:
        """Their damage is named too; that they are gone keeps no server from starting."""

        async def check(kind: str, path: Path) -> None:
            problems = (await self.look()).problems
            self.assertTrue([text for text in problems if text.startswith("counters:")], kind)
            if kind in ("gone", "empty"):
                self.assertEqual(await self.start(), "")
            else:
                self.assertIn("begin-anew counters", await self.start())

        await self.each("counters.sqlite", check)

    async def test_reasons(self) -> None:
        """Each store has its own, whatever is wrong with another."""
        path = self.data / "counters.sqlite"
        inside = self.inside()
        with contextlib.closing(
            open_connection(path, inside.stores.keyring.mac(b"counters", "database"))
        ) as counters:
            counters.execute("UPDATE version SET version = 99")
        await inside.stop()
        cut(self.data / "mailboxes" / "sealed.sqlite")
        problems = (await self.look()).problems
        for store, reason in (("sealed", "sealed.sqlite"), ("counters", "newer")):
            (problem,) = [text for text in problems if text.startswith(f"{store}:")]
            self.assertIn(reason, problem)

    async def test_large_bodies(self) -> None:
        """The one that cannot be read is named, and the message it is of waits."""
        (body,) = (self.data / "spool").iterdir()

        async def check(kind: str, path: Path) -> None:
            (problem,) = (await self.look()).problems
            self.assertIn(path.name, problem, kind)
            self.assertEqual(await self.start(), "")

        await self.each(f"spool/{body.name}", check)

    async def test_directories(self) -> None:
        """Whole directories that are gone, and all of them."""
        for name, store in (("spool", "spool"), ("mailboxes", "mailboxes"), (".", "stores")):
            path = self.data / name
            away = self.directory.parent / "away"
            path.rename(away) if name != "." else self.data.rename(away)
            problems = (await self.look()).problems
            self.assertTrue([text for text in problems if text.startswith(f"{store}: ")], problems)
            self.assertIn("begin-anew", await self.start())
            away.rename(path if name != "." else self.data)
            self.assertEqual((await self.look()).problems, [])

    async def test_manifest(self) -> None:
        """It is named; without it, what an older server always had must be there."""
        path = self.directory / NAME
        kept = path.read_bytes()
        path.write_bytes(b"")
        (problem,) = (await self.look()).problems
        self.assertIn(str(path), problem)
        path.unlink()
        self.assertEqual((await self.look()).problems, [])
        (self.data / "accounts.sqlite").rename(self.directory.parent / "away")
        (problem,) = (await self.look()).problems
        self.assertIn("accounts.sqlite is missing", problem)
        self.assertIn("accounts.sqlite is missing", await self.start())
        path.write_bytes(kept)

    async def test_wrong_key(self) -> None:
        """It is said once, and no file is called damaged for it."""
        (problem,) = (await self.look("x" * 32)).problems
        self.assertIn("HELPER_ENCRYPTION_KEY is not the one", problem)
        self.assertIn("HELPER_ENCRYPTION_KEY is not the one", await self.start("x" * 32))
        (self.directory / NAME).unlink()
        self.assertIn("HELPER_ENCRYPTION_KEY does not open", await self.start("x" * 32))

    async def test_removed_while_it_runs(self) -> None:
        """What was written into a file that is gone would be lost: it is refused, and told."""
        inside = self.inside()
        await inside.start()
        try:
            for name in ("accounts.sqlite", "queue.sqlite", "mailboxes/sealed.sqlite"):
                (self.data / name).unlink()
            for _, probe in inside.stores.probes()[3:]:
                try:
                    await probe()
                except Missing:
                    continue
            body = await inside.intake.written(LETTER, now=100.0)
            with self.assertRaises(Missing):
                await inside.intake.accept(message("late"), [delivery("late")], body)
            told = {each.store: str(each) for each in inside.stores.troubles.current()}
            self.assertEqual(set(told), {"accounts", "queue", "sealed"})
            self.assertIn("it was removed while it was open", told["queue"])
        finally:
            await inside.stop()

    async def test_begun_anew(self) -> None:
        """After the explicit word a start makes the store, and the mailboxes go on without it."""
        for name, file in (("queue", "queue.sqlite"), ("sealed", "mailboxes/sealed.sqlite")):
            empty(self.data / file)
            inventory = self.inside().stores.inventory
            (aside,) = inventory.begin_anew([name], 0.0)
            self.assertTrue(aside.exists())
            self.assertEqual(await self.start(), "")
            self.assertEqual((await self.look()).problems, [])


class MailboxTests(DamageCase):
    """A mailbox's file."""

    async def prepare(self) -> None:
        """Where it is."""
        await super().prepare()
        (self.path,) = [
            path for path in (self.data / "mailboxes").iterdir() if self.alias_id in path.name
        ]

    async def sign_in(self) -> str:
        """Try with the right password; what its owner hears."""
        inside = self.inside()
        await inside.start()
        try:
            identity = await inside.login.authenticate(
                self.address, self.password, Peer(protocol="imap"), "imap"
            )
            mailbox = await inside.stores.mailboxes.unlock(
                identity.alias.id, identity.mailbox_key, identity.alias.sealing_key
            )
            mailbox.close()
        except Corrupt as error:
            self.troubles = [str(each) for each in inside.stores.troubles.current()]
            return error.message
        finally:
            await inside.login.stop()
            await inside.stop()
        return ""

    async def test_damage(self) -> None:
        """
        Its owner hears that the password is right, the operator which file it is; ``verify`` sees
        what can be seen without a key.
        """
        kept = self.path.read_bytes()
        for kind, damage in DAMAGES.items():
            damage(self.path)
            problems = (await self.look()).problems
            if kind not in ("scribbled", "changed"):
                (problem,) = problems
                self.assertIn(str(self.path), problem)
                self.assertIn(self.address, problem)
            said = await self.sign_in()
            self.assertIn("your password is right", said, kind)
            self.assertEqual(len(self.troubles), 1, self.troubles)
            self.assertIn(str(self.path), self.troubles[0])
            (problem,) = (await self.look()).problems  # now somebody with the key has seen it
            self.assertIn(str(self.path), problem)
            self.path.write_bytes(kept)
            self.assertEqual((await self.look()).problems, [])
        self.assertEqual(await self.sign_in(), "")
        self.assertEqual((await self.look()).problems, [])
        self.assertEqual(list(self.path.parent.glob("*.damaged")), [])

    async def test_looked_into(self) -> None:
        """With its key every octet that changed shows, and nothing is changed."""
        inside = self.inside()
        await inside.start()
        identity = await inside.login.authenticate(
            self.address, self.password, Peer(protocol="imap"), "imap"
        )
        await inside.login.stop()
        await inside.stop()
        for damage, error in ((None, None), (scribble, Corrupt), (Path.unlink, Missing)):
            if damage is not None:
                damage(self.path)
            inside = self.inside()
            try:
                await examine(inside.stores)
                asked = inside.stores.mailboxes.examine(identity.alias.id, identity.mailbox_key)
                if error is None:
                    self.assertEqual(await asked, ((), 0))
                else:
                    with self.assertRaises(error):
                        await asked
            finally:
                await inside.stop()


class OlderTests(TestCase):
    """What version 0.1 left, before any start of this one."""

    timeout = 120

    async def test_looked_at(self) -> None:
        """In a copy that is upgraded; the files themselves, and their names, stay as they are."""
        place = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, place)
        with tarfile.open(FIXTURE) as tar:
            tar.extractall(place, filter="data")
        directory = place / "data"
        before = {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}
        inside = Inside(reactor, load(directory, {}, write=False))
        try:
            found = await examine(inside.stores)
        finally:
            await inside.stop()
        self.assertEqual(found.problems, [])
        self.assertGreater(found.counts["queued"], 0)
        self.assertGreater(found.counts["sealed"], 0)
        after = {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}
        self.assertEqual(before, after)
