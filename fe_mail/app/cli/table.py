"""All commands of ``fe-mail``, in the order in which they are shown."""

from fe_mail.app.cli import aliases, domains, logs, queue, routes, stores, users
from fe_mail.app.cli.command import Command, Printout
from fe_mail.app.config import example
from fe_mail.app.routes_page import routes_page
from fe_mail.app.variables_page import variables_page

__all__ = ["AREAS", "COMMANDS"]

# What the first word of several commands stands for.
AREAS = {
    "user": "people who sign in to the web UI",
    "domain": "mail domains",
    "alias": "addresses of a domain",
    "queue": "mail on its way",
}

_PRINTOUTS = (
    Printout(words="env-example", text="print an example of .env", page=example),
    Printout(words="variables", text="print what each variable of .env means", page=variables_page),
    Printout(words="routes", text="print the routes of the web UI and the API", page=routes_page),
)

COMMANDS: tuple[Command | Printout, ...] = (
    *users.COMMANDS,
    *domains.COMMANDS,
    *aliases.COMMANDS,
    *routes.COMMANDS,
    *queue.COMMANDS,
    *logs.COMMANDS,
    *stores.COMMANDS,
    *_PRINTOUTS,
)
