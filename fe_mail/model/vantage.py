"""
Which addresses of the Internet are this server's, as far as anybody here can know.

A family of addresses is known when the operator named some of it, or when an interface has one
that is public. Behind a translation of addresses (NAT) nothing here shows the one that the world
sees, so whether an address of that family is ours cannot be told, and never is guessed.
"""

import enum
from collections.abc import Iterable

import attrs

from fe_mail.model.network import parse_ip

__all__ = ["OwnAddresses", "Whose", "versions"]


class Whose(enum.Enum):
    """Whose an address is."""

    OURS = "ours"
    FOREIGN = "foreign"
    UNKNOWN = "unknown"


@attrs.frozen(kw_only=True)
class OwnAddresses:
    """
    ``known`` are the addresses that mail is sent from, in their usual spelling. ``hidden`` are the
    families (4, 6) that this server uses too, behind an address that it does not know.
    """

    known: tuple[str, ...] = ()
    hidden: tuple[int, ...] = ()

    def whose(self, address: str) -> Whose:
        """By what is known alone."""
        ip = parse_ip(address)
        if ip is None:
            return Whose.FOREIGN
        if str(ip) in self.known:
            return Whose.OURS
        return Whose.FOREIGN if ip.version in versions(self.known) else Whose.UNKNOWN


def versions(addresses: Iterable[str]) -> set[int]:
    """The families of addresses."""
    return {ip.version for ip in map(parse_ip, addresses) if ip is not None}
