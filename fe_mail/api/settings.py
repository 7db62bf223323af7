"""
The settings that an alias keeps for its mail clients: checked and merged.

Pure. Unknown keys are ignored; what is given replaces what was stored, except that
``label_settings`` merges by keyword, and an empty object clears all labels.
"""

import json
import re
from collections.abc import Mapping

from fe_mail.model.errors import Invalid, TooBig

__all__ = ["MAX_LABELS", "MAX_OCTETS", "merge_settings"]

MAX_LABELS = 500
MAX_TEXT_CHARS = 255
MAX_OCTETS = 65_536  # of all settings of an alias, as JSON

_FOLDERS = ("archive_folder", "sent_folder", "drafts_folder")
_COLOR = re.compile(r"#[0-9a-fA-F]{6}\Z")


def merge_settings(stored: Mapping[str, object], sent: object) -> dict[str, object]:
    """``stored`` with ``sent`` merged in; ``Invalid``, ``TooBig``."""
    changes = _object(sent, "settings")
    merged = dict(stored)
    if "mail" in changes:
        merged["mail"] = {**_stored(stored, "mail"), **_folders(changes["mail"])}
    if "label_settings" in changes:
        labels = _labels(changes["label_settings"])
        merged["label_settings"] = {**_stored(stored, "label_settings"), **labels} if labels else {}
        if len(_stored(merged, "label_settings")) > MAX_LABELS:
            raise Invalid("There are too many labels.", "settings.label_settings")
    if "aliases" in changes:
        aliases = _object(changes["aliases"], "settings.aliases")
        defaults = _object(aliases.get("defaults", {}), "settings.aliases.defaults")
        merged["aliases"] = {"defaults": dict(defaults)}
    if len(json.dumps(merged, ensure_ascii=False).encode("utf-8")) > MAX_OCTETS:
        raise TooBig("The request is too large.")
    return merged


def _stored(stored: Mapping[str, object], name: str) -> Mapping[str, object]:
    value = stored.get(name)
    return value if isinstance(value, Mapping) else {}


def _object(value: object, field: str) -> Mapping[str, object]:
    if not isinstance(value, Mapping):
        raise Invalid("The settings must be an object.", field)
    return value


def _folders(sent: object) -> dict[str, object]:
    folders = {}
    for name, value in _object(sent, "settings.mail").items():
        if name not in _FOLDERS:
            continue
        if value is not None and not _is_text(value):
            raise Invalid("A folder must be a name or null.", f"settings.mail.{name}")
        folders[name] = value
    return folders


def _labels(sent: object) -> dict[str, object]:
    labels: dict[str, object] = {}
    for keyword, value in _object(sent, "settings.label_settings").items():
        field = "settings.label_settings"
        if not keyword or len(keyword) > MAX_TEXT_CHARS or re.search(r"\s", keyword):
            raise Invalid("A label's keyword must not contain blanks.", field)
        labels[keyword] = _label(_object(value, field))
    return labels


def _label(sent: Mapping[str, object]) -> dict[str, object]:
    field = "settings.label_settings"
    if "name" in sent and not _is_text(sent["name"]):
        raise Invalid("A label's name must be text.", field)
    color = sent.get("color", "#000000")
    if not isinstance(color, str) or not _COLOR.match(color):
        raise Invalid("A label's color must look like #rrggbb.", field)
    if not isinstance(sent.get("hidden", False), bool):
        raise Invalid("A label is hidden or not: true or false.", field)
    return {name: sent[name] for name in ("name", "color", "hidden") if name in sent}


def _is_text(value: object) -> bool:
    return isinstance(value, str) and len(value) <= MAX_TEXT_CHARS
