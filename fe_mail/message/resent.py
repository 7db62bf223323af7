"""
Resent fields: who sends somebody else's message on, unchanged ("bounce", "redirect").

Each time a message is resent, a block of fields goes on top; the first block speaks of the
sending that happens now. RFC 5322 §3.6.6.
"""

from collections.abc import Iterable, Sequence

from fe_mail.message.addresses import sole_author
from fe_mail.message.headers import HeaderField
from fe_mail.model.address import Address
from fe_mail.model.errors import Invalid

__all__ = ["latest_resent", "resenders", "sole_address"]


def latest_resent(fields: Sequence[HeaderField]) -> tuple[HeaderField, ...]:
    """The fields of the first block: those that stand together, each name once."""
    block: dict[bytes, HeaderField] = {}
    for field in fields:
        is_resent = field.key.startswith(b"resent-")
        if block and (not is_resent or field.key in block):
            break
        if is_resent:
            block[field.key] = field
    return tuple(block.values())


def resenders(fields: Sequence[HeaderField]) -> tuple[Address, ...]:
    """
    The address of Resent-From, and that of Resent-Sender if there is one; none: it is not resent.

    ``Invalid`` when a block names nobody, or more than one.
    """
    block = {field.key: field for field in latest_resent(fields)}
    if not block:
        return ()
    if b"resent-from" not in block:
        raise Invalid("The Resent- fields lack a Resent-From field.", field="resent-from")
    names = (b"resent-from", b"resent-sender")
    return tuple(sole_address(block.values(), name) for name in names if name in block)


def sole_address(fields: Iterable[HeaderField], name: bytes) -> Address:
    """The one address of the one field of a (lower-case) name, as of From. ``Invalid``."""
    found = [field for field in fields if field.key == name]
    return sole_author([HeaderField(b"From", b"From:" + field.body) for field in found])
