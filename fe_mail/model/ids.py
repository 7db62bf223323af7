"""Identifiers: 24 lower-case hex characters, sortable by time (4 octets seconds, 8 random)."""

import re
import secrets
from typing import NewType

__all__ = ["UID", "AliasId", "BlobId", "DomainId", "ModSeq", "UserId", "is_id", "new_id"]

UserId = NewType("UserId", str)
DomainId = NewType("DomainId", str)
AliasId = NewType("AliasId", str)
BlobId = NewType("BlobId", str)
UID = NewType("UID", int)
ModSeq = NewType("ModSeq", int)


_ID = re.compile(r"[0-9a-f]{24}\Z")


def is_id(text: str) -> bool:
    """Has it the form of one?"""
    return _ID.match(text) is not None


def new_id(now_seconds: float) -> str:
    """A fresh identifier; ``now_seconds`` since the epoch makes it sortable."""
    return f"{int(now_seconds) & 0xFFFFFFFF:08x}{secrets.token_hex(8)}"
