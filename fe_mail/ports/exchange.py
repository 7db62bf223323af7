"""SMTP as a client."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from fe_mail.model.outbound import Attempt, Transmission
from fe_mail.ports.blobs import BlobReader

__all__ = ["Exchange"]


class Exchange(Protocol):
    """SMTP as a client: hand one message to one host."""

    async def transmit(
        self,
        host: str,
        addresses: Sequence[str],
        port: int,
        attempt: Attempt,
        content: Callable[[], Awaitable[BlobReader]],
    ) -> Transmission:
        """
        Connect to the first of ``addresses`` (IP, the host's own) that answers and speak.

        ``content`` opens the message and may be called again, for a second try without TLS.
        Whatever the host answers is a value. A host that does not take octets beyond ASCII gets
        none; the reply is then 5.6.3, or 5.6.7 for addresses and headers. ``Unavailable``: no host
        answered, or the connection broke before the end of the content was sent, so that trying
        elsewhere sends no second copy.
        """
