"""
Finding every text that people may read, in templates and in Python.

In Python a text is the first argument of one of our errors, of ``Sentence`` or of ``N_``. It has
to be a literal there: what is put together at run time cannot be found, nor translated.
``unreadable`` names the places where somebody did that.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import attrs
from babel.messages.extract import extract_from_dir

from fe_mail.model import errors

__all__ = ["Found", "pages", "sentences", "texts", "unreadable"]

_PACKAGE = Path(__file__).parent
_ROOT = _PACKAGE.parent

_TEMPLATES = [("templates/**.html", "jinja2")]
_OPTIONS = {"templates/**.html": {"trimmed": "true", "newstyle_gettext": "true"}}
_KEYWORDS = {"_": None, "gettext": None, "ngettext": (1, 2)}

# Whatever stands behind the web UI and the API; adapters as far as these two hear of them.
_SOURCES = (
    *("accounts/*.py", "api/*.py", "http/*.py", "web/*.py", "model/address.py"),
    *("adapters/dns.py", "adapters/keyring.py", "adapters/threads.py"),
    "adapters/sqlite/account*.py",
    *(f"adapters/sqlite/{name}.py" for name in ("users", "domains", "aliases", "sessions")),
)
# Sentences that only mail programs hear.
_UNSEEN = frozenset({"sasl.py", "scram.py"})
_MARKS = frozenset({*errors.__all__, "Sentence", "N_"})


@attrs.frozen
class Found:
    """A text and its place; a tuple is singular and plural."""

    path: str
    text: str | tuple[str, ...]


def texts() -> Iterator[Found]:
    """All of them."""
    yield from pages()
    yield from sentences()


def pages() -> Iterator[Found]:
    """The texts of the templates."""
    found = extract_from_dir(
        str(_PACKAGE), _TEMPLATES, _OPTIONS, _KEYWORDS, callback=None, strip_comment_tags=True
    )
    for path, _line, message, _comments, _context in found:
        yield Found(f"web/{path}", message)


def sentences() -> Iterator[Found]:
    """The texts in Python, and what errors say that have no sentence of their own."""
    for name in errors.__all__:
        yield Found("model/errors.py", getattr(errors, name).default)
    for path, node in _marked():
        for part in _branches(node):
            if isinstance(part, ast.Constant) and isinstance(part.value, str) and part.value:
                yield Found(path, part.value)


def unreadable() -> list[str]:
    """Places where a text is put together or only named, so that it has no translation."""
    return [
        f"{path}:{part.lineno}"
        for path, node in _marked()
        for part in _branches(node)
        if isinstance(part, ast.JoinedStr | ast.BinOp) or _names_a_text(part, path)
    ]


def _names_a_text(part: ast.expr, path: str) -> bool:
    """A constant of the module that is a bare string, which no mark stands around."""
    if not isinstance(part, ast.Name):
        return False
    module = ast.parse((_ROOT / path).read_text(encoding="utf-8"))
    return any(
        isinstance(line, ast.Assign)
        and isinstance(line.value, ast.Constant)
        and isinstance(line.value.value, str)
        and any(isinstance(to, ast.Name) and to.id == part.id for to in line.targets)
        for line in module.body
    )


def _marked() -> Iterator[tuple[str, ast.expr]]:
    """The first argument of every call of a mark."""
    for path in sorted({path for pattern in _SOURCES for path in _ROOT.glob(pattern)}):
        if path.name in _UNSEEN:
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and node.args and _name(node.func) in _MARKS:
                yield path.relative_to(_ROOT).as_posix(), node.args[0]


def _name(function: ast.expr) -> str:
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def _branches(node: ast.expr) -> Iterator[ast.expr]:
    if isinstance(node, ast.IfExp):
        yield from _branches(node.body)
        yield from _branches(node.orelse)
    else:
        yield node
