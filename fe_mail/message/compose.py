"""
Messages of our own making: welcome mail, reports, notices.

Every field is built from values by a function that cannot emit a line end of the caller's, so a
name, subject or address from outside can never add a field. Bodies leave as 7bit or
quoted-printable with CRLF, lines short enough for every transport.

RFC 5322 §2.1.1, §3.6; RFC 2045 §6.7; RFC 2047; RFC 3834 §5 (Auto-Submitted).
"""

import binascii
import re
import secrets
from collections.abc import Sequence

import attrs

from fe_mail.message.dates import format_date
from fe_mail.message.headers import is_field_name
from fe_mail.message.words import encode_phrase, encode_unstructured
from fe_mail.model.address import Address
from fe_mail.model.errors import Invalid

__all__ = [
    "MAX_LINE_OCTETS",
    "Correspondent",
    "SystemMail",
    "address_field",
    "compose",
    "date_field",
    "format_correspondent",
    "id_field",
    "new_message_id",
    "text_entity",
    "text_field",
]

# RFC 5322 §2.1.1, without the CRLF.
MAX_LINE_OCTETS = 998

_MESSAGE_ID = re.compile(r"<[!-;=?-~]{1,900}>\Z")
_LINE_END = re.compile(r"\r\n|\r|\n")


@attrs.frozen
class Correspondent:
    """An address with the name to show."""

    address: Address
    name: str = ""


@attrs.frozen(kw_only=True)
class SystemMail:
    """
    A plain-text message to be composed. ``extra`` are further unstructured fields.

    ``automatic`` sets Auto-Submitted, so that no responder answers (RFC 3834 §5).
    """

    author: Correspondent
    to: tuple[Correspondent, ...]
    subject: str
    text: str
    date: float
    message_id: str
    in_reply_to: str = ""
    automatic: str = "auto-generated"
    extra: tuple[tuple[str, str], ...] = ()


def compose(mail: SystemMail) -> bytes:
    """The message, CRLF line ends."""
    head = [
        date_field(mail.date),
        address_field("From", [mail.author]),
        address_field("To", mail.to),
        text_field("Subject", mail.subject),
        id_field("Message-ID", [mail.message_id]),
        id_field("In-Reply-To", [mail.in_reply_to]),
        id_field("References", [mail.in_reply_to]),
        text_field("Auto-Submitted", mail.automatic) if mail.automatic else b"",
        *(text_field(name, text) for name, text in mail.extra),
        b"MIME-Version: 1.0\r\n",
    ]
    return b"".join(head) + text_entity(mail.text)


def text_field(name: str, text: str) -> bytes:
    """An unstructured field; ``Invalid`` if the name is none."""
    if not is_field_name(name):
        raise Invalid("The name of the header field is not valid.", field="name")
    return f"{name}: {encode_unstructured(text)}\r\n".encode("ascii")


def address_field(name: str, entries: Sequence[Correspondent]) -> bytes:
    """A field with addresses, one a line; addresses beyond ASCII stay UTF-8 (RFC 6532)."""
    if not is_field_name(name):
        raise Invalid("The name of the header field is not valid.", field="name")
    lines = ",\r\n ".join(format_correspondent(entry) for entry in entries)
    return f"{name}: {lines or 'undisclosed-recipients:;'}\r\n".encode()


def format_correspondent(entry: Correspondent) -> str:
    """One entry of an address list."""
    address = str(entry.address)
    if not address.isprintable():
        raise Invalid("The address is not valid.", field="address")
    return f"{encode_phrase(entry.name)} <{address}>" if entry.name.strip() else address


def id_field(name: str, ids: Sequence[str]) -> bytes:
    """A field of message ids; those that are none are left out, and so is an empty field."""
    if not is_field_name(name):
        raise Invalid("The name of the header field is not valid.", field="name")
    valid = "\r\n ".join(identifier for identifier in ids if _MESSAGE_ID.match(identifier))
    return f"{name}: {valid}\r\n".encode("ascii") if valid else b""


def date_field(seconds: float, name: str = "Date") -> bytes:
    """A field with a date."""
    return f"{name}: {format_date(seconds)}\r\n".encode("ascii")


def new_message_id(host: str, now: float) -> str:
    """A fresh Message-ID at a host of ours (RFC 5322 §3.6.4)."""
    return f"<{int(now):x}.{secrets.token_hex(12)}@{host}>"


def text_entity(text: str) -> bytes:
    """A text/plain part: its fields, the empty line and the encoded body."""
    body = _LINE_END.sub("\r\n", text.replace("\0", "")).encode("utf-8", "replace")
    if not body.endswith(b"\r\n"):
        body += b"\r\n"
    if body.isascii() and max(map(len, body.split(b"\r\n"))) <= MAX_LINE_OCTETS:
        encoding = b"7bit"
    else:
        encoding, body = b"quoted-printable", binascii.b2a_qp(body, istext=True)
    return (
        b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: "
        + encoding
        + b"\r\n\r\n"
        + body
    )
