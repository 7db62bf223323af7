"""
The outline of a message as compact JSON: ``[kind, header start, body start, body end, [parts]]``.

What is stored is read back by every later version, so new elements only go to the ends of lists.
"""

import json
from typing import Any

from fe_mail.model.structure import Outline, Part

__all__ = ["decode_outline", "encode_outline"]

_LEAF, _MULTIPART, _MESSAGE = 0, 1, 2


def encode_outline(part: Part) -> str:
    """Where the parts of a tree are."""
    return json.dumps(_places(part), separators=(",", ":"))


def decode_outline(text: str) -> Outline:
    """What ``encode_outline`` was given, without anything but the places."""
    return _outline(json.loads(text))


def _places(part: Part) -> list[Any]:
    kind = _MULTIPART if part.is_multipart else _MESSAGE if part.is_message else _LEAF
    places = [kind, part.header_start, part.body_start, part.body_end]
    return [*places, [_places(child) for child in part.parts]]


def _outline(value: list[Any]) -> Outline:
    kind, header_start, body_start, body_end, parts = value
    return Outline(
        header_start=header_start,
        body_start=body_start,
        body_end=body_end,
        is_multipart=kind == _MULTIPART,
        is_message=kind == _MESSAGE,
        parts=tuple(map(_outline, parts)),
    )
