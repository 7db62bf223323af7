"""
The one table of roles and of their listeners.

A process is a list of roles; a role brings listeners, or works behind them. Whatever there is of a
listener elsewhere derives from its row: variables, ``conf/env.example``, the choices of ``--role``,
the plugins of twistd, socket units, the ports and ``demo.json`` of demo mode, what the web UI tells
people to type into a mail program. A new listener is a row here and its factory in ``edges.py``;
``make docs`` writes the files that follow.

RFC 6409 and RFC 8314 (ports and TLS of submission and access).
"""

from collections.abc import Iterator

import attrs

__all__ = ["METRICS", "TABLE", "ClientRow", "Edge", "Role", "edges", "listeners", "role_names"]


@attrs.frozen
class ClientRow:
    """How a person finds a listener in the settings of a mail program."""

    protocol: str
    host: str  # the attribute of ``Names``
    place: int  # in the order in which people need them


@attrs.frozen(kw_only=True)
class Edge:
    """One listener. ``variable`` is IMAP for IMAP_PORT and IMAP_LISTEN."""

    name: str  # in logs, metrics and socket units
    variable: str
    port: int  # 0: off unless somebody asks for it
    text: str
    is_tls: bool = False  # a connection begins with a handshake
    tls_ports: tuple[int, ...] = ()  # if not empty: on these ports only
    is_loopback: bool = False  # for programs of this machine
    takes_endpoints: bool = True  # *_LISTEN
    demo_port: int = 0
    demo_name: str = ""  # in demo.json
    client: ClientRow | None = None

    @property
    def port_variable(self) -> str:
        """The variable of the port."""
        return f"{self.variable}_PORT"

    @property
    def listen_variable(self) -> str:
        """The variable of the endpoint strings."""
        return f"{self.variable}_LISTEN"

    def begins_with_tls(self, port: int, *, demo: bool = False) -> bool:
        """Does it, on this port?"""
        return self.is_tls and (demo or not self.tls_ports or port in self.tls_ports)


@attrs.frozen
class Role:
    """What a process may do."""

    name: str
    text: str
    edges: tuple[Edge, ...] = ()


# fmt: off
TABLE: tuple[Role, ...] = (
    Role("mx", "inbound mail (SMTP)", (
        Edge(
            name="mx", variable="MX", port=25, text="Inbound SMTP.",
            demo_port=2525, demo_name="mx",
        ),
    )),
    Role("smtp", "submission of outgoing mail", (
        Edge(
            name="smtp", variable="SMTP", port=465,
            text="Submission; implicit TLS on 465 and 2465, else STARTTLS.",
            is_tls=True, tls_ports=(465, 2465), demo_port=2465, demo_name="submissions",
            client=ClientRow("SMTP", "smtp_host", 2),
        ),
        Edge(
            name="submission", variable="SUBMISSION", port=587,
            text="A second submission port, with STARTTLS.",
            demo_port=2587, demo_name="submission", client=ClientRow("SMTP", "smtp_host", 3),
        ),
    )),
    Role("imap", "reading mail with IMAP", (
        Edge(
            name="imaps", variable="IMAP", port=993, text="IMAP with implicit TLS.",
            is_tls=True, demo_port=2993, demo_name="imaps",
            client=ClientRow("IMAP", "imap_host", 1),
        ),
        Edge(
            name="imap", variable="IMAP_STARTTLS", port=0, text="IMAP with STARTTLS (143).",
            demo_port=2143, demo_name="imap",
        ),
    )),
    Role("pop3", "reading mail with POP3", (
        Edge(
            name="pop3s", variable="POP3", port=995, text="POP3 with implicit TLS.",
            is_tls=True, demo_port=2995, demo_name="pop3s",
            client=ClientRow("POP3", "pop3_host", 4),
        ),
        Edge(
            name="pop3", variable="POP3_STLS", port=0, text="POP3 with STLS (110).",
            demo_port=2110, demo_name="pop3",
        ),
    )),
    Role("web", "the web UI", (
        Edge(
            name="https", variable="WEB_HTTPS", port=443,
            text="Web UI and API with TLS, told apart by host name.", is_tls=True,
        ),
        Edge(
            name="web", variable="WEB", port=3000,
            text="Web UI in plain HTTP on loopback, for a reverse proxy.",
            is_loopback=True, demo_port=3000,
        ),
    )),
    Role("api", "the REST API", (
        Edge(
            name="api", variable="API", port=4000,
            text="REST API in plain HTTP on loopback, for a reverse proxy.",
            is_loopback=True, demo_port=4000,
        ),
    )),
    Role("smtp-bree", "delivery of queued mail"),
    Role("bree", "background jobs"),
)
# Every process has it, whatever its roles.
METRICS = Edge(
    name="metrics", variable="METRICS", port=9187, text="/metrics and /health on loopback.",
    is_loopback=True, takes_endpoints=False, demo_port=9187,
)
# fmt: on


def role_names() -> tuple[str, ...]:
    """Every role."""
    return tuple(role.name for role in TABLE)


def listeners() -> Iterator[tuple[Role, Edge]]:
    """Every listener that belongs to a role, with that role."""
    return ((role, edge) for role in TABLE for edge in role.edges)


def edges() -> tuple[Edge, ...]:
    """Every listener."""
    return (*(edge for _, edge in listeners()), METRICS)
