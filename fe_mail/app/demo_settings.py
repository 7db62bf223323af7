"""The fixed facts of demo mode: names, accounts, and the ports that the table of edges wishes."""

import socket
from pathlib import Path

from fe_mail.app.edge_table import edges

__all__ = [
    "ACCOUNTS_NAME",
    "ADMIN_EMAIL",
    "DEMO_ALIASES",
    "DEMO_DIRECTORY",
    "DEMO_DOMAIN",
    "demo_environment",
]

DEMO_DOMAIN = "demo.test"
DEMO_DIRECTORY = Path("var/demo")
ACCOUNTS_NAME = "accounts.json"  # keeps the passwords between runs
ADMIN_EMAIL = "admin@demo.test"
DEMO_ALIASES = ("alice", "bob")


def demo_environment() -> dict[str, str]:
    """The variables of demo mode; a port that is taken is replaced by a free one."""
    taken: set[int] = set()
    values = {
        "DOMAIN": DEMO_DOMAIN,
        "HTTP_PROTOCOL": "http",
        "AUTH_BASIC_ENABLED": "false",
        "WEBHOOK_NETWORKS": "127.0.0.0/8, ::1",
    }
    for edge in edges():
        port = _free_port(edge.demo_port, taken) if edge.demo_port else 0
        taken.add(port)
        values[edge.port_variable] = str(port)
        if port and edge.takes_endpoints:
            values[edge.listen_variable] = f"tcp:{port}:interface=127.0.0.1"
    values["WEB_URL"] = f"http://127.0.0.1:{values['WEB_PORT']}"
    values["API_URL"] = f"http://127.0.0.1:{values['API_PORT']}"
    return values


def _free_port(wish: int, taken: set[int]) -> int:
    for candidate in (wish, *[0] * len(edges())):  # 0: any; it may give one of ours again
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", candidate))
            except OSError:
                continue
            port = int(probe.getsockname()[1])
            if port not in taken:
                return port
    raise OSError("no free port on 127.0.0.1")
