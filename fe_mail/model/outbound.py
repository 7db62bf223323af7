"""
What is handed to another mail host, and what it answered.

An ``Attempt`` is one transaction (RFC 5321 §3.3) with the SMTP extensions that it wishes; a
``Transmission`` holds the host's answer to every recipient, in the order of the attempt.
RFC 3461 (DSN), RFC 6152 (8BITMIME), RFC 6531 (SMTPUTF8), RFC 3207 (STARTTLS).
"""

import enum

import attrs

from fe_mail.model.status import Status

__all__ = ["Attempt", "OutboundRecipient", "RemoteReply", "Stage", "TLSWish", "Transmission"]


class TLSWish(enum.Enum):
    """How much encryption a transaction needs."""

    NONE = "none"
    OPPORTUNISTIC = "opportunistic"  # if offered, unverified; in clear if it fails
    REQUIRED = "required"  # without it nothing is sent


class Stage(enum.Enum):
    """The step of the dialogue that decided."""

    GREETING = "greeting"
    HELLO = "hello"
    TLS = "tls"
    MAIL = "mail"
    RECIPIENT = "recipient"
    CONTENT = "content"


@attrs.frozen(kw_only=True)
class OutboundRecipient:
    """One RCPT TO; ``notify`` and ``original`` go on where the host offers DSN."""

    address: str
    notify: tuple[str, ...] = ()
    original: str = ""


@attrs.frozen(kw_only=True)
class Attempt:
    """
    One transaction. ``prefix`` is written before the content (trace fields). ``is_8bit`` and
    ``is_utf8``: the content, or its header, has octets beyond ASCII.
    """

    reverse_path: str  # empty: <>
    recipients: tuple[OutboundRecipient, ...]
    size_octets: int
    prefix: bytes = b""
    is_8bit: bool = False
    is_utf8: bool = False
    envelope_id: str = ""
    dsn_return: str = ""
    tls: TLSWish = TLSWish.OPPORTUNISTIC
    session_id: str = ""
    is_hurried: bool = False  # other mail waits: a host that does not answer soon is left

    @property
    def needs_utf8_envelope(self) -> bool:
        """An address cannot be said without SMTPUTF8."""
        addresses = (self.reverse_path, *(one.address for one in self.recipients))
        return not all(address.isascii() for address in addresses)


@attrs.frozen(kw_only=True)
class RemoteReply(Status):
    """
    A reply of the other host; without an enhanced code it has one made from the code.

    ``said`` is what came over the wire, empty when the reply is our own conclusion.
    """

    stage: Stage
    said: str = ""


@attrs.frozen(kw_only=True)
class Transmission:
    """``replies[i]`` is the answer for ``attempt.recipients[i]``."""

    replies: tuple[RemoteReply, ...]
    host: str
    ip: str = ""
    tls: str = ""  # "TLSv1.3 TLS_AES_256_GCM_SHA384", empty without TLS

    @property
    def is_session_refused(self) -> bool:
        """
        The host did not want to talk at all, or closed before it got content: another one may.
        """
        return all(reply.stage in _SESSION or _is_closing(reply) for reply in self.replies)


_SESSION = frozenset({Stage.GREETING, Stage.HELLO, Stage.TLS})


def _is_closing(reply: RemoteReply) -> bool:
    """421 (RFC 5321 §3.8)."""
    return reply.code == 421 and reply.stage in (Stage.MAIL, Stage.RECIPIENT)
