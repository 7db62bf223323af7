"""
Keeping the gettext catalogs: ``python -m fe_mail.web.catalogs update`` after changing a text.

Texts come from the templates, from ``_()`` and ``N_()`` in the web package, and from the
sentences of our errors in the services (their message is the key). ``update`` merges them into
the ``.po`` files and compiles these; it invents no translation.
"""

import io
import sys
from collections.abc import Iterator
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir, extract_from_file
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

from fe_mail.http.statuses import UNEXPECTED
from fe_mail.model import errors
from fe_mail.web.i18n import LANGUAGES

__all__ = ["compiled", "extract", "main", "po_path", "read", "update"]

_PACKAGE = Path(__file__).parent
_ROOT = _PACKAGE.parent

_METHODS = [("**.py", "python"), ("templates/**.html", "jinja2")]
_KEYWORDS = {"_": None, "N_": None, "gettext": None, "ngettext": (1, 2)}
_OPTIONS = {"templates/**.html": {"trimmed": "true", "newstyle_gettext": "true"}}
_ERRORS = (
    *("AlreadyExists", "AuthenticationFailed", "Conflict", "Invalid", "NotFound", "OverQuota"),
    *("PermissionDenied", "RateLimited", "TooBig", "Unavailable", "N_"),
)

# Sentences that only mail programs hear.
_UNSEEN = frozenset({"sasl.py", "scram.py"})

VERSION = "1"

Extracted = tuple[str, int, str | tuple[str, ...]]


def extract(services: bool = True) -> Catalog:
    """Every text of the sources; with ``services`` also the sentences of their errors."""
    catalog = _empty(None)
    for path, _line, message in [*_pages(), *(_sentences() if services else ())]:
        catalog.add(message, locations=[(path, 0)])
    return catalog


def _empty(language: str | None) -> Catalog:
    return Catalog(
        locale=language,
        project="fe-mail",
        version=VERSION,
        charset="utf-8",
        msgid_bugs_address="the project's issues",
        last_translator="The fe-mail authors",
        language_team=language or "",
        copyright_holder="The fe-mail authors",
    )


def _pages() -> Iterator[Extracted]:
    found = extract_from_dir(
        str(_PACKAGE), _METHODS, _OPTIONS, _KEYWORDS, callback=None, strip_comment_tags=True
    )
    for path, line, message, _comments, _context in found:
        yield f"web/{path}", line, message


def _sentences() -> Iterator[Extracted]:
    keywords = {**dict.fromkeys(_ERRORS), "translate": (2,)}
    for default in _defaults():
        yield "model/errors.py", 0, default
    paths = [*_ROOT.glob("accounts/*.py"), *_ROOT.glob("api/*.py"), *_ROOT.glob("http/*.py")]
    for path in sorted([*paths, _ROOT / "model" / "address.py"]):
        if path.name in _UNSEEN:
            continue
        for line, message, _comments, _context in extract_from_file("python", path, keywords):
            text = message[0] if isinstance(message, tuple) else message
            if any(char.isalpha() for char in text or ""):
                yield str(path.relative_to(_ROOT)), line, text


def _defaults() -> list[str]:
    """What an error says that was raised without a sentence of its own."""
    kinds = [getattr(errors, name) for name in errors.__all__]
    return sorted({UNEXPECTED, *(kind.default for kind in kinds)})


def po_path(language: str) -> Path:
    """Where a language's translations are."""
    return _PACKAGE / "locale" / language / "LC_MESSAGES" / "fe_mail.po"


def read(language: str) -> Catalog:
    """The translations of a language; empty if it is new."""
    path = po_path(language)
    if not path.exists():
        return _empty(language)
    with path.open("rb") as source:
        return read_po(source, locale=language)


def compiled(language: str) -> bytes:
    """What the ``.mo`` file of a language must hold."""
    target = io.BytesIO()
    write_mo(target, read(language))
    return target.getvalue()


def update(language: str) -> None:
    """Merge the texts of the sources into a language and compile it."""
    catalog = read(language)
    catalog.header_comment = f"# {LANGUAGES[language]}: the texts of fe-mail."
    catalog.fuzzy = False
    created = catalog.creation_date  # kept, so that an update without changes changes nothing
    catalog.update(extract(), no_fuzzy_matching=True, keep_user_comments=True)
    catalog.creation_date = created
    catalog.obsolete.clear()
    if language == "en":
        for message in catalog:
            if message.id and not message.string:
                message.string = message.id
    with po_path(language).open("wb") as target:
        write_po(target, catalog, width=100, sort_output=True, omit_header=False)
    po_path(language).with_suffix(".mo").write_bytes(compiled(language))


def main(arguments: list[str]) -> int:
    """The command line."""
    if arguments != ["update"]:
        sys.stderr.write("usage: python -m fe_mail.web.catalogs update\n")
        return 2
    for language in LANGUAGES:
        update(language)
        missing = [message.id for message in read(language) if message.id and not message.string]
        sys.stdout.write(f"{language}: {len(missing)} texts without a translation\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
