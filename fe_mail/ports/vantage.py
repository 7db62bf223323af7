"""What this server can see of itself."""

from typing import Protocol

from fe_mail.model.vantage import OwnAddresses, Whose

__all__ = ["Vantage"]


class Vantage(Protocol):
    """This server's place in the network, seen from inside."""

    def addresses(self) -> OwnAddresses:
        """Those that mail is sent from now. Never a guess."""

    def whose(self, address: str) -> Whose:
        """Ours too: one that an interface of this host has, though no mail is sent from it."""

    async def greeting(self, address: str) -> str:
        """
        The first line of whoever answers at port 25 of ``address``, printable and short.

        ``Unavailable``: nobody answered in time, which says little: a connection to one's own
        outer address often does not get through a translation of addresses.
        """
