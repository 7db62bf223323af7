"""DNS."""

from typing import Protocol

from fe_mail.model.dns import MX, Answer

__all__ = ["Resolver"]


class Resolver(Protocol):
    """DNS through a recursive resolver. ``Unavailable`` for SERVFAIL, timeout, nonsense."""

    async def mx(self, name: str) -> Answer[MX]:
        """MX records sorted by preference."""

    async def addresses(self, name: str) -> Answer[str]:
        """A and AAAA as text, IPv6 and IPv4 as the host prefers."""

    async def txt(self, name: str) -> Answer[str]:
        """TXT records, their strings joined (RFC 7208 §3.3)."""

    async def cname(self, name: str) -> Answer[str]:
        """The canonical name."""

    async def ptr(self, ip: str) -> Answer[str]:
        """Reverse names."""

    async def ns(self, name: str) -> Answer[str]:
        """Name servers."""
