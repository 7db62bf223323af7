"""Schemas as text: creation, upgrade from version to version, copies, newer files."""

from pathlib import Path

import apsw
from twisted.trial.unittest import SynchronousTestCase

from fe_mail.adapters.sqlite import schema
from fe_mail.adapters.sqlite.schema import SCHEMA_DIRECTORY, migrate, open_connection
from fe_mail.model.errors import AuthenticationFailed, Corrupt, SchemaTooNew

V1 = """
CREATE TABLE owners (id INTEGER PRIMARY KEY, name TEXT NOT NULL);
CREATE TABLE pets (id INTEGER PRIMARY KEY, owner INTEGER NOT NULL REFERENCES owners (id));
"""
# Rebuilds a table that another one refers to, as a real upgrade would.
TO_V2 = """
CREATE TABLE new_owners (id INTEGER PRIMARY KEY, name TEXT NOT NULL, age INTEGER NOT NULL);
INSERT INTO new_owners SELECT id, name, 7 FROM owners;
DROP TABLE owners;
ALTER TABLE new_owners RENAME TO owners;
"""
V2 = """
CREATE TABLE owners (id INTEGER PRIMARY KEY, name TEXT NOT NULL, age INTEGER NOT NULL);
CREATE TABLE pets (id INTEGER PRIMARY KEY, owner INTEGER NOT NULL REFERENCES owners (id));
"""
TO_V3 = "ALTER TABLE pets ADD COLUMN name TEXT NOT NULL DEFAULT '';"
V3 = V2.replace("REFERENCES owners (id)", "REFERENCES owners (id), name TEXT NOT NULL DEFAULT ''")


