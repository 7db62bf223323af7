"""The contract of ``AccountStore`` on its adapters, and what only SQLite can do."""

from pathlib import Path
from typing import Any, cast

import attrs
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from fe_mail.adapters.sqlite import account_rows
from fe_mail.adapters.sqlite.account_rows import ALIASES, CREDENTIALS, DOMAINS, LOG, SESSIONS, USERS
from fe_mail.adapters.sqlite.accounts import SQLiteAccountStore
from fe_mail.adapters.sqlite.database import Cursor
from fe_mail.adapters.sqlite.schema import SCHEMA_DIRECTORY, open_connection
from fe_mail.adapters.sqlite.site_records import PURGED_AT_ONCE
from fe_mail.adapters.threads import InlineThreads
from fe_mail.model.errors import AlreadyExists, Conflict
from fe_mail.ports import AccountStore
from tests.adapters.later import LaterThreads
from tests.contracts.accounts import AccountsContract, alias, credential, domain, user
from tests.fakes import MemoryAccountStore


class MemoryAccountsTests(AccountsContract, SynchronousTestCase):
    """SQLite without a file, as other tests have it."""

    def store(self) -> AccountStore:
        accounts = MemoryAccountStore()
        self.addCleanup(lambda: self.get(accounts.stop()))
        return accounts


class RememberingAccountsTests(AccountsContract, SynchronousTestCase):
    """With a clock, so that answers are kept for a moment: nobody must notice."""

    def store(self) -> AccountStore:
        accounts = SQLiteAccountStore(":memory:", InlineThreads(), Clock())
        self.get(accounts.start())
        self.addCleanup(lambda: self.get(accounts.stop()))
        return accounts


class AbandonedChangeTests(SynchronousTestCase):
    """Whoever asked for a change may be gone before it is durable."""

    def test_not_outlived(self) -> None:
        """A client that hangs up leaves nobody with an answer from before the change."""
        threads = LaterThreads()
        accounts = SQLiteAccountStore(":memory:", threads, Clock())
        opening = Deferred.fromCoroutine(accounts.start())
        threads.next()
        self.successResultOf(opening)
        adding = Deferred.fromCoroutine(accounts.add_user(user("u")))
        threads.next()
        before = self.successResultOf(adding)

        changing = Deferred.fromCoroutine(accounts.update_user(before.id, 5.0, given_name="New"))
        changing.cancel()
        self.failureResultOf(changing, CancelledError)
        asking = Deferred.fromCoroutine(accounts.user(before.id))
        threads.calls.reverse()  # the question is answered first
        threads.next()
        self.assertEqual(self.successResultOf(asking), before)
        threads.next()

        asking = Deferred.fromCoroutine(accounts.user(before.id))
        self.assertEqual(len(threads.calls), 1, "the old answer was kept")
        threads.next()
        self.assertEqual(self.successResultOf(asking).given_name, "New")


