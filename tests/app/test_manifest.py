"""The manifest: what must be there, however a start was interrupted."""

import os
import shutil
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from fe_mail.adapters.opening import Opening
from fe_mail.app.manifest import MAY_GO, NAME, STORES, Inventory, Manifest
from fe_mail.model.errors import Corrupt, Missing, SchemaTooNew

NEW, KEPT = Opening.NEW, Opening.KEPT


class InventoryCase(SynchronousTestCase):
    """A server's directory."""

    def setUp(self) -> None:
        """Nothing in it."""
        self.directory = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.directory)
        self.inventory = self.of_key("right")

    def of_key(self, mark: str) -> Inventory:
        """The inventory of a server with this key."""
        return Inventory(self.directory, self.directory / "data", mark)

    def make(self, *stores: str) -> None:
        """Files as the stores make them."""
        for name in stores:
            path = self.inventory.path_of(name)
            if path.suffix:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text("content")
            else:
                path.mkdir(parents=True, exist_ok=True)

    def start(self) -> None:
        """One start from its begin to its end."""
        self.inventory.begin()
        self.make(*STORES)
        self.inventory.complete()

    def lose(self, *stores: str) -> None:
        """Somebody removes the files of stores."""
        for name in stores:
            path = self.inventory.path_of(name)
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)

    def refusal(self) -> str:
        """Why a start is refused."""
        return self.assertRaises(Missing, self.inventory.begin).message


class StartTests(InventoryCase):
    """What a start may make."""

    def test_first_start(self) -> None:
        """Everything, and it is written down before; afterwards nothing but the counters."""
        self.assertEqual(self.inventory.begin(), dict.fromkeys(STORES, NEW))
        self.assertTrue((self.directory / NAME).exists())
        self.make(*STORES)
        self.inventory.complete()
        how = self.inventory.begin()
        self.assertEqual({name for name in STORES if how[name] is NEW}, MAY_GO)

    def test_interrupted_anywhere(self) -> None:
        """A first start that is killed goes on with the next one, whatever it had made."""
        for count in range(len(STORES) + 1):
            self.setUp()
            self.inventory.begin()
            self.make(*list(STORES)[:count])  # and killed
            self.assertEqual(self.inventory.begin(), dict.fromkeys(STORES, NEW))
            self.make(*STORES)
            self.inventory.complete()
            self.assertIs(self.inventory.begin()["accounts"], KEPT)

    def test_interrupted_while_it_is_written(self) -> None:
        """What is half written has another name."""
        (self.directory / f"{NAME}.new").write_text("{")
        self.start()
        self.assertIs(self.inventory.begin()["queue"], KEPT)

    def test_a_store_is_gone(self) -> None:
        """The start is refused; the file, and what to do, are named; nothing is made."""
        for name in set(STORES) - MAY_GO:
            self.setUp()
            self.start()
            self.lose(name)
            said = self.refusal()
            self.assertIn(str(self.inventory.path_of(name)), said)
            self.assertIn(f"fe-mail begin-anew {name}", said)
            self.assertFalse(self.inventory.path_of(name).exists())

    def test_all_of_it_is_gone(self) -> None:
        """The directory, as when its disk did not come up, or what was in it."""
        self.start()
        shutil.rmtree(self.inventory.data)
        self.assertIn("is missing, with every store in it", self.refusal())
        self.assertFalse(self.inventory.data.exists())
        self.inventory.data.mkdir()
        self.assertIn("is its disk mounted?", self.refusal())

    def test_a_new_store(self) -> None:
        """What a newer fe-mail adds is made; what a newer one added is remembered."""
        self.start()
        path = self.directory / NAME
        known = Manifest.read(path)
        assert known is not None
        states = {name: state for name, state in known.states.items() if name != "spool"}
        Manifest(path, {**states, "calendar": "made"}, known.key_mark).write()
        self.lose("spool")
        self.assertIs(self.inventory.begin()["spool"], NEW)
        self.make("spool")
        self.inventory.complete()
        self.assertIs(self.inventory.begin()["spool"], KEPT)
        found = Manifest.read(path)
        assert found is not None
        self.assertEqual(found.states["calendar"], "made")

    def test_where_the_directory_cannot_be_written(self) -> None:
        """Then it is among the data: a name in the way stands for a disk that is read-only."""
        (self.directory / f"{NAME}.new").mkdir()
        self.start()
        self.assertTrue((self.inventory.data / NAME).exists())
        self.lose("accounts")
        self.assertIn("accounts.sqlite", self.refusal())


