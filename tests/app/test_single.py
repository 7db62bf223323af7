"""The lock of the only process of a kind."""

import subprocess
import sys
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from fe_mail.app.single import OnlyOne

HOLD = """
import sys
from pathlib import Path
from fe_mail.app.single import OnlyOne
lock = OnlyOne(Path(sys.argv[1]))
print("held" if lock.acquire() else "refused", flush=True)
sys.stdin.read()
"""


class OnlyOneTests(SynchronousTestCase):
    """Between processes."""

    def test_one_at_a_time_until_death(self) -> None:
        """A second one is refused; after SIGKILL of the first it is taken."""
        path = Path(tempfile.mkdtemp()) / "lock"
        other = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.addCleanup(other.wait)
        self.addCleanup(other.kill)
        assert other.stdout is not None
        self.assertEqual(other.stdout.readline(), "held\n")
        mine = OnlyOne(path)
        self.assertFalse(mine.acquire())
        other.kill()
        other.wait()
        self.assertTrue(mine.acquire())
        mine.release()
        self.assertTrue(OnlyOne(path).acquire())
