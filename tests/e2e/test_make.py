"""What ``make`` says to a newcomer whose machine lacks something."""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.e2e.support import ROOT, require

# A Python that refuses whatever mentions a word.
LACKING = """#!/bin/sh
case "$*" in *{word}*) exit 1 ;; esac
exec {python} "$@"
"""


class MakeTests(SynchronousTestCase):
    """The preparations of every target."""

    def prepare(self, lacking: str) -> str:
        """What ``make`` says with a Python that lacks something."""
        directory = Path(tempfile.mkdtemp(prefix="fe-mail-e2e-"))
        self.addCleanup(shutil.rmtree, directory)
        for name in ("Makefile", "requirements.lock", "setup.cfg"):
            shutil.copy(ROOT / name, directory)
        python = directory / "python"
        python.write_text(LACKING.format(word=lacking, python=sys.executable))
        python.chmod(0o755)
        done = subprocess.run(
            [require("make", "make"), f"PYTHON={python}", ".venv/.ready"],
            cwd=directory,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            check=False,
        )
        self.assertNotEqual(done.returncode, 0)
        self.assertFalse((directory / ".venv").exists())
        return done.stdout

    def test_without_venv(self) -> None:
        """Debian ships Python without ``venv``: the package is named."""
        self.assertIn("install the package python3-venv", self.prepare("ensurepip"))

    def test_old_python(self) -> None:
        """The version that is needed is named."""
        self.assertIn("needs Python 3.11 or later", self.prepare("version_info"))
