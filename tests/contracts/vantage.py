"""What every ``Vantage`` promises; asynchronous, since one adapter uses real sockets."""

from typing import Any

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.trial.unittest import TestCase

from fe_mail.model.errors import Unavailable
from fe_mail.model.network import plain_address
from fe_mail.model.vantage import Whose
from fe_mail.ports import Vantage

__all__ = ["ADDRESSES", "VantageCase", "VantageContract"]

ADDRESSES = ("192.0.2.25", "2001:db8::25")


class VantageCase(TestCase):
    """
    ``vantage()`` gives an adapter that was told ``ADDRESSES``; at ``here`` somebody greets with
    ``220 here.test ESMTP``, at ``nowhere`` nobody does.
    """

    here = "127.0.0.1"
    nowhere = "127.0.0.2"

    def vantage(self) -> Vantage:
        """The adapter under test."""
        raise NotImplementedError("the subclass says which")


class VantageContract:
    """The promises; mix in before ``VantageCase``."""

    def test_addresses(self: Any) -> None:
        """Those that it was told, and no family is hidden of which it knows some."""
        own = self.vantage().addresses()
        self.assertEqual((own.known, own.hidden), (ADDRESSES, ()))
        self.assertEqual(list(own.known), [plain_address(address) for address in own.known])

    def test_whose(self: Any) -> None:
        """However an address is spelled."""
        vantage = self.vantage()
        for address in (*ADDRESSES, "2001:DB8:0:0::25", "::ffff:192.0.2.25"):
            self.assertIs(vantage.whose(address), Whose.OURS, address)
        for address in ("198.51.100.1", "2001:db8::26", "nonsense", ""):
            self.assertIs(vantage.whose(address), Whose.FOREIGN, address)

    def test_greeting(self: Any) -> "Deferred[None]":
        """The first line, or ``Unavailable``."""

        async def scenario() -> None:
            self.assertEqual(await self.vantage().greeting(self.here), "220 here.test ESMTP")
            with self.assertRaises(Unavailable):
                await self.vantage().greeting(self.nowhere)

        return ensureDeferred(scenario())
