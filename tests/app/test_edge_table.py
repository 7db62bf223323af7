"""The table of edges: what derives from it, and that one row is all that a listener needs."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from fe_mail.app.edge_table import edges, listeners, role_names
from fe_mail.app.edges import MAKERS
from fe_mail.app.variables import Names

ROOT = Path(__file__).resolve().parents[2]


class TableTests(SynchronousTestCase):
    """The rows that there are."""

    def test_names_are_unique(self) -> None:
        """Of roles, of listeners, of variables, in demo.json, and of ports."""
        rows = edges()
        for found in (
            list(role_names()),
            [edge.name for edge in rows],
            [edge.variable for edge in rows],
            [edge.demo_name for edge in rows if edge.demo_name],
            [edge.port for edge in rows if edge.port],
            [edge.demo_port for edge in rows if edge.demo_port],
            [edge.client.place for edge in rows if edge.client],
        ):
            self.assertEqual(len(found), len(set(found)), found)

    def test_every_role_with_listeners_has_a_maker(self) -> None:
        """And no maker is left over."""
        self.assertEqual(set(MAKERS), {role.name for role, _ in listeners()})

    def test_hosts_exist(self) -> None:
        """What people are told is a variable."""
        for edge in edges():
            if edge.client is not None:
                self.assertIn(edge.client.host, Names.__annotations__)

    def test_tls_by_port(self) -> None:
        """Submission begins with TLS on 465, with STARTTLS elsewhere; the demo's may be any."""
        smtp, imaps, imap = (
            next(edge for edge in edges() if edge.name == name)
            for name in ("smtp", "imaps", "imap")
        )
        self.assertTrue(smtp.begins_with_tls(465))
        self.assertFalse(smtp.begins_with_tls(587))
        self.assertTrue(smtp.begins_with_tls(40000, demo=True))
        self.assertTrue(imaps.begins_with_tls(40000))
        self.assertFalse(imap.begins_with_tls(40000, demo=True))


class OneMoreTests(SynchronousTestCase):
    """A program with a made-up row."""

    def test_one_row_is_found_everywhere(self) -> None:
        """Nothing but the row and its factory is needed."""
        done = subprocess.run(
            [sys.executable, "-m", "tests.app.one_more_edge"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        files = found.pop("files")
        self.assertEqual(
            found,
            {
                "port": 4191,
                "listeners": ["metrics", "sieve"],
                "has_factory": True,
                "clients": [
                    ["IMAP", "imap.one.test", 993, "TLS"],
                    ["SMTP", "smtp.one.test", 465, "TLS"],
                    ["SMTP", "smtp.one.test", 587, "STARTTLS"],
                    ["POP3", "pop3.one.test", 995, "TLS"],
                    ["ManageSieve", "imap.one.test", 4191, "STARTTLS"],
                ],
                "help": True,
                "role_help": True,
                "entry": ["managesieve"],
                "demo_port": True,
                "demo_listen": True,
                "demo_name": "sieve",
            },
        )
        self.assertIn("#MANAGESIEVE_PORT=4190", files["conf/env.example"])
        self.assertIn("``MANAGESIEVE_LISTEN``", files["docs/variables.rst"])
        self.assertIn("FileDescriptorName=sieve", files["conf/systemd/fe-mail-sieve.socket"])
        self.assertEqual(
            files["twisted/plugins/fe_mail.py"],
            [
                'fe_mail_managesieve = _maker("fe-mail-managesieve", "managesieve", '
                '"fe-mail: managing filters")'
            ],
        )