class SchemaTests(SynchronousTestCase):
    """A program of version 1 writes a file; later programs open it."""

    def setUp(self) -> None:
        self.directory = Path(self.mktemp())
        self.directory.mkdir()
        self.path = self.directory / "pets.sqlite"
        self.program("pets-v1.sql", V1)
        connection = self.open()
        connection.execute("INSERT INTO owners VALUES (1, 'Ann'); INSERT INTO pets VALUES (1, 1)")
        connection.close()

    def program(self, name: str, text: str) -> None:
        """Give the program another schema file."""
        (self.directory / name).write_text(text)

    def upgraded_program(self) -> None:
        """The program of version 2."""
        self.program("pets-v2.sql", V2)
        self.program("upgrade-pets-to-v2.sql", TO_V2)

    def open(self, path: str | Path = "") -> apsw.Connection:
        """Open as the program of the day does."""
        connection = open_connection(path or self.path)
        self.addCleanup(connection.close)
        migrate(connection, path or self.path, "pets", self.directory)
        return connection

    def version(self, connection: apsw.Connection) -> object:
        """What the file says of itself."""
        return connection.execute("SELECT version FROM version").fetchall()

    def copies(self) -> list[str]:
        """What stands beside the file."""
        return sorted(path.name for path in self.directory.glob("*before*"))

    def test_opened_again(self) -> None:
        """The same program changes nothing and makes no copy."""
        connection = self.open()
        self.assertEqual(self.version(connection), [(1,)])
        self.assertEqual(connection.execute("SELECT name FROM owners").fetchall(), [("Ann",)])
        self.assertEqual(self.copies(), [])

    def test_upgrade(self) -> None:
        """Rows come along, references hold, the copy has what was before."""
        self.upgraded_program()
        connection = self.open()
        self.assertEqual(self.version(connection), [(2,)])
        self.assertEqual(connection.execute("SELECT * FROM owners").fetchall(), [(1, "Ann", 7)])
        self.assertEqual(connection.pragma("foreign_keys"), 1)
        self.assertRaises(
            apsw.ConstraintError, connection.execute, "INSERT INTO pets VALUES (2, 99)"
        )
        self.assertEqual(self.copies(), ["pets.before-v2.sqlite"])
        copy = apsw.Connection(str(self.directory / "pets.before-v2.sqlite"))
        self.addCleanup(copy.close)
        self.assertEqual(self.version(copy), [(1,)])
        self.assertEqual(copy.execute("SELECT * FROM owners").fetchall(), [(1, "Ann")])

    def test_upgrade_of_an_encrypted_file(self) -> None:
        """File and copy open with the key, and show nothing without it."""
        path, key = self.directory / "secret.sqlite", bytes(range(32))
        connection = open_connection(path, key)
        migrate(connection, path, "pets", self.directory, key)
        connection.execute("INSERT INTO owners VALUES (1, 'needle')")
        connection.close()
        self.upgraded_program()
        connection = open_connection(path, key)
        self.addCleanup(connection.close)
        migrate(connection, path, "pets", self.directory, key)
        self.assertEqual(connection.execute("SELECT age FROM owners").fetchall(), [(7,)])
        copy_path = self.directory / "secret.before-v2.sqlite"
        self.assertNotIn(b"needle", copy_path.read_bytes())
        self.assertNotIn(b"SQLite format 3", copy_path.read_bytes())
        copy = open_connection(copy_path, key)
        self.addCleanup(copy.close)
        self.assertEqual(copy.execute("SELECT name FROM owners").fetchall(), [("needle",)])
        self.assertRaises(AuthenticationFailed, open_connection, copy_path, bytes(32))

    def test_upgrade_with_other_pages(self) -> None:
        """A file whose pages are not of the usual size is copied like any other."""
        path, key = self.directory / "small.sqlite", bytes(range(32))
        connection = open_connection(path, key, page_octets=4096)
        migrate(connection, path, "pets", self.directory, key)
        connection.execute("INSERT INTO owners VALUES (1, 'needle')")
        connection.close()
        self.upgraded_program()
        connection = open_connection(path, key, page_octets=4096)
        self.addCleanup(connection.close)
        migrate(connection, path, "pets", self.directory, key)
        copy = open_connection(self.directory / "small.before-v2.sqlite", key)
        self.addCleanup(copy.close)
        self.assertEqual(copy.execute("SELECT name FROM owners").fetchall(), [("needle",)])

    def test_several_steps(self) -> None:
        """A file that missed a version takes every step; the copy is of where it began."""
        self.upgraded_program()
        self.program("pets-v3.sql", V3)
        self.program("upgrade-pets-to-v3.sql", TO_V3)
        connection = self.open()
        self.assertEqual(self.version(connection), [(3,)])
        self.assertEqual(connection.execute("SELECT * FROM pets").fetchall(), [(1, 1, "")])
        self.assertEqual(self.copies(), ["pets.before-v3.sqlite"])

    def test_created_as_upgraded(self) -> None:
        """A new file is made at the latest version, without a copy, on disk or in memory."""
        self.upgraded_program()
        for path in (self.directory / "new.sqlite", ":memory:"):
            connection = self.open(path)
            self.assertEqual(self.version(connection), [(2,)])
            self.assertEqual(connection.execute("SELECT * FROM owners").fetchall(), [])
        self.assertEqual(self.copies(), [])

    def test_versions_as_numbers(self) -> None:
        """Version 10 is later than version 9, and other schemas are other schemas."""
        self.program("pets-v10.sql", V1)
        self.program("pets-v9.sql", "nonsense")
        self.program("petsandmore-v11.sql", "nonsense")
        self.assertEqual(self.version(self.open(self.directory / "new.sqlite")), [(10,)])

    def test_failing_upgrade(self) -> None:
        """A step that fails leaves the file as it was, and the next attempt succeeds."""
        self.upgraded_program()
        self.program("upgrade-pets-to-v2.sql", f"{TO_V2} INSERT INTO nothing VALUES (1);")
        self.assertRaises(apsw.SQLError, self.open)
        plain = open_connection(self.path)
        self.addCleanup(plain.close)
        self.assertEqual(self.version(plain), [(1,)])
        self.assertEqual(plain.execute("SELECT * FROM owners").fetchall(), [(1, "Ann")])
        self.upgraded_program()
        self.assertEqual(self.version(self.open()), [(2,)])

    def test_upgrade_that_breaks_references(self) -> None:
        """A step that would leave rows without their owner is not committed."""
        self.upgraded_program()
        self.program("upgrade-pets-to-v2.sql", "DELETE FROM owners;")
        self.assertRaises(Corrupt, self.open)
        plain = open_connection(self.path)
        self.addCleanup(plain.close)
        self.assertEqual(plain.execute("SELECT * FROM owners").fetchall(), [(1, "Ann")])

    def test_interrupted_copy(self) -> None:
        """What an interrupted copy left is replaced, never mistaken for a copy."""
        self.upgraded_program()
        (self.directory / "pets.before-v2.sqlite.part").write_bytes(b"half")
        self.open()
        self.assertEqual(self.copies(), ["pets.before-v2.sqlite"])

    def test_newer_file(self) -> None:
        """A file of a newer program is refused and not touched."""
        connection = self.open()
        connection.execute("UPDATE version SET version = 2")
        connection.close()
        before = self.path.read_bytes()
        self.assertRaises(SchemaTooNew, self.open)
        self.assertEqual(self.path.read_bytes(), before)

    def test_no_version(self) -> None:
        """A database that is none of ours is refused."""
        for statement in ("DELETE FROM version", "DROP TABLE version"):
            connection = open_connection(self.path)
            connection.execute(statement)
            connection.close()
            self.assertRaises(Corrupt, self.open)

    def test_failing_creation(self) -> None:
        """A schema with a mistake leaves nothing behind that would look like a schema."""
        self.program("pets-v2.sql", f"{V2}; nonsense")
        new = self.directory / "new.sqlite"
        self.assertRaises(apsw.SQLError, self.open, new)
        self.program("pets-v2.sql", V2)
        self.assertEqual(self.version(self.open(new)), [(2,)])

    def test_our_schemas(self) -> None:
        """Each of our schemas can be created, and every upgrade step up to it exists."""
        names = {path.name.rpartition("-v")[0] for path in SCHEMA_DIRECTORY.glob("*-v*.sql")}
        for name in ("accounts", "queue"):
            self.assertIn(name, names)
            connection = open_connection(":memory:")
            self.addCleanup(connection.close)
            migrate(connection, ":memory:", name)
            ((latest,),) = self.version(connection)
            for step in range(2, latest + 1):
                self.assertTrue((SCHEMA_DIRECTORY / f"upgrade-{name}-to-v{step}.sql").exists())


