"""What every ``Exchange`` promises; asynchronous, since one adapter uses real sockets."""

from typing import Any

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.trial.unittest import TestCase

from fe_mail.adapters.memory.blobs import MemoryBlobs
from fe_mail.model.errors import Unavailable
from fe_mail.model.outbound import Attempt, OutboundRecipient, Stage, Transmission
from fe_mail.ports import BlobReader, Exchange

__all__ = ["CONTENT", "ExchangeCase", "ExchangeContract"]

CONTENT = b"From: a@here.test\r\nSubject: dots\r\n\r\n.\r\n..\r\nend\r\n"


class ExchangeCase(TestCase):
    """
    ``exchange()`` gives an adapter, ``where`` (host, addresses, port) somebody who takes mail for
    everybody but ``gone@there.test`` (550 5.1.1), ``nowhere`` an address where nobody listens.
    """

    where: tuple[str, list[str], int]
    nowhere: str

    def exchange(self) -> Exchange:
        """The adapter under test."""
        raise NotImplementedError("the subclass says which")

    def received(self) -> list[tuple[str, list[str], bytes]]:
        """(reverse-path, recipients, content) of what arrived."""
        raise NotImplementedError("the subclass says which")

    async def opened(self, content: bytes = CONTENT) -> BlobReader:
        """The content."""
        self.opens = getattr(self, "opens", 0) + 1
        blobs = MemoryBlobs()
        writer = blobs.create(0.0)
        await writer.write(content)
        return await blobs.open(await writer.commit())

    def attempt(self, *recipients: str, **more: Any) -> Attempt:
        """A transaction."""
        return Attempt(
            **{
                "reverse_path": "a@here.test",
                "recipients": tuple(OutboundRecipient(address=one) for one in recipients),
                "size_octets": len(CONTENT),
                **more,
            }
        )

    async def transmit(
        self, *recipients: str, content: bytes = CONTENT, **more: Any
    ) -> Transmission:
        """Hand over."""
        host, addresses, port = self.where
        return await self.exchange().transmit(
            host, addresses, port, self.attempt(*recipients, **more), lambda: self.opened(content)
        )


class ExchangeContract:
    """The promises; mix in before ``ExchangeCase``."""

    def test_taken(self: Any) -> "Deferred[None]":
        """The content arrives byte for byte, dots and all."""

        async def scenario() -> None:
            transmission = await self.transmit("b@there.test")
            (reply,) = transmission.replies
            self.assertTrue(reply.is_positive)
            self.assertIs(reply.stage, Stage.CONTENT)
            self.assertEqual(transmission.host, self.where[0])
            self.assertIn(transmission.ip, self.where[1])
            (message,) = self.received()
            self.assertEqual(message, ("a@here.test", ["b@there.test"], CONTENT))

        return ensureDeferred(scenario())

    def test_big(self: Any) -> "Deferred[None]":
        """So does a content of several chunks."""
        content = b"X: y\r\n\r\n" + b".line of text\r\n" * 50_000

        async def scenario() -> None:
            await self.transmit("b@there.test", content=content, size_octets=len(content))
            (message,) = self.received()
            self.assertEqual(message[2], content)

        return ensureDeferred(scenario())

    def test_per_recipient(self: Any) -> "Deferred[None]":
        """Every recipient has its own answer, in order."""

        async def scenario() -> None:
            transmission = await self.transmit("gone@there.test", "b@there.test")
            gone, taken = transmission.replies
            self.assertEqual((gone.code, gone.enhanced), (550, "5.1.1"))
            self.assertTrue(taken.is_positive)
            self.assertFalse(transmission.is_session_refused)
            (message,) = self.received()
            self.assertEqual(message[1], ["b@there.test"])

        return ensureDeferred(scenario())

    def test_all_refused(self: Any) -> "Deferred[None]":
        """Without a recipient no message arrives."""

        async def scenario() -> None:
            transmission = await self.transmit("gone@there.test")
            self.assertEqual(transmission.replies[0].code, 550)
            self.assertEqual(self.received(), [])

        return ensureDeferred(scenario())

    def test_null_sender(self: Any) -> "Deferred[None]":
        """A report has no reverse-path."""

        async def scenario() -> None:
            await self.transmit("b@there.test", reverse_path="")
            self.assertEqual(self.received()[0][0], "")

        return ensureDeferred(scenario())

    def test_prefix(self: Any) -> "Deferred[None]":
        """Trace fields stand before the content."""

        async def scenario() -> None:
            await self.transmit("b@there.test", prefix=b"X-Trace: 1\r\n")
            self.assertEqual(self.received()[0][2], b"X-Trace: 1\r\n" + CONTENT)

        return ensureDeferred(scenario())

    def test_nobody(self: Any) -> "Deferred[None]":
        """Where nobody listens: Unavailable, and the content was not even opened."""

        async def scenario() -> None:
            host, _, port = self.where
            work = self.exchange().transmit(
                host, [self.nowhere], port, self.attempt("b@there.test"), self.opened
            )
            with self.assertRaises(Unavailable):
                await work
            self.assertEqual(getattr(self, "opens", 0), 0)

        return ensureDeferred(scenario())

    def test_next_address(self: Any) -> "Deferred[None]":
        """An address where nobody listens is passed over."""

        async def scenario() -> None:
            host, addresses, port = self.where
            self.where = (host, [self.nowhere, *addresses], port)
            transmission = await self.transmit("b@there.test")
            self.assertEqual(transmission.ip, addresses[0])

        return ensureDeferred(scenario())
