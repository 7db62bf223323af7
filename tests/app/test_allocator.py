"""Memory that is freed goes back to the system."""

import ctypes
import subprocess
import sys

from twisted.trial.unittest import SkipTest, SynchronousTestCase

SCRIPT = """
import re
from fe_mail.app.allocator import BIG_OCTETS, keep_big_blocks_apart

def kept():
    with open("/proc/self/smaps_rollup") as file:
        return int(re.search(r"^Pss:\\s+(\\d+) kB", file.read(), re.MULTILINE)[1]) * 1024

if {fixed}:
    assert keep_big_blocks_apart()
del bytearray(8 * BIG_OCTETS)[:]  # something big was freed once
before = kept()
blocks, small = [], []
for _ in range(300):
    blocks.append(bytearray(b"x" * 2 * BIG_OCTETS))
    small.append([object() for _ in range(200)])
    small.append(bytes(2000))
del blocks
print(kept() - before)
"""


class AllocatorTests(SynchronousTestCase):
    """In a process of its own, as it is for the whole process."""

    def kept(self, *, fixed: bool) -> int:
        """What stays after 75 MiB of big blocks between small ones were freed."""
        command = [sys.executable, "-c", SCRIPT.format(fixed=fixed)]
        return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    def test_big_blocks(self) -> None:
        """Nothing big stays, where much did."""
        if not hasattr(ctypes.CDLL(None), "gnu_get_libc_version"):
            raise SkipTest("the C library is not glibc")
        self.assertLess(self.kept(fixed=True), 15_000_000)
        self.assertGreater(self.kept(fixed=False), 30_000_000)
