"""
Keeping the gettext catalogs: ``python -m fe_mail.web.catalogs update`` after changing a text.

``update`` merges the texts of the sources (see ``extraction``) into the ``.po`` files and compiles
these; it invents no translation.
"""

import io
import sys
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

from fe_mail.web.extraction import texts
from fe_mail.web.i18n import LANGUAGES

__all__ = ["compiled", "extract", "main", "po_path", "read", "update"]

_PACKAGE = Path(__file__).parent

VERSION = "1"


def extract() -> Catalog:
    """Every text of the sources."""
    catalog = _empty(None)
    for found in texts():
        catalog.add(found.text, locations=[(found.path, 0)])
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
