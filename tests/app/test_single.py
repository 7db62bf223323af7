"""The lock of processes of one kind."""

import subprocess
import sys
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from fe_mail.app.single import Company

OTHER = """
import sys
from pathlib import Path
from fe_mail.app.single import Company
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
