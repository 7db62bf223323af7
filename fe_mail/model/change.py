"""
What changed in a mailbox, as a hint for whoever looks at it (``ports.Bus``).

Hints may be lost, doubled or late, so they only say where to look. The rule for who gets one:

* What you know already (``modseq`` is not above what you were told) is no news.
* Else ask the store what changed since the ModSeq up to which *you* know everything. Never begin
  at the hint's: earlier changes may be untold, for their hints were lost.
* One that cannot be read means: look.
* Look without a hint, too: when you begin, and now and then.

RFC 7162 (mod-sequences), which all folders and collections of a mailbox share.
"""

import enum
from collections.abc import Mapping

import attrs

from fe_mail.model.ids import AliasId

__all__ = ["Change", "ChangeKind"]


class ChangeKind(enum.Enum):
    """Of what the id is."""

    FOLDER = "folder"
    COLLECTION = "collection"


@attrs.frozen(kw_only=True)
class Change:
    """A folder or collection changed up to this ModSeq, came or went."""

    alias_id: AliasId
    kind: ChangeKind
    id: int
    modseq: int

    @staticmethod
    def topic(alias_id: AliasId) -> str:
        """Where the changes of a mailbox are published."""
        return f"mailbox:{alias_id}"

    def payload(self) -> dict[str, str]:
        """As it travels, also between processes."""
        return {
            "alias": self.alias_id,
            "kind": self.kind.value,
            "id": str(self.id),
            "modseq": str(self.modseq),
        }

    @classmethod
    def read(cls, payload: Mapping[str, str]) -> "Change | None":
        """What ``payload`` gave; None if it says something else."""
        try:
            return cls(
                alias_id=AliasId(payload["alias"]),
                kind=ChangeKind(payload["kind"]),
                id=int(payload["id"]),
                modseq=int(payload["modseq"]),
            )
        except (KeyError, ValueError):
            return None
