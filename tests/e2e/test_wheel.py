"""
The wheel, installed into a fresh environment, far away from the checkout.

Nothing is downloaded: the wheel is built with the build tools at hand, and the new environment
finds the dependencies where the running one has them.
"""

import atexit
import functools
import os
import shutil
import signal
import site
import subprocess
import sys
import tempfile
import unittest
import urllib.request
import venv
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from fe_mail.app.edge_table import role_names
from tests.e2e.support import ROOT, DemoServer

STOPPED = -signal.SIGTERM
NEEDED = ("setup.cfg", "pyproject.toml", "README.rst", "LICENSE", "fe_mail", "twisted")
TWISTD = "import sys; from twisted.scripts.twistd import run; sys.exit(run())"


class WheelTests(SynchronousTestCase):
    """What somebody has who installed fe-mail and has no checkout."""

    def setUp(self) -> None:
        """Build and install with the first test."""
        self.directory, self.environment = installed()

    def run_in(self, *words: str, expect: int = 0) -> str:
        """Run a program of the new environment in an empty directory; what it printed."""
        empty = Path(tempfile.mkdtemp(dir=self.directory))
        environ = {
            name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ
        }
        program = self.environment / "bin" / words[0]
        done = subprocess.run(
            [program, *words[1:]],
            cwd=empty,
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            check=False,
        )
        self.assertEqual(done.returncode, expect, done.stdout)
        self.assertNotIn("Traceback", done.stdout)
        return done.stdout

    def test_the_plugins_are_found(self) -> None:
        """``twistd --help`` names fe-mail and its roles, from the wheel alone."""
        shown = self.run_in("twistd", "--help")
        for name in ("fe-mail ", *(f"fe-mail-{role} " for role in role_names())):
            self.assertIn(f" {name}", shown)
        where = self.run_in("python", "-c", "import fe_mail; print(fe_mail.__file__)")
        self.assertTrue(where.startswith(str(self.environment)), where)

    def test_the_command_line(self) -> None:
        """The console script is there and knows its commands."""
        shown = self.run_in("fe-mail", "--help")
        for word in ("user", "domain", "alias", "password", "queue", "verify"):
            self.assertIn(f"\n  {word} ", shown)
        self.assertIn("DOMAIN=", self.run_in("fe-mail", "env-example"))

    def test_the_demo_runs(self) -> None:
        """Schemas, templates, catalogs, styles: everything that it needs is in the wheel."""
        server = DemoServer(program=str(self.environment / "bin" / "twistd"), place=self.directory)
        self.addCleanup(server.destroy)
        server.start()
        bob, _ = server.alias("bob")
        with server.smtp("alice") as client:
            client.sendmail(server.alias("alice")[0], [bob], letter(server))
        self.assertIn(b"From the wheel", server.inbox("bob", "From the wheel"))
        for path, expected in (
            ("/en/login", "<form"),
            ("/da/register", 'lang="da"'),
            ("/static/style.css", ":root"),
        ):
            with urllib.request.urlopen(server.facts["web"] + path, timeout=30) as answer:
                self.assertIn(expected, answer.read().decode())
        self.assertEqual(server.stop(), STOPPED)
        done = self.run_in("fe-mail", "--directory", str(server.directory), "verify")
        self.assertIn("Every invariant holds.", done)


def letter(server: DemoServer) -> str:
    """From alice to bob."""
    return (
        f"From: {server.alias('alice')[0]}\r\nTo: {server.alias('bob')[0]}\r\n"
        "Subject: From the wheel\r\n\r\nHello.\r\n"
    )


@functools.cache
def installed() -> tuple[Path, Path]:
    """A directory for everything and the environment in it, once for all tests; gone at the end."""
    directory = Path(tempfile.mkdtemp(prefix="fe-mail-wheel-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    return directory, install(build(directory), directory)


def build(directory: Path) -> Path:
    """The wheel, from a copy of the sources, so that the checkout stays clean."""
    sources = directory / "sources"
    sources.mkdir()
    for name in NEEDED:
        if (ROOT / name).is_dir():
            shutil.copytree(
                ROOT / name, sources / name, ignore=shutil.ignore_patterns("__pycache__")
            )
        else:
            shutil.copy(ROOT / name, sources / name)
    try:
        import setuptools
    except ImportError:
        raise unittest.SkipTest("building a wheel needs setuptools") from None
    assert setuptools
    pip("wheel", "--no-build-isolation", "--wheel-dir", str(directory), str(sources))
    (wheel,) = directory.glob("*.whl")
    return wheel


def install(wheel: Path, directory: Path) -> Path:
    """A new environment with the wheel; dependencies come from the running one."""
    environment = directory / "venv"
    venv.create(environment, with_pip=False, symlinks=True)
    python = environment / "bin" / "python"
    ask = "import site; print(site.getsitepackages()[0])"
    packages = Path(
        subprocess.run(
            [python, "-c", ask], capture_output=True, text=True, check=True
        ).stdout.strip()
    )
    # A path in a .pth file is a plain directory: .pth files in there, as of the checkout's
    # editable installation, do not count.
    (packages / "dependencies.pth").write_text(site.getsitepackages()[0] + "\n")
    pip("--python", str(python), "install", str(wheel))
    twistd = environment / "bin" / "twistd"  # as pip would write it together with Twisted
    twistd.write_text(f"#!{python}\n{TWISTD}\n")
    twistd.chmod(0o755)
    return environment


def pip(*words: str) -> None:
    """Run the running environment's pip without network; ``words`` begin with the command."""
    options = ["--no-deps", "--no-index", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run(
        [sys.executable, "-m", "pip", *words, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        raise AssertionError(done.stdout)
