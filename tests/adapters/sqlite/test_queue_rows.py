"""What the rules decided survives the queue, and a file of version 1 has none of it."""

from pathlib import Path

import attrs

from fe_mail.adapters.sqlite.queue import SQLiteQueue
from fe_mail.adapters.sqlite.schema import SCHEMA_DIRECTORY, open_connection
from fe_mail.adapters.threads import InlineThreads
from fe_mail.model.queue import Handling, QueueFilter, Target
from tests.queue.base import PostOfficeTestCase

HANDLING = Handling(folder="Junk", keywords=("$Junk",), fields=("X-Spam: y\u00e9s", "X-Why: no"))
V1_MESSAGE = """
    INSERT INTO messages VALUES (1, 'm1', 'blob-m1', 1234, 'sender@example.org', 100.0, 'mx', '',
        '', '', '', 0, 0, 0, '', '{}')
"""
V1_DELIVERY = """
    INSERT INTO deliveries (message, number, recipient, courier, address, target_alias_id, state,
        hold_reason, attempts, next_attempt_at, notify, original_recipient, last_status,
        last_attempt_at, delayed_notice_at)
    VALUES (1, 1, 'a@example.com', 'remote', 'a@example.com', '', 'waiting', '', 0, 100.0, '[]', '',
        '', 0, 0)
"""


class RowTests(PostOfficeTestCase):
    """Through the real store."""

    def test_handling_and_proof(self) -> None:
        """As they were put in, whoever asks: a list, a claim."""
        target = Target(courier="remote", address="a@far.test")
        for handling, is_proven in ((HANDLING, True), (Handling(), False)):
            message = self.message(is_sender_proven=is_proven, source="mx")
            acceptance = self.acceptance(message, target, handling=handling)
            self.now(self.queue.accept(acceptance))
            (entry,) = self.now(self.queue.find(QueueFilter(message_id=message.id)))
            claim = self.claim()
            for found in (entry, attrs.evolve(entry, deliveries=claim.deliveries)):
                self.assertEqual(found.deliveries[0].handling, handling)
            for said in (entry.message, claim.message):
                self.assertIs(said.is_sender_proven, is_proven)

    def test_upgrade(self) -> None:
        """A message of version 1 has an unproven sender, and no rule said anything of it."""
        path = Path(self.mktemp()) / "queue.sqlite"
        connection = open_connection(path)
        connection.execute((SCHEMA_DIRECTORY / "queue-v1.sql").read_text())
        connection.execute("CREATE TABLE version (version INTEGER NOT NULL)")
        connection.execute("INSERT INTO version VALUES (1)")
        connection.execute(V1_MESSAGE + ";" + V1_DELIVERY)
        connection.close()
        queue = SQLiteQueue(path, InlineThreads(), self.blobs, steady=self.clock.seconds)
        self.now(queue.start())
        self.addCleanup(lambda: self.now(queue.stop()))
        (entry,) = self.now(queue.find(QueueFilter()))
        self.assertIs(entry.message.is_sender_proven, False)
        self.assertEqual(entry.deliveries[0].handling, Handling())
