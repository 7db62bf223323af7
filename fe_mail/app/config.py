"""
The configuration: ``.env`` and the environment, read once into frozen values.

The environment wins over ``.env``. ``{{NAME}}`` inside a value stands for another variable.
Everything that is wrong is reported at once, one sentence each. Missing secrets are made and
appended to ``.env`` (mode 0600), but never where data exists that an older secret protects.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from fe_mail.adapters.durability import sync
from fe_mail.app.env_file import read_env_file
from fe_mail.app.manifest import NAME
from fe_mail.app.variables import (
    AREAS,
    REFERENCE_ONLY,
    Keys,
    Limits,
    Listening,
    Names,
    Operation,
    Storage,
    Web,
    Webhooks,
    variables,
)

__all__ = ["Config", "ConfigError", "describe", "example", "load"]

_REFERENCE = re.compile(r"\{\{\s*([A-Za-z_][A-Za-z0-9_]*)\s*\}\}")
MAX_INTERPOLATION_DEPTH = 10
_PLACEHOLDER = "?" * 32
_ANY_DOMAIN = "example.org"


class ConfigError(Exception):
    """``problems`` holds one sentence for each thing that is wrong."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@attrs.frozen(kw_only=True)
class Config:
    """Everything that can be set. ``directory`` holds ``.env``, ``sqlite-data/`` and ``ssl/``."""

    directory: Path
    names: Names
    listen: Listening
    web: Web
    keys: Keys
    limits: Limits
    webhooks: Webhooks
    storage: Storage
    operation: Operation
    generated: tuple[str, ...] = ()  # names of the secrets that were made just now

    @property
    def data_path(self) -> Path:
        """The directory of mailboxes, accounts, queue and spool."""
        return self.directory / self.storage.sqlite_path

    @property
    def ssl_path(self) -> Path:
        """The directory of ``privkey.pem`` and ``fullchain.pem``."""
        return self.directory / self.storage.ssl_path


def load(directory: Path, environ: Mapping[str, str], *, write: bool = True) -> Config:
    """
    Read ``directory/.env`` and ``environ``. Missing secrets are made, and kept if ``write``.

    Raises ConfigError with everything that is wrong.
    """
    known = variables()
    path = directory / ".env"
    file_values, problems = read_env_file(path)
    if problems and not file_values:
        raise ConfigError(problems)  # what else is missing stands in what cannot be read
    problems += [
        f"{name} in .env is not a variable of fe-mail."
        for name in file_values
        if name not in known and not REFERENCE_ONLY.match(name)
    ]
    given = {**file_values, **_from_environment(environ, problems)}
    made = _missing_secrets(given, directory, problems)
    given.update(made)
    areas = _read_areas(given, path, problems)
    if problems:
        raise ConfigError(problems)
    if made and write:
        try:
            _append(path, made)
        except OSError as error:
            raise ConfigError([f"{path} cannot be written: {error.strerror}."]) from None
    return Config(directory=directory, generated=tuple(made), **areas)


def _from_environment(environ: Mapping[str, str], problems: list[str]) -> dict[str, str]:
    found = {name: environ[name] for name in variables() if name in environ}
    for name, value in found.items():
        if not _is_unicode(value):
            problems.append(f"{name} in the environment is not text in UTF-8.")
            found[name] = ""
    return found


def _is_unicode(text: str) -> bool:
    """Octets of the environment that are no UTF-8 come as surrogates, which nothing encodes."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _missing_secrets(
    given: Mapping[str, str], directory: Path, problems: list[str]
) -> dict[str, str]:
    made = {}
    data = directory / (given.get("SQLITE_STORAGE_PATH") or "sqlite-data")
    has_data = (directory / NAME).exists() or (data.is_dir() and any(data.iterdir()))
    for name, (area, _, variable) in variables().items():
        if variable.secret is None or given.get(name):
            continue
        if has_data and area == "keys":
            problems.append(
                f"{name} is missing, but {data} holds data that was made with it: "
                "put the old value back into .env."
            )
        else:
            made[name] = variable.secret()
    return made


def _read_areas(given: Mapping[str, str], path: Path, problems: list[str]) -> dict[str, Any]:
    values: dict[str, dict[str, object]] = {area: {} for area in AREAS}
    # Without it, what refers to it would be wrong too; that is said once, for DOMAIN itself.
    filled = {**given, "DOMAIN": given.get("DOMAIN") or _ANY_DOMAIN}
    for name, (area, attribute, variable) in variables().items():
        raw = given.get(name) or variable.default
        if not raw and variable.secret is not None:
            raw = _PLACEHOLDER  # a missing secret was reported by name already
        try:
            text = _interpolate(raw, filled)
            if name == "DOMAIN" and not raw:
                raise ValueError(f"be set in {path}, for example by the line DOMAIN=example.org")
            values[area][attribute] = variable.read(text)
        except ValueError as problem:
            shown = "" if variable.secret or not raw else f" (it is {raw!r})"
            problems.append(f"{name} must {problem}{shown}.")
    if problems:
        return {}
    return {area: AREAS[area](**values[area]) for area in AREAS}


def _interpolate(raw: str, given: Mapping[str, str], depth: int = 0) -> str:
    if depth > MAX_INTERPOLATION_DEPTH:
        raise ValueError("not refer to itself")

    def value(match: re.Match[str]) -> str:
        name = match[1]
        if given.get(name):
            return _interpolate(given[name], given, depth + 1)
        if name in variables():
            return _interpolate(variables()[name][2].default, given, depth + 1)
        raise ValueError(f"not refer to {name}, which does not exist")

    return _REFERENCE.sub(value, raw)


def _append(path: Path, made: Mapping[str, str]) -> None:
    """Add secrets to ``.env``: written beside it, renamed, durable, never readable by others."""
    old = path.read_text("utf-8") if path.exists() else ""
    if old and not old.endswith("\n"):
        old += "\n"
    new = old + "".join(f"{name}={value}\n" for name, value in made.items())
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(".env.new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(new)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    sync(path.parent)


def example() -> str:
    """The text of ``conf/env.example``."""
    lines = [
        "# fe-mail: every variable, with its default. Generated by `fe-mail env-example`.",
        "# Copy to .env, set DOMAIN, and remove the # before whatever you change.",
    ]
    for cls in AREAS.values():
        lines += ["", f"# --- {(cls.__doc__ or '').strip()}"]
        for field in attrs.fields(cls):
            variable = field.metadata["variable"]
            lines += ["", f"# {variable.text}", f"#{variable.name}={variable.default}"]
    return "\n".join(lines) + "\n"


def describe() -> str:
    """Every variable on two lines, for ``--help``."""
    return "\n".join(
        f"  {name} (default: {variable.default or 'none'})\n      {variable.text}"
        for name, (_, _, variable) in variables().items()
    )
