"""A program for ``test_edge_table``: a row more in the table, and where it is found afterwards."""

import json
import tempfile
from pathlib import Path
from typing import Any

from fe_mail.app import edge_table
from fe_mail.app.edge_table import ClientRow, Edge, Role

# Before anything is imported that derives from the table.
edge_table.TABLE = (
    *edge_table.TABLE,
    Role(
        "managesieve",
        "managing filters",
        (
            Edge(
                name="sieve",
                variable="MANAGESIEVE",
                port=4190,
                text="ManageSieve with STARTTLS.",
                demo_port=24190,
                demo_name="sieve",
                client=ClientRow("ManageSieve", "imap_host", 5),
            ),
        ),
    ),
)


def main() -> None:
    """Print what was found."""
    from twisted.internet import reactor
    from twisted.internet.protocol import Factory

    from fe_mail.app import demo, tap
    from fe_mail.app.config import describe, load
    from fe_mail.app.demo_settings import demo_environment
    from fe_mail.app.edges import MAKERS
    from fe_mail.app.options import Options
    from fe_mail.app.reference import generated
    from fe_mail.app.service import FeMailService

    factory = Factory()
    MAKERS["managesieve"] = lambda edges: {"sieve": factory}
    config = load(Path(tempfile.mkdtemp()), {"DOMAIN": "one.test", "MANAGESIEVE_PORT": "4191"})
    service = FeMailService(reactor, config, ("managesieve",))
    maker: Any = vars(tap)["managesieve"]
    found = {
        "port": config.listen.port("sieve"),
        "listeners": sorted(service.listeners),
        "has_factory": service.edges.factories == {"sieve": factory},
        "clients": [
            [protocol, server.host, server.port, server.security]
            for protocol, server in service.edges.client_settings().rows
        ],
        "help": "MANAGESIEVE_LISTEN" in describe(),
        "role_help": "managesieve" in Options().getUsage(),
        "entry": maker.Options.roles,
        "demo_port": "MANAGESIEVE_PORT" in demo_environment(Path("nowhere")),
        "demo_listen": "MANAGESIEVE_LISTEN" in demo_environment(Path("nowhere")),
        "demo_name": demo.LISTENERS["sieve"],
        "files": {
            name: [line for line in text.splitlines() if "sieve" in line.lower()]
            for name, text in generated().items()
        },
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
