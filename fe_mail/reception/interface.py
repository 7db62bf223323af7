"""
What an SMTP listener asks of the inside: one interface for the MX and for submission.

The edge owns the dialogue; a ``Reception`` decides and makes durable.
"""

from typing import Protocol

import attrs

from fe_mail.model.address import Address
from fe_mail.model.envelope import Envelope, Peer
from fe_mail.model.identity import Identity
from fe_mail.model.route import Refusal

__all__ = ["Reception", "Reply", "Spooling"]


@attrs.frozen(kw_only=True)
class Reply:
    """The final answer to a message: reply code, enhanced status (RFC 3463), one line."""

    code: int
    enhanced: str
    text: str


class Spooling(Protocol):
    """One message being received."""

    async def write(self, data: bytes) -> None:
        """More octets of the message, CRLF line ends, dots unstuffed."""

    async def finish(self) -> Reply:
        """End of data. 250 only when envelope and body are durable; never raises."""

    async def abort(self) -> None:
        """The connection or the transaction ended early: forget it. Never raises."""


class Reception(Protocol):
    """Decides about connections, senders, recipients and messages."""

    async def connected(self, peer: Peer) -> Refusal | None:
        """May this peer speak at all?"""

    async def sender(
        self, peer: Peer, identity: Identity | None, reverse_path: Address | None
    ) -> Refusal | None:
        """MAIL FROM."""

    async def recipient(
        self,
        peer: Peer,
        identity: Identity | None,
        reverse_path: Address | None,
        recipient: Address,
    ) -> Refusal | None:
        """RCPT TO. ``identity`` is set after AUTH (submission)."""

    def begin(self, envelope: Envelope, identity: Identity | None) -> Spooling:
        """DATA or the first BDAT."""
