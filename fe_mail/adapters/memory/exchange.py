"""
An ``Exchange`` without a network: the specification of the port, for the tests of the couriers.

A host is known by its addresses; what it answers to a recipient is in ``answers``. Everything
that was handed over is kept.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence

import attrs

from fe_mail.model.errors import Unavailable
from fe_mail.model.outbound import Attempt, RemoteReply, Stage, Transmission
from fe_mail.ports import BlobReader

__all__ = ["ACCEPTED", "Handed", "MemoryExchange"]

ACCEPTED = RemoteReply(code=250, enhanced="2.0.0", text="Taken", stage=Stage.CONTENT)


@attrs.frozen(kw_only=True)
class Handed:
    """A message as a host got it."""

    host: str
    ip: str
    port: int
    attempt: Attempt
    content: bytes


class MemoryExchange:
    """
    ``addresses`` are those where somebody answers; ``answers`` maps recipients, or hosts for a
    session that is refused, to replies.
    """

    def __init__(
        self, addresses: Collection[str], answers: Mapping[str, RemoteReply] | None = None
    ) -> None:
        self.addresses = set(addresses)
        self.answers = dict(answers or {})
        self.handed: list[Handed] = []
        self.tried: list[tuple[str, tuple[str, ...]]] = []

    async def transmit(
        self,
        host: str,
        addresses: Sequence[str],
        port: int,
        attempt: Attempt,
        content: Callable[[], Awaitable[BlobReader]],
    ) -> Transmission:
        """Hand over to the first address where somebody answers."""
        self.tried.append((host, tuple(addresses)))
        ip = next((ip for ip in addresses if ip in self.addresses), None)
        if ip is None:
            raise Unavailable("No host answers.")
        if host in self.answers:
            replies = tuple(self.answers[host] for _ in attempt.recipients)
            return Transmission(replies=replies, host=host, ip=ip)
        replies = tuple(self.answers.get(one.address, ACCEPTED) for one in attempt.recipients)
        if any(reply.is_positive for reply in replies):
            octets = attempt.prefix + await _whole(await content())
            self.handed.append(Handed(host=host, ip=ip, port=port, attempt=attempt, content=octets))
        return Transmission(replies=replies, host=host, ip=ip)


async def _whole(reader: BlobReader) -> bytes:
    parts = []
    try:
        while part := await reader.read(65_536):
            parts.append(part)
    finally:
        await reader.close()
    return b"".join(parts)