class SQLiteAccountsTests(AccountsContract, SynchronousTestCase):
    """SQLite on disk."""

    def store(self) -> AccountStore:
        self.path = Path(self.mktemp()) / "accounts.sqlite"
        return self.open()

    def open(self) -> SQLiteAccountStore:
        """Open the file (again, as another process would)."""
        accounts = SQLiteAccountStore(self.path, InlineThreads())
        self.get(accounts.start())
        self.addCleanup(lambda: self.get(accounts.stop()))
        return accounts

    def test_two_openers(self) -> None:
        """Two that have the file open see each other's rows and respect each other's names."""
        other = self.open()
        self.fill()
        self.assertEqual(
            self.get(other.domain(domain().id)), self.get(self.accounts.domain(domain().id))
        )
        self.fails(other.add_user(user("u3", email="u1@mail.test")), AlreadyExists)
        self.get(other.update_alias(alias().id, 5.0, description="theirs"))
        self.assertEqual(self.get(self.accounts.alias(alias().id)).description, "theirs")
        nothing: dict[str, object] = {"settings": {}}
        self.get(other.update_alias(alias().id, 6.0, nothing, settings={"a": 1}))
        ours = self.accounts.update_alias(alias().id, 6.0, nothing, settings={"b": 1})
        self.fails(ours, Conflict)

    def test_reopened(self) -> None:
        """Everything is there after a restart."""
        self.fill()
        before = self.get(self.accounts.alias(alias().id))
        self.get(self.accounts.stop())
        self.assertEqual(self.get(self.open().alias(alias().id)), before)

    def test_purged_in_groups(self) -> None:
        """However much is over, no transaction removes more than some of it."""
        self.fill()
        connection = open_connection(self.path)
        self.addCleanup(connection.close)
        count = 2 * PURGED_AT_ONCE + 1
        connection.execute(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)"
            " INSERT INTO web_sessions SELECT 's' || i, 'u1', 0, 1, '' FROM n",
            (count,),
        )
        groups: list[int] = []
        original = self.accounts._database.write  # type: ignore[attr-defined]

        async def write(work: Any) -> Any:
            groups.append(await original(work))
            return groups[-1]

        self.patch(self.accounts._database, "write", write)  # type: ignore[attr-defined]
        self.get(self.accounts.purge(9.0, 1e9))
        self.assertEqual(groups, [PURGED_AT_ONCE, PURGED_AT_ONCE, 1, 0])
        left = connection.execute("SELECT count(*) FROM web_sessions").fetchall()
        self.assertEqual(left, [(0,)])

    def test_upgraded(self) -> None:
        """What version 1 wrote is all there, and there is an owner already."""
        self.path = Path(self.mktemp()) / "accounts.sqlite"
        connection = open_connection(self.path)
        script = (SCHEMA_DIRECTORY / "accounts-v1.sql").read_text()
        connection.execute(script + "CREATE TABLE version (version INTEGER NOT NULL);")
        connection.execute("INSERT INTO version VALUES (1)")
        cursor = cast(Cursor, connection.cursor())
        USERS.insert(cursor, user("u1"), email_key="u1@mail.test")
        DOMAINS.insert(cursor, domain())
        connection.execute("INSERT INTO members VALUES (1, 'd1', 'u1', 'admin')")
        row = alias(sealing_key=b"public")
        later = {"epoch", *ALIASES.filled_in}
        columns = {
            field.name: account_rows._encode(getattr(row, field.name))
            for field in attrs.fields(type(row))
            if field.name not in later
        }
        names, places = ", ".join(columns), ", ".join("?" * len(columns))
        connection.execute(
            f"INSERT INTO aliases ({names}) VALUES ({places})", tuple(columns.values())
        )
        CREDENTIALS.insert(cursor, credential())
        connection.close()
        self.accounts = self.open()
        keys = self.get(self.accounts.keys(alias().id))
        self.assertEqual((keys.epoch, keys.sealing_key), (0, b"public"))
        self.assertEqual(keys.credentials, (credential(),))
        self.assertEqual(self.get(self.accounts.alias(alias().id)).address, "alice@d1.test")
        self.assertEqual(self.get(self.accounts.add_user(user("u2"))).group, "user")
        self.assertEqual(self.get(self.accounts.check()), ())

    def test_columns_are_the_attributes(self) -> None:
        """The schema has a column for every attribute, so that a new one cannot be forgotten."""
        connection = open_connection(self.path)
        self.addCleanup(connection.close)
        for table in (USERS, DOMAINS, ALIASES, CREDENTIALS, SESSIONS, LOG):
            columns = {row[1] for row in connection.pragma("table_info", table.name)}
            attributes = {field.name for field in attrs.fields(table.row_class)}
            kept = {"serial", "email_key", "alias_count", "storage_used"} - attributes
            stored = attributes - table.filled_in
            if table is DOMAINS:
                stored |= {"alias_count", "storage_used"}  # kept by triggers
            self.assertEqual(columns - kept, stored)

    def test_look_ups_use_indexes(self) -> None:
        """Nothing that mail waits for reads a whole table."""
        connection = open_connection(self.path)
        self.addCleanup(connection.close)
        for statement in (
            "SELECT * FROM users WHERE email_key = 'x'",
            "SELECT * FROM users WHERE api_token_hash = 'x' AND api_token_hash <> ''",
            "SELECT * FROM domain_rows WHERE name = 'x'",
            "SELECT * FROM domain_rows WHERE id IN"
            " (SELECT domain_id FROM members WHERE user_id = 'x')",
            "SELECT * FROM alias_rows WHERE id = 'x'",
            "SELECT * FROM alias_rows WHERE domain_id = 'x' AND name = 'y'",
            "SELECT * FROM alias_rows WHERE domain_id = 'x' AND name >= '/' AND name < '0'",
            "SELECT * FROM credentials WHERE alias_id = 'x'",
            "SELECT * FROM web_sessions WHERE id = 'x' AND expires_at > 1",
            "SELECT * FROM log WHERE domain_id = 'x' ORDER BY created_at DESC",
        ):
            plan = connection.execute(f"EXPLAIN QUERY PLAN {statement}").fetchall()
            scans = [row[3] for row in plan if row[3].startswith("SCAN")]
            self.assertEqual(scans, [], statement)

    def test_check_finds(self) -> None:
        """Rows that refer to nothing are named, and users whom nobody can find."""
        self.fill()
        connection = open_connection(self.path)
        self.addCleanup(connection.close)
        connection.execute("PRAGMA foreign_keys=OFF; DELETE FROM users WHERE id = 'u2'")
        connection.execute("UPDATE users SET email_key = 'x' WHERE id = 'u1'")
        connection.execute("UPDATE domains SET alias_count = 7")
        self.assertEqual(
            self.get(self.accounts.check()),
            (
                "Row 2 of members refers to no users.",
                "Domain d1 has wrong counts.",
                "User u1 cannot be found by e-mail address.",
            ),
        )
