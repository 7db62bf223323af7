"""
Who may import whom: the table of docs/architecture.rst, enforced.

Every module of fe_mail is parsed, not run. An import that the table forbids is named with its
file and line. Imports inside functions and under ``TYPE_CHECKING`` count like any other: they
couple all the same. The second half of this file proves that violations are found.
"""

import ast
import sys
from collections.abc import Collection, Iterator
from pathlib import Path

import attrs
from twisted.trial.unittest import SynchronousTestCase

ROOT = Path(__file__).resolve().parent.parent
STDLIB = frozenset(sys.stdlib_module_names)

VALUES = frozenset({"model", "ports", "budget"})
PURE = frozenset({"message", "sieve"})
RULES = frozenset({"mailauth", "policy"})
SERVICES = frozenset(
    {
        *("accounts", "mailboxes", "groupware", "reception", "queue", "delivery", "jobs"),
        *("waiting", "errands"),
    }
)
# Mail goes one way: the edges ask reception, reception hands to the queue, the queue to couriers.
NOT_BACK = {
    "queue": frozenset({"reception"}),
    "delivery": frozenset({"reception", "queue"}),
    "accounts": frozenset({"reception", "queue", "delivery"}),
    "mailboxes": frozenset({"reception", "queue", "delivery"}),
    "waiting": SERVICES,
    "errands": SERVICES,
}
EDGES = frozenset({"smtp", "imap", "pop3", "managesieve", "dav", "api", "web"})
SHARED_EDGE = frozenset({"http"})  # what api, web and dav have in common
LISTENING = frozenset({"connection"})  # what all listeners have in common

# Modules of an edge that are grammars: as pure as level 1, whatever package they live in.
GRAMMARS = frozenset(
    {
        "imap.command",
        "imap.fetch_item",
        "imap.folder_pattern",
        "imap.formatting",
        "imap.framing",
        "imap.header_index",
        "imap.parser",
        "imap.scanner",
        "imap.search_key",
        "imap.sections",
        "imap.utf7",
        "pop3.framing",
        "pop3.replies",
        "smtp.command",
        "smtp.errors",
        "smtp.framing",
        "smtp.wire",
    }
)

# A client speaks the grammar of the server: adapters to remote hosts share the one of SMTP.
# Mailboxes keep what IMAP answers as IMAP writes it, and count what POP3 sends.
GRAMMAR_USERS = {"adapters": frozenset({"smtp", "imap", "pop3"})}

DRIVERS = frozenset(
    {"apsw", "argon2", "boto3", "dns", "sqlite3", "treq", "txmongo", "txredisapi", "txacme"}
)
TWISTED_OF_SERVICES = (
    "twisted.internet.defer",
    "twisted.internet.interfaces",
    "twisted.logger",
)
VALUES_NEED = frozenset({"attr", "attrs", "idna"})


@attrs.frozen(kw_only=True)
class Rule:
    """What the modules of one layer may import."""

    ours: frozenset[str]  # top packages of fe_mail, besides its own
    twisted: tuple[str, ...] | None  # None: all of it
    drivers: bool = False
    klein: bool = False
    only: frozenset[str] | None = None  # third-party packages, None: any that are not named above


UP_TO_2 = VALUES | PURE | RULES
LEVELS: tuple[tuple[frozenset[str], Rule], ...] = (
    (VALUES, Rule(ours=VALUES, twisted=(), only=VALUES_NEED)),
    (PURE, Rule(ours=VALUES | PURE, twisted=())),
    (RULES, Rule(ours=UP_TO_2, twisted=())),
    (SERVICES, Rule(ours=UP_TO_2 | SERVICES, twisted=TWISTED_OF_SERVICES)),
    (frozenset({"adapters"}), Rule(ours=VALUES | PURE, twisted=None, drivers=True)),
    (LISTENING, Rule(ours=VALUES, twisted=None)),
    (SHARED_EDGE, Rule(ours=UP_TO_2 | SERVICES | LISTENING, twisted=None, klein=True)),
    (EDGES, Rule(ours=UP_TO_2 | SERVICES | LISTENING | SHARED_EDGE, twisted=None, klein=True)),
)
GRAMMAR_RULE = Rule(ours=VALUES | PURE, twisted=())


