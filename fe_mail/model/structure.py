"""
A message as MIME sees it: the tree of its parts with octet offsets, and its envelope.

Offsets are positions in the raw message. ``header_start:body_start`` is the header including
the empty line, ``body_start:body_end`` the body. RFC 2045, RFC 2046, RFC 9051 §7.5.2.
"""

import attrs

__all__ = ["Digest", "Mailbox", "MessageEnvelope", "Outline", "Part", "SortValues"]


@attrs.frozen
class Mailbox:
    """
    One entry of an address list, raw octets as they stand in the header (encoded words kept).

    ``host`` None marks the start of a group named by ``mailbox`` or, with ``mailbox`` None
    too, its end. RFC 9051 §7.5.2 (address structure).
    """

    name: bytes | None
    mailbox: bytes | None
    host: bytes | None
    route: bytes | None = None


@attrs.frozen(kw_only=True)
class MessageEnvelope:
    """The ENVELOPE of RFC 9051 §7.5.2: raw octets, unfolded; None where the field is absent."""

    date: bytes | None = None
    subject: bytes | None = None
    from_: tuple[Mailbox, ...] = ()
    sender: tuple[Mailbox, ...] = ()
    reply_to: tuple[Mailbox, ...] = ()
    to: tuple[Mailbox, ...] = ()
    cc: tuple[Mailbox, ...] = ()
    bcc: tuple[Mailbox, ...] = ()
    in_reply_to: bytes | None = None
    message_id: bytes | None = None


@attrs.frozen(kw_only=True)
class Part:
    """
    A MIME entity. Names (type, subtype, parameter names, encoding) are lower case, values raw.

    A multipart has ``parts``; a message/rfc822 has exactly one in ``parts`` and the embedded
    message's ``envelope``. ``lines`` counts the lines of the body as transferred.
    """

    type: bytes = b"text"
    subtype: bytes = b"plain"
    params: tuple[tuple[bytes, bytes], ...] = ()
    content_id: bytes | None = None
    description: bytes | None = None
    encoding: bytes = b"7bit"
    md5: bytes | None = None
    disposition: tuple[bytes, tuple[tuple[bytes, bytes], ...]] | None = None
    language: tuple[bytes, ...] = ()
    location: bytes | None = None
    header_start: int = 0
    body_start: int = 0
    body_end: int = 0
    lines: int = 0
    parts: tuple["Part", ...] = ()
    envelope: MessageEnvelope | None = None

    @property
    def size_octets(self) -> int:
        """Octets of the body as transferred."""
        return self.body_end - self.body_start

    @property
    def is_multipart(self) -> bool:
        """True for multipart/*, whose sections are numbered 1, 2, ... (RFC 9051 §6.4.5.1)."""
        return self.type == b"multipart"

    @property
    def is_message(self) -> bool:
        """True for message/rfc822 and message/global."""
        return self.type == b"message" and self.subtype in (b"rfc822", b"global")

    def param(self, name: bytes) -> bytes | None:
        """A Content-Type parameter by its lower-case name."""
        return next((value for key, value in self.params if key == name), None)


@attrs.frozen(kw_only=True)
class Outline:
    """Where the parts of a message are: all that is needed to cut sections out of it."""

    header_start: int = 0
    body_start: int = 0
    body_end: int = 0
    is_multipart: bool = False
    is_message: bool = False
    parts: tuple["Outline", ...] = ()


@attrs.frozen(kw_only=True)
class SortValues:
    """Decoded values that lists are sorted and threads are made by (RFC 5256, RFC 5957)."""

    base_subject: str = ""
    from_mailbox: str = ""  # of the first address
    to_mailbox: str = ""
    cc_mailbox: str = ""
    from_display: str = ""  # the display name of the first address, else the address
    to_display: str = ""
    message_id: str = ""  # without angle brackets
    in_reply_to: tuple[str, ...] = ()
    references: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class Digest:
    """Everything about a message that is computed once, at arrival."""

    envelope: MessageEnvelope
    structure: Part
    header: str = attrs.field(repr=False)  # all fields decoded and unfolded, "Name: value\n" each
    text: str = attrs.field(repr=False)  # the readable text of all text parts, decoded
    mime: str = attrs.field(default="", repr=False)  # the fields of the parts, and names of files
    subject: str = ""  # decoded
    preview: str = ""  # how the text begins, on one line
    sort: SortValues = SortValues()
    sent_at: float = 0.0  # the Date field, 0.0 if none or unreadable
    sent_day: int = 0  # its day as written, without time zone (date.toordinal), 0 if none
    has_attachment: bool = False
    attachments: tuple[tuple[int, int], ...] = ()  # body offsets worth storing once