class OlderTests(InventoryCase):
    """What was there before there were manifests."""

    def test_everything_is_there(self) -> None:
        """It is taken over; what such a server had not is made."""
        self.make("accounts", "queue", "mailboxes", "sealed")
        how = self.inventory.begin()
        self.assertEqual((how["accounts"], how["sealed"], how["spool"]), (KEPT, KEPT, NEW))

    def test_something_is_gone(self) -> None:
        """What every server had must be there."""
        for name in ("accounts", "queue", "sealed"):
            self.setUp()
            self.make("accounts", "queue", "mailboxes", "sealed")
            self.lose(name)
            self.assertIn(str(self.inventory.path_of(name)), self.refusal())
            self.assertFalse((self.directory / NAME).exists())


class KeyTests(InventoryCase):
    """The mark of HELPER_ENCRYPTION_KEY."""

    def test_another_key(self) -> None:
        """It is named before anything is opened with it."""
        self.start()
        error = self.assertRaises(Corrupt, self.of_key("wrong").begin)
        self.assertIn("HELPER_ENCRYPTION_KEY is not the one", error.message)
        self.inventory.begin()

    def test_known_when_it_has_opened_something(self) -> None:
        """A start that did not come to its end proves nothing."""
        self.of_key("wrong").begin()
        self.start()
        self.assertRaises(Corrupt, self.of_key("wrong").begin)


class DamageTests(InventoryCase):
    """A manifest that says nothing."""

    def test_unreadable(self) -> None:
        """It is named, with what to do; none of it is taken for an empty one."""
        self.start()
        for octets in (b"", b"{", b"[]", b"\xff\xfe", b'{"version": 1, "stores": {"queue": 7}}'):
            (self.directory / NAME).write_bytes(octets)
            self.assertIn(NAME, self.assertRaises(Corrupt, self.inventory.begin).message)

    def test_of_a_newer_version(self) -> None:
        """Not ours to read."""
        (self.directory / NAME).write_text('{"version": 2, "stores": {}}')
        self.assertRaises(SchemaTooNew, self.inventory.begin)


class AnewTests(InventoryCase):
    """The explicit word."""

    def test_one_store(self) -> None:
        """What is left of it is set aside; the others must be there as before."""
        self.start()
        self.lose("queue")
        self.inventory.path_of("queue").write_text("damaged")
        (self.inventory.data / "queue.sqlite-wal").write_text("log")
        aside = self.inventory.begin_anew(["queue"], 0.0)
        self.assertEqual([path.read_text() for path in aside], ["damaged", "log"])
        self.assertFalse(self.inventory.path_of("queue").exists())
        how = self.inventory.begin()
        self.assertEqual((how["queue"], how["accounts"]), (NEW, KEPT))

    def test_mailboxes(self) -> None:
        """The sealed mail of mailboxes that are gone goes with them."""
        self.start()
        self.inventory.begin_anew(["mailboxes"], 0.0)
        how = self.inventory.begin()
        self.assertEqual((how["mailboxes"], how["sealed"], how["queue"]), (NEW, NEW, KEPT))

    def test_of_an_older_server(self) -> None:
        """What is there without a manifest must still be there."""
        self.make("accounts", "queue", "mailboxes")
        self.inventory.begin_anew(["sealed"], 0.0)
        how = self.inventory.begin()
        self.assertEqual((how["sealed"], how["accounts"]), (NEW, KEPT))

    def test_everything(self) -> None:
        """Also when nothing is left at all."""
        self.start()
        shutil.rmtree(self.inventory.data)
        self.assertEqual(self.inventory.begin_anew(STORES, 0.0), [])
        self.assertEqual(self.inventory.begin(), dict.fromkeys(STORES, NEW))
        self.assertEqual(os.listdir(self.inventory.data), [])