@attrs.frozen
class Import:
    """One imported module and the line that does it."""

    line: int
    name: str


def find_imports(source: str) -> Iterator[Import]:
    """Every import of a source text, wherever it stands; ``from a import b`` is ``a.b``."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (Import(node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            yield from (Import(node.lineno, f"{base}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            name = node.args[0].value if isinstance(node.args[0], ast.Constant) else "*"
            yield Import(node.lineno, str(name))


def find_environment(source: str) -> Iterator[int]:
    """The lines that look at the environment of the process."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and ast.unparse(node) in ("os.environ", "os.getenv"):
            yield node.lineno
        elif isinstance(node, ast.ImportFrom) and node.module == "os":
            yield from [node.lineno for each in node.names if each.name in ("environ", "getenv")]


def rule_of(module: str) -> Rule | None:
    """The rule for ``fe_mail.x.y``; None for app, which may do everything."""
    _, _, inner = module.partition(".")
    if inner in GRAMMARS:
        return GRAMMAR_RULE
    top = inner.partition(".")[0]
    for packages, rule in LEVELS:
        if top in packages:
            return rule
    if top in ("app", ""):
        return None
    raise AssertionError(f"{module} belongs to no layer: add its package to tests/test_layers.py")


def violations(module: str, source: str) -> list[str]:
    """Everything in the source of ``module`` that its layer must not do, one sentence each."""
    rule = rule_of(module)
    if rule is None:
        return []
    found = [
        f"{module}:{each.line} imports {each.name}: {reason}"
        for each in find_imports(source)
        if (reason := _objection(module, rule, each.name))
    ]
    found += [
        f"{module}:{line} looks at the environment: only fe_mail.app may"
        for line in find_environment(source)
    ]
    return found


def _objection(module: str, rule: Rule, name: str) -> str:
    """Why the import is wrong, empty if it is not."""
    top, _, rest = name.partition(".")
    if name.startswith("."):
        return "imports are absolute"
    if name.startswith("twisted.internet.reactor"):
        return "the reactor is an argument"
    if top == "fe_mail":
        return _objection_to_ours(module, rule, rest)
    if top == "twisted":
        allowed = rule.twisted is None or any(
            name == each or name.startswith(f"{each}.") for each in rule.twisted
        )
        return "" if allowed else "this layer does without that part of Twisted"
    if top in DRIVERS and not rule.drivers:
        return "drivers belong into adapters"
    if top in ("klein", "werkzeug") and not rule.klein:
        return "only the HTTP edges know Klein"
    if rule.only is not None and top not in STDLIB | rule.only:
        return "this layer needs the standard library and attrs only"
    return ""


def _objection_to_ours(module: str, rule: Rule, rest: str) -> str:
    own = module.split(".")[1]
    package = rest.partition(".")[0]
    is_grammar = ".".join(rest.split(".")[:2]) in GRAMMARS
    if package == own:
        is_wrong = rule is GRAMMAR_RULE and not is_grammar
        return "a grammar imports no session code" if is_wrong else ""
    if package in NOT_BACK.get(own, ()):
        return "mail goes one way, from reception over the queue to the couriers"
    if package in rule.ours:
        return ""
    if is_grammar and package in GRAMMAR_USERS.get(own, ()):
        return ""
    if package == "app":
        return "only the application knows its configuration"
    return f"{own} must not know {package}"


