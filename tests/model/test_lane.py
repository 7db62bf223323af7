"""Tests of fe_mail.model.lane: which line a delivery stands in, and whose it is."""

from twisted.trial.unittest import SynchronousTestCase

from fe_mail.model.lane import kind_of, lane_of, owner_of, source_of
from fe_mail.model.queue import QueuedDelivery, QueuedMessage, Target

LOCAL = Target(courier="local", address="a@b.test", alias_id="7")
REMOTE = Target(courier="remote", address="a@B.test")
FORWARD = Target(courier="forward", address='"x@y"@b.test')
WEBHOOK = Target(courier="webhook", address="https://Hook.test/a?b", alias_id="7")


class LaneTests(SynchronousTestCase):
    """Kind, lane, owner."""

    def owner(self, target: Target, **more: str) -> str:
        """Of a delivery to this target."""
        message = QueuedMessage(
            **{  # type: ignore[arg-type]
                "id": "m",
                "size_octets": 1,
                "reverse_path": "s@x.test",
                "created_at": 1.0,
                "source": "mx",
                **more,
            }
        )
        delivery = QueuedDelivery(
            message_id="m", number=1, recipient='"odd@x"@Hosted.test', target=target
        )
        return owner_of(message, delivery)

    def test_kinds(self) -> None:
        """Everything that speaks SMTP shares its places."""
        kinds = [kind_of(target) for target in (LOCAL, REMOTE, FORWARD, WEBHOOK)]
        self.assertEqual(kinds, ["local", "smtp", "smtp", "webhook"])

    def test_lanes(self) -> None:
        """A mailbox, a domain, a web host."""
        lanes = [lane_of(target) for target in (LOCAL, REMOTE, FORWARD, WEBHOOK)]
        self.assertEqual(lanes, ["local:7", "smtp:b.test", "smtp:b.test", "webhook:hook.test"])

    def test_owners(self) -> None:
        """The alias that sent it, the hosted domain that it is forwarded for, we ourselves."""
        self.assertEqual(self.owner(REMOTE, source="submission", alias_id="9"), "submission:9")
        self.assertEqual(self.owner(FORWARD), "mx:hosted.test")
        self.assertEqual(self.owner(WEBHOOK), "mx:hosted.test")
        self.assertEqual(self.owner(REMOTE, source="bounce"), "bounce:")
        self.assertEqual(self.owner(REMOTE, source="system"), "system:")
        for source in ("mx", "submission", "bounce"):
            self.assertEqual(self.owner(LOCAL, source=source), "", "nobody waits for our disk")

    def test_sources(self) -> None:
        """An owner says how its mail came."""
        self.assertEqual(source_of("submission:9"), "submission")
        self.assertEqual(source_of("bounce:"), "bounce")
