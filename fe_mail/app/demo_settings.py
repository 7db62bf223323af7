"""The fixed facts of demo mode: names, ports, accounts."""

import socket
from pathlib import Path

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

# The variable of each listener and the port that it would like.
_PORTS = {
    "MX_PORT": 2525,
    "SMTP_PORT": 2465,
    "SUBMISSION_PORT": 2587,
    "IMAP_PORT": 2993,
    "IMAP_STARTTLS_PORT": 2143,
    "POP3_PORT": 2995,
    "POP3_STLS_PORT": 2110,
    "WEB_PORT": 3000,
    "API_PORT": 4000,
    "METRICS_PORT": 9187,
}


def demo_environment() -> dict[str, str]:
    """The variables of demo mode; a port that is taken is replaced by a free one."""
    taken: set[int] = set()
    values = {
        "DOMAIN": DEMO_DOMAIN,
        "WEB_HTTPS_PORT": "0",
        "HTTP_PROTOCOL": "http",
        "AUTH_BASIC_ENABLED": "false",
    }
    for name, wish in _PORTS.items():
        port = _free_port(wish, taken)
        taken.add(port)
        values[name] = str(port)
        listen = name.removesuffix("_PORT") + "_LISTEN"
        if name != "METRICS_PORT":
            values[listen] = f"tcp:{port}:interface=127.0.0.1"
    values["WEB_URL"] = f"http://127.0.0.1:{values['WEB_PORT']}"
    values["API_URL"] = f"http://127.0.0.1:{values['API_PORT']}"
    return values


def _free_port(wish: int, taken: set[int]) -> int:
    for candidate in (wish, *[0] * len(_PORTS)):  # 0: any; it may give one of ours again
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
