"""
What an SMTP listener asks of the inside: one interface for the MX and for submission.

The edge owns the dialogue; a ``Reception`` decides and makes durable.
"""

from typing import Protocol

from fe_mail.model.address import Address
from fe_mail.model.envelope import Envelope, Peer
from fe_mail.model.identity import Identity
from fe_mail.model.status import Status

__all__ = ["Reception", "Spooling"]


class Spooling(Protocol):
    """One message being received."""

    async def write(self, data: bytes) -> None:
        """More octets of the message, CRLF line ends, dots unstuffed."""

    async def finish(self) -> Status:
        """End of data. 250 only when envelope and body are durable; never raises."""

    async def abort(self) -> None:
        """The connection or the transaction ended early: forget it. Never raises."""


class Reception(Protocol):
    """Decides about connections, senders, recipients and messages."""

    async def connected(self, peer: Peer) -> Status | None:
        """May this peer speak at all?"""

    async def patience(self, peer: Peer) -> float | None:
        """For how long to hold the greeting back; None: who speaks first may do so."""

    async def sender(
        self, peer: Peer, identity: Identity | None, reverse_path: Address | None
    ) -> Status | None:
        """MAIL FROM."""

    async def recipient(
        self,
        peer: Peer,
        identity: Identity | None,
        reverse_path: Address | None,
        recipient: Address,
        size_octets: int = 0,
    ) -> Status | None:
        """
        RCPT TO. ``identity`` is set after AUTH (submission); ``size_octets`` is what the message
        has by MAIL FROM, 0 if that did not say.
        """

    def begin(self, envelope: Envelope, identity: Identity | None) -> Spooling:
        """DATA or the first BDAT."""
