"""Tests of fe_mail.app.demo_settings: a demo finds its ports again."""

import json
import socket
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from fe_mail.app.demo_settings import PORTS_NAME, demo_environment
from fe_mail.app.edge_table import edges


class PortTests(SynchronousTestCase):
    """Which ports a run takes."""

    def setUp(self) -> None:
        """A directory of a demo, and ports that are free now."""
        self.directory = Path(self.mktemp())
        self.directory.mkdir()
        self.holders = {edge.name: self.hold() for edge in edges() if edge.demo_port}
        self.kept = {name: holder.getsockname()[1] for name, holder in self.holders.items()}
        for holder in self.holders.values():
            holder.close()

    def hold(self) -> socket.socket:
        """Somebody who has a port."""
        holder = socket.socket()
        self.addCleanup(holder.close)
        holder.bind(("127.0.0.1", 0))
        return holder

    def keep(self, text: str) -> None:
        """What the run before has left."""
        (self.directory / PORTS_NAME).write_text(text)

    def taken(self) -> dict[str, int]:
        """The ports of a new run."""
        values = demo_environment(self.directory)
        return {edge.name: int(values[edge.port_variable]) for edge in edges() if edge.demo_port}

    def test_kept(self) -> None:
        """The ports of the run before, and the addresses made of them."""
        self.keep(json.dumps(self.kept))
        self.assertEqual(self.kept, self.taken())
        values = demo_environment(self.directory)
        self.assertEqual(f"http://127.0.0.1:{self.kept['web']}", values["WEB_URL"])

    def test_somebody_elses(self) -> None:
        """A port that was taken meanwhile is replaced; the others stay."""
        self.keep(json.dumps(self.kept))
        holder = socket.socket()
        self.addCleanup(holder.close)
        holder.bind(("127.0.0.1", self.kept["web"]))
        holder.listen()
        taken = self.taken()
        self.assertNotEqual(self.kept["web"], taken["web"])
        self.assertEqual({**self.kept, "web": 0}, {**taken, "web": 0})

    def test_damaged(self) -> None:
        """A file that says nothing is as none, and no port is given twice."""
        for text in ("", "{", "[]", '{"web": "x", "api": -1, "mx": 99999, "imap": true}', "7"):
            self.keep(text)
            taken = self.taken()
            self.assertEqual(len(taken), len(set(taken.values())), text)
            self.assertTrue(all(0 < port < 65_536 for port in taken.values()), text)
        self.keep(json.dumps(dict.fromkeys(self.kept, self.kept["web"])))
        taken = self.taken()
        self.assertEqual(len(taken), len(set(taken.values())))
