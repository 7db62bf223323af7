"""
The fixed facts of demo mode: names, accounts, and ports.

A demo keeps its ports: a mail program that was set up for one run finds the next at the same
place. The first run takes those that the table of edges wishes, if they are free.
"""

import json
import socket
from collections.abc import Mapping
from pathlib import Path

from fe_mail.app.edge_table import Edge, edges

__all__ = [
    "ACCOUNTS_NAME",
    "ADMIN_EMAIL",
    "DEMO_ALIASES",
    "DEMO_DIRECTORY",
    "DEMO_DOMAIN",
    "PORTS_NAME",
    "demo_environment",
]

DEMO_DOMAIN = "demo.test"
DEMO_DIRECTORY = Path("var/demo")
ACCOUNTS_NAME = "accounts.json"  # keeps the passwords between runs
PORTS_NAME = "ports.json"  # and this the ports
ANOTHER_DEMO = 10_000  # is so far away
LAST_WISH = 32_768
ADMIN_EMAIL = "admin@demo.test"
DEMO_ALIASES = ("alice", "bob")


def demo_environment(directory: Path) -> dict[str, str]:
    """The variables of demo mode; a port that somebody else has is replaced by a free one."""
    kept = _kept_ports(directory / PORTS_NAME)
    taken: set[int] = set()
    values = {
        "DOMAIN": DEMO_DOMAIN,
        "HTTP_PROTOCOL": "http",
        "AUTH_BASIC_ENABLED": "false",
        "WEBHOOK_NETWORKS": "127.0.0.0/8, ::1",
    }
    for edge in edges():
        port = _free_port(_wishes(edge, kept), taken) if edge.demo_port else 0
        taken.add(port)
        values[edge.port_variable] = str(port)
        if port and edge.takes_endpoints:
            values[edge.listen_variable] = f"tcp:{port}:interface=127.0.0.1"
    values["WEB_URL"] = f"http://127.0.0.1:{values['WEB_PORT']}"
    values["API_URL"] = f"http://127.0.0.1:{values['API_PORT']}"
    return values


def _wishes(edge: Edge, kept: Mapping[str, int]) -> tuple[int, ...]:
    """Best first; after the kept one none that the system gives to outgoing connections."""
    others = range(edge.demo_port, LAST_WISH, ANOTHER_DEMO)
    return (kept.get(edge.name, edge.demo_port), *others)


def _kept_ports(path: Path) -> Mapping[str, int]:
    """Those of the run before; none if there was none, or somebody has damaged the file."""
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {name: port for name, port in found.items() if type(port) is int and 0 < port < 65_536}


def _free_port(wishes: tuple[int, ...], taken: set[int]) -> int:
    for candidate in (*wishes, *[0] * len(edges())):  # 0: any; it may give one of ours again
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