def modules() -> Iterator[tuple[str, str]]:
    """Every module of fe_mail with its source."""
    for path in sorted((ROOT / "fe_mail").rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        yield name, path.read_text("utf-8")


def _ours(module: str, source: str, known: Collection[str]) -> set[str]:
    """The other modules of fe_mail that this one imports."""
    found = set()
    for each in find_imports(source):
        name = each.name if each.name in known else each.name.rpartition(".")[0]
        if name in known and name != module:
            found.add(name)
    return found


class LayerTests(SynchronousTestCase):
    """The tree as it is."""

    def test_imports(self) -> None:
        """No module knows what its layer must not know."""
        found = [each for name, source in modules() for each in violations(name, source)]
        self.assertEqual(found, [], "\n" + "\n".join(found))

    def test_no_circles(self) -> None:
        """No module needs one that needs it."""
        known = dict(modules())
        needs = {name: _ours(name, source, known) for name, source in known.items()}
        while free := {name for name, others in needs.items() if not others & needs.keys()}:
            for name in free:
                del needs[name]
        self.assertEqual(sorted(needs), [], "these need each other, or those that do")

    def test_plugin_is_light(self) -> None:
        """The plugin file runs at every ``twistd --help``: it imports next to nothing."""
        for path in (ROOT / "twisted" / "plugins").glob("*.py"):
            for each in find_imports(path.read_text("utf-8")):
                self.assertTrue(
                    each.name.startswith(("twisted.application.service", "fe_mail.app.roles")),
                    f"{path.name}:{each.line} imports {each.name}",
                )

    def test_no_package_of_plugins(self) -> None:
        """An ``__init__.py`` there would hide Twisted's own plugins."""
        self.assertFalse((ROOT / "twisted" / "__init__.py").exists())
        self.assertFalse((ROOT / "twisted" / "plugins" / "__init__.py").exists())

    def test_grammars_exist(self) -> None:
        """Every grammar that is named here is a module."""
        known = {name.removeprefix("fe_mail.") for name, _ in modules()}
        self.assertEqual(GRAMMARS - known, frozenset())


class SelfTests(SynchronousTestCase):
    """Violations are found, and nothing else is."""

    def assertFound(self, module: str, source: str, *words: str) -> None:
        """Exactly one violation, whose sentence has these words."""
        found = violations(module, source)
        self.assertEqual(len(found), 1, f"{module}: {source!r} gave {found}")
        for word in words:
            self.assertIn(word, found[0])

    def assertFine(self, module: str, source: str) -> None:
        """No violation."""
        self.assertEqual(violations(module, source), [])

    def test_values(self) -> None:
        """Level 0 needs the standard library and attrs, nothing of Twisted or ours."""
        self.assertFine("fe_mail.model.x", "import attrs, re\nfrom fe_mail.model.ids import UID")
        self.assertFound("fe_mail.model.x", "import twisted", "twisted")
        self.assertFound("fe_mail.model.x", "import cryptography.x", "cryptography")
        self.assertFound("fe_mail.ports", "from fe_mail.message import scan", "message")

    def test_pure(self) -> None:
        """Level 1 knows no Twisted, and nothing above."""
        self.assertFine("fe_mail.message.x", "from fe_mail.model.envelope import Peer")
        self.assertFound("fe_mail.message.x", "from twisted.logger import Logger", "Twisted")
        self.assertFound("fe_mail.message.x", "from fe_mail.mailauth import dkim", "mailauth")

    def test_grammars(self) -> None:
        """A grammar inside an edge is as pure as level 1."""
        self.assertFine("fe_mail.imap.parser", "from fe_mail.imap.scanner import Scanner")
        self.assertFound("fe_mail.imap.scanner", "from twisted.internet import defer", "Twisted")
        self.assertFound("fe_mail.imap.parser", "from fe_mail.imap.server import X", "session")
        self.assertFound("fe_mail.imap.parser", "from fe_mail.accounts.login import Login")

    def test_rules(self) -> None:
        """Level 2 gets its ports as arguments."""
        self.assertFine("fe_mail.mailauth.x", "from fe_mail.ports import Resolver")
        self.assertFound("fe_mail.policy.x", "from fe_mail.adapters.dns import Y", "adapters")
        self.assertFound("fe_mail.policy.x", "from fe_mail.accounts.login import Login")
        self.assertFound("fe_mail.policy.x", "from twisted.internet.defer import Deferred")

    def test_services(self) -> None:
        """Level 3 has Deferreds, the clock's interface and the log of Twisted, no more."""
        self.assertFine("fe_mail.queue.x", "from twisted.internet.defer import Deferred")
        self.assertFine("fe_mail.queue.x", "from twisted.internet.interfaces import IReactorTime")
        self.assertFine("fe_mail.queue.x", "from twisted.logger import Logger")
        self.assertFine("fe_mail.queue.x", "from fe_mail.delivery.courier import Courier")
        self.assertFine("fe_mail.reception.x", "from fe_mail.queue.schedule import x")
        self.assertFound("fe_mail.queue.x", "from fe_mail.reception.inbound import x", "one way")
        self.assertFound("fe_mail.delivery.x", "from fe_mail.queue.schedule import x", "one way")
        self.assertFound("fe_mail.queue.x", "from twisted.internet.task import deferLater")
        self.assertFound("fe_mail.queue.x", "import sqlite3", "drivers")
        self.assertFound("fe_mail.queue.x", "from fe_mail.smtp.mx import MXFactory", "smtp")
        self.assertFound("fe_mail.jobs.x", "from fe_mail.app.config import Config", "configur")

    def test_adapters(self) -> None:
        """Adapters know drivers and Twisted, and nobody who uses them."""
        self.assertFine("fe_mail.adapters.x", "import apsw, twisted.internet.threads")
        self.assertFound("fe_mail.adapters.x", "from fe_mail.reception.interface import Reply")
        self.assertFound("fe_mail.adapters.x", "from fe_mail.mailauth import srs", "mailauth")
        self.assertFound("fe_mail.adapters.x", "import klein", "Klein")
        self.assertFine("fe_mail.adapters.x", "from fe_mail.smtp.wire import ReplyParser")
        self.assertFound("fe_mail.adapters.x", "from fe_mail.smtp.server import X", "smtp")

    def test_edges(self) -> None:
        """Edges know the services, not the adapters and not each other."""
        self.assertFine("fe_mail.web.x", "import klein\nfrom fe_mail.http.site import HTTPSite")
        self.assertFine("fe_mail.imap.server", "from twisted.mail import imap4")
        self.assertFound("fe_mail.web.x", "from fe_mail.api.app import y", "api")
        self.assertFound("fe_mail.smtp.x", "from fe_mail.adapters.dns import y", "adapters")
        self.assertFound("fe_mail.http.x", "from fe_mail.web.app import y", "web")
        self.assertFine("fe_mail.pop3.x", "from fe_mail.connection.registry import Connections")
        self.assertFound("fe_mail.connection.x", "from fe_mail.accounts.login import Login")
        self.assertFound("fe_mail.connection.x", "from fe_mail.http.site import HTTPSite", "http")

    def test_reactor(self) -> None:
        """The global reactor belongs to the application, however it is spelled."""
        for source in (
            "from twisted.internet import reactor",
            "import twisted.internet.reactor",
            "def f():\n    from twisted.internet import reactor as r",
            "import importlib\nimportlib.import_module('twisted.internet.reactor')",
        ):
            self.assertFound("fe_mail.imap.server", source, "reactor")
            self.assertFine("fe_mail.app.main", source)

    def test_environment(self) -> None:
        """So does the environment."""
        for source in ("import os\nx = os.environ['A']", "from os import getenv"):
            self.assertFound("fe_mail.web.x", source, "environment")
            self.assertFine("fe_mail.app.config", source)

    def test_hidden_imports(self) -> None:
        """Late, conditional and relative imports are imports."""
        late = "def f():\n    from fe_mail.adapters import threads"
        self.assertFound("fe_mail.queue.x", late, "fe_mail.queue.x:2")
        typed = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import fe_mail.web.app"
        self.assertFound("fe_mail.queue.x", typed, "web")
        self.assertFound("fe_mail.queue.x", "from ..web import app", "absolute")

    def test_unknown_package(self) -> None:
        """A new package must be given a layer."""
        self.assertRaises(AssertionError, violations, "fe_mail.novelty.x", "")
