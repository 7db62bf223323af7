"""What ``make`` says to a newcomer whose machine lacks something."""

import os
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


# A Python whose virtual environments have a pip that only says what it was asked.
TALKING = """#!/bin/sh
case "$*" in *"-m venv"*) ;; *) exec {python} "$@" ;; esac
mkdir -p "$3/bin"
printf '#!/bin/sh\\necho "pip $*"\\n' > "$3/bin/pip"
chmod +x "$3/bin/pip"
"""
# What the ``make`` that runs the tests says to those below it.
OF_MAKE = frozenset({"MAKEFLAGS", "MAKELEVEL", "MFLAGS"})


class MakeTests(SynchronousTestCase):
    """The preparations of every target."""

    def test_says_what_it_does(self) -> None:
        """Before it is silent for a minute: what comes, and then each package as it comes."""
        done, directory = self.make(TALKING.format(python=sys.executable))
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertTrue((directory / ".venv" / ".ready").exists())
        lines = done.stdout.splitlines()
        self.assertIn("Preparing .venv", lines[0])
        fetching = next(line for line in lines if "requirements.lock" in line)
        self.assertNotIn("--quiet", fetching)
        self.assertIn("is ready", lines[-1])

    def prepare(self, lacking: str) -> str:
        """What ``make`` says with a Python that lacks something."""
        done, directory = self.make(LACKING.format(word=lacking, python=sys.executable))
        self.assertNotEqual(done.returncode, 0)
        self.assertFalse((directory / ".venv").exists())
        return done.stdout

    def make(self, script: str) -> tuple["subprocess.CompletedProcess[str]", Path]:
        """Prepare the environment with this Python, in a directory of its own."""
        directory = Path(tempfile.mkdtemp(prefix="fe-mail-e2e-"))
        self.addCleanup(shutil.rmtree, directory)
        for name in ("Makefile", "requirements.lock", "setup.cfg"):
            shutil.copy(ROOT / name, directory)
        python = directory / "python"
        python.write_text(script)
        python.chmod(0o755)
        done = subprocess.run(
            [require("make", "make"), f"PYTHON={python}", ".venv/.ready"],
            cwd=directory,
            env={name: os.environ[name] for name in os.environ if name not in OF_MAKE},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            check=False,
        )
        return done, directory

    def test_without_venv(self) -> None:
        """Debian ships Python without ``venv``: the package is named."""
        self.assertIn("install the package python3-venv", self.prepare("ensurepip"))

    def test_old_python(self) -> None:
        """The version that is needed is named."""
        self.assertIn("needs Python 3.11 or later", self.prepare("version_info"))
