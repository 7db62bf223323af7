"""
What twistd's plugins name: ``every_role``, and one entry per role, such as ``smtp_bree``.

``from fe_mail.app.tap import application`` in a ``.tac`` file starts the same tree.
"""

import os

from twisted.application.service import Application, IService, IServiceCollection
from twisted.internet import reactor
from twisted.logger import ILogObserver
from twisted.python.components import Componentized

from fe_mail.app.config import Config, load
from fe_mail.app.edge_table import role_names
from fe_mail.app.log import make_observer
from fe_mail.app.options import Options, find_directory
from fe_mail.app.service import FeMailService
from fe_mail.app.steady import steady

__all__ = ["Entry", "application", "every_role"]


class Entry:
    """A plugin's module: ``Options`` and ``makeService`` for a choice of roles."""

    def __init__(self, roles: tuple[str, ...]) -> None:
        self.Options: type[Options] = type("Options", (Options,), {"roles": roles})

    def makeService(self, options: Options) -> IService:
        """The service tree; it neither connects nor listens yet."""
        return FeMailService(
            steady(reactor),
            options.config,
            options.roles,
            demo=bool(options["demo"]),
            shares_ports=bool(options["share-ports"]),
        )


every_role = Entry(role_names())
globals().update({name.replace("-", "_"): Entry((name,)) for name in role_names()})


def application(
    directory: str | None = None,
    roles: tuple[str, ...] = role_names(),
    environ: dict[str, str] | None = None,
) -> Componentized:
    """The application for a ``.tac`` file. Raises ConfigError for a wrong configuration."""
    environment = dict(os.environ) if environ is None else environ
    config: Config = load(find_directory(directory, environment), environment)
    made: Componentized = Application("fe-mail")
    IServiceCollection(made).addService(FeMailService(steady(reactor), config, roles))
    operation = config.operation
    observer = make_observer(operation.log_level, operation.log_format, None, daemon=False)
    made.setComponent(ILogObserver, observer)
    return made
