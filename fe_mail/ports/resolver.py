"""DNS."""

from typing import Protocol, TypeVar

from fe_mail.model.dns import Answer, Record

__all__ = ["Resolver"]

R = TypeVar("R", bound=Record)


class Resolver(Protocol):
    """DNS through a recursive resolver."""

    async def query(self, name: str, kind: type[R]) -> Answer[R]:
        """
        The records of a name: ``query("example.org", MX)``.

        CNAMEs are followed, MX and SRV sorted by preference, a name that cannot be one does not
        exist. ``HostAddress`` asks for A and AAAA, the family first that the host prefers.
        ``Unavailable`` for SERVFAIL, a timeout and nonsense; also when one family of addresses
        fails and the other has none, for then nobody knows whether there are any.

        Equal questions that meet are asked once. To cancel ends the wait at once, of the caller
        alone.
        """