class LockTests(SynchronousTestCase):
    """Two that write one file: the second waits for the first, and not for ever."""

    def setUp(self) -> None:
        """The first one has the lock."""
        directory = Path(self.mktemp())
        directory.mkdir()
        self.path = directory / "shared.sqlite"
        self.first = self.connect()
        self.first.execute("CREATE TABLE things (name); BEGIN IMMEDIATE")

    def connect(self) -> apsw.Connection:
        """A connection as every store has it."""
        connection = open_connection(self.path)
        self.addCleanup(connection.close)
        return connection

    def test_waits(self) -> None:
        """As soon as the lock is free it goes on."""
        waited: list[int] = []

        def wait(tries: int) -> bool:
            waited.append(tries)
            if len(waited) == 3:
                self.first.execute("COMMIT")
            return True

        self.patch(schema, "_wait_for_lock", wait)
        self.connect().execute("INSERT INTO things VALUES ('one')")
        self.assertEqual(waited, [0, 1, 2])

    def test_gives_up(self) -> None:
        """Somebody keeps the lock: an error, after the time that is given for it."""
        self.patch(schema, "BUSY_TIMEOUT_SECONDS", 4 * schema.LOCK_WAIT_SECONDS)
        with self.assertRaises(apsw.BusyError):
            self.connect().execute("INSERT INTO things VALUES ('one')")
