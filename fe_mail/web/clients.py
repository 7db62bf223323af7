"""What a person types into a mail program: hosts and ports, as the operator set them up."""

import attrs

__all__ = ["ClientSettings", "Server"]


@attrs.frozen
class Server:
    """Where a protocol is spoken. ``security`` is ``TLS`` or ``STARTTLS``."""

    host: str
    port: int
    security: str = "TLS"


@attrs.frozen
class ClientSettings:
    """
    The servers that a generated password opens: protocol and server, in the order in which people
    need them.
    """

    rows: tuple[tuple[str, Server], ...] = ()
