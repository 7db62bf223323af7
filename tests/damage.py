"""Damage that is done behind a store's back, as a disk does it."""

from pathlib import Path

from fe_mail.adapters.sqlite.mailbox.contents import PIECE_OCTETS, PIECE_SHIFT
from fe_mail.adapters.sqlite.schema import open_connection

__all__ = ["PIECE_OCTETS", "lose_message", "lose_piece"]


def lose_message(directory: Path, alias_id: str, key: bytes, folder_id: int, uid: int) -> None:
    """All octets of a message are gone."""
    connection = open_connection(directory / f"{alias_id}.sqlite", key)
    try:
        connection.execute(
            "DELETE FROM piece WHERE id >> ? IN"
            " (SELECT content_id FROM message WHERE folder_id = ? AND uid = ?)",
            (PIECE_SHIFT, folder_id, uid),
        )
    finally:
        connection.close()


def lose_piece(directory: Path, alias_id: str, key: bytes, content_id: int, piece: int = 0) -> None:
    """``PIECE_OCTETS`` of a message are gone; the n-th one appended has content n."""
    connection = open_connection(directory / f"{alias_id}.sqlite", key)
    try:
        connection.execute("DELETE FROM piece WHERE id = ?", (content_id << PIECE_SHIFT | piece,))
        assert connection.changes() == 1
    finally:
        connection.close()
