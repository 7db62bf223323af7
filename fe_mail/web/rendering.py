"""Templates: one strict, escaping environment per language, and the filters that pages use."""

import datetime
import hashlib
from collections.abc import Mapping
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from jinja2.ext import Extension
from markupsafe import Markup, escape

from fe_mail.model.address import display_address
from fe_mail.web.i18n import LANGUAGES, Catalogs
from fe_mail.web.paths import alias_path, aliases_path

__all__ = ["STATIC_TYPES", "Renderer", "octets", "soft", "static_files"]

_PACKAGE = Path(__file__).parent

STATIC_TYPES: Mapping[str, str] = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}

_UNITS = ("B", "kB", "MB", "GB", "TB")


def octets(size: int) -> str:
    """A size for people: ``1.5 GB`` (powers of 1024, as the quota fields read them)."""
    value = float(size)
    for unit in _UNITS[:-1]:
        if value < 1024:
            return f"{value:.0f} {unit}" if value == int(value) else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} {_UNITS[-1]}"


def day(seconds: float) -> str:
    """A date, the same in every language (ISO 8601)."""
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).date().isoformat()


def moment(seconds: float) -> Markup:
    """A time of day with its date, in UTC: ``2026-03-01 14:03 UTC``."""
    when = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    shown, machine = when.strftime("%Y-%m-%d %H:%M UTC"), when.strftime("%Y-%m-%dT%H:%MZ")
    return Markup('<time datetime="{}">{}</time>').format(machine, shown)


def soft(text: str) -> Markup:
    """An address that may break before its ``@``, or a name before its dots: not inside words."""
    escaped = str(escape(display_address(text)))
    joint = "@" if "@" in escaped else "."
    return Markup(escaped.replace(joint, f"<wbr>{joint}"))  # noqa: S704 - escaped


def static_files() -> dict[str, bytes]:
    """Name and content of the style sheet, the script and the icon."""
    found = (_PACKAGE / "static").iterdir()
    return {path.name: path.read_bytes() for path in found if path.suffix in STATIC_TYPES}


class Renderer:
    """Makes HTML."""

    def __init__(self, catalogs: Catalogs, app_name: str) -> None:
        files = static_files()
        digest = hashlib.sha256(b"".join(files[name] for name in sorted(files)))
        self.version = digest.hexdigest()[:12]
        self._environments = {
            language: self._environment(catalogs, language) for language in LANGUAGES
        }
        for environment in self._environments.values():
            environment.globals["app_name"] = app_name

    def _environment(self, catalogs: Catalogs, language: str) -> Environment:
        extensions: list[str | type[Extension]] = ["jinja2.ext.i18n"]
        environment = Environment(
            loader=FileSystemLoader(_PACKAGE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            extensions=extensions,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        environment.policies["ext.i18n.trimmed"] = True
        environment.filters.update(
            octets=octets, day=day, moment=moment, soft=soft, idn=display_address
        )
        environment.globals.update(alias_path=alias_path, aliases_path=aliases_path)
        environment.globals["static"] = lambda name: f"/static/{name}?v={self.version}"
        install = getattr(environment, "install_gettext_translations")  # noqa: B009 - added by the extension
        install(catalogs.translations(language), newstyle=True)
        return environment

    def page(self, language: str, template: str, values: Mapping[str, object]) -> str:
        """A whole page, or a piece of one."""
        return self._environments[language].get_template(template).render(values)
