"""The lock of processes of one kind."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from fe_mail.app.single import Company, Presence, at_rest
from fe_mail.model.errors import Conflict

OTHER = """
import sys
from pathlib import Path
from fe_mail.app.single import Company, Presence, at_rest
from fe_mail.model.errors import Conflict
company = Company(Path(sys.argv[1]))
print("alone" if company.join() else "one of many", flush=True)
for line in sys.stdin:
    company.share()
    print("shared", flush=True)
"""


class Other:
    """Another process."""

    def __init__(self, path: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", OTHER, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def says(self) -> str:
        """Its next line."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def share(self) -> None:
        """Ask it to."""
        assert self.process.stdin is not None
        self.process.stdin.write("share\n")
        self.process.stdin.flush()

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            assert stream is not None
            stream.close()


class CompanyTests(SynchronousTestCase):
    """Between processes."""

    def setUp(self) -> None:
        """Nobody is there."""
        self.path = Path(tempfile.mkdtemp()) / "lock"

    def start(self) -> Other:
        """One more."""
        other = Other(self.path)
        self.addCleanup(other.kill)
        return other

    def test_alone_after_death(self) -> None:
        """Who was killed does not count."""
        other = self.start()
        self.assertEqual(other.says(), "alone")
        other.process.kill()
        other.process.wait()
        self.assertEqual(self.start().says(), "alone")

    def test_others_wait_for_the_cleaning(self) -> None:
        """A second process comes in when the first one shares, and is not alone."""
        first = self.start()
        self.assertEqual(first.says(), "alone")
        second = self.start()
        first.share()
        self.assertEqual(first.says(), "shared")
        self.assertEqual(second.says(), "one of many")

    def test_who_is_left_counts(self) -> None:
        """The first one dies, the second works on: a third is not alone with its files."""
        first = self.start()
        self.assertEqual(first.says(), "alone")
        first.share()
        self.assertEqual(first.says(), "shared")
        second = self.start()
        self.assertEqual(second.says(), "one of many")
        first.process.kill()
        first.process.wait()
        company = Company(self.path)
        self.assertFalse(company.join())
        company.leave()
        second.process.kill()
        second.process.wait()
        self.assertTrue(company.join())
        company.leave()


class PresenceTests(SynchronousTestCase):
    """Servers on one directory; the kernel's locks are of open files, so one process can try it."""

    def setUp(self) -> None:
        """A directory of data."""
        self.data = Path(tempfile.mkdtemp())

    def enter(self, *, is_whole: bool) -> Presence:
        """One more server."""
        presence = Presence(self.data, is_whole=is_whole)
        presence.enter()
        self.addCleanup(presence.leave)
        return presence

    def test_one_whole_server(self) -> None:
        """A second is refused with the process that is in its way, until the first one leaves."""
        first = self.enter(is_whole=True)
        error = self.assertRaises(Conflict, self.enter, is_whole=True)
        self.assertIn(f"process {os.getpid()}", error.message)
        first.leave()
        self.assertFalse(first.is_here)
        self.assertTrue(self.enter(is_whole=True).is_here)

    def test_roles_beside_it(self) -> None:
        """As many as one likes."""
        for is_whole in (False, True, False):
            self.enter(is_whole=is_whole)

    def test_at_rest(self) -> None:
        """Nobody begins a store anew under a server, nor does a server start meanwhile."""
        server = self.enter(is_whole=False)
        with self.assertRaises(Conflict), at_rest(self.data):
            self.fail("a server is there")
        server.leave()
        with at_rest(self.data):
            for is_whole in (False, True):
                self.assertRaises(Conflict, self.enter, is_whole=is_whole)
        self.enter(is_whole=True)
        with at_rest(self.data / "missing"):
            pass
