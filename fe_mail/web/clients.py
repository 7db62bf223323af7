"""What a person types into a mail program: hosts and ports, as the operator set them up."""

import attrs

__all__ = ["ClientSettings", "Server"]


@attrs.frozen
class Server:
    """Where a protocol is spoken. ``security`` is ``TLS`` or ``STARTTLS``."""

    host: str
    port: int
    security: str = "TLS"


@attrs.frozen(kw_only=True)
class ClientSettings:
    """The servers that a generated password opens; None where one is not offered."""

    imap: Server | None = None
    pop3: Server | None = None
    smtp: Server | None = None
    smtp_starttls: Server | None = None

    @property
    def rows(self) -> tuple[tuple[str, Server], ...]:
        """Protocol and server, in the order in which people need them."""
        named = (
            ("IMAP", self.imap),
            ("SMTP", self.smtp),
            ("SMTP", self.smtp_starttls),
            ("POP3", self.pop3),
        )
        return tuple((name, server) for name, server in named if server is not None)
