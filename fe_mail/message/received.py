"""
The trace field Received.

What the peer said of itself (its HELO name) is reduced to harmless characters before it enters
a header. RFC 5321 §4.4; RFC 3848 (protocol names).
"""

import re

from fe_mail.message.dates import format_date
from fe_mail.model.address import Address
from fe_mail.model.envelope import Peer

__all__ = ["received_field"]

MAX_NAME_CHARACTERS = 255

_UNSAFE_NAME = re.compile(r"[^A-Za-z0-9.:_\-\[\]]")
_UNSAFE_TEXT = re.compile(r"[^A-Za-z0-9.:_\- /]")


def received_field(
    peer: Peer, *, by: str, queue_id: str, now: float, recipient: Address | None = None
) -> bytes:
    """
    The Received field for a message taken in at host ``by``.

    Name the recipient only when it is the only one, so that no Bcc leaks. One beyond ASCII is not
    named either, for it may lead to a host that takes ASCII only ("for" is optional).
    """
    lines = [f"from {_name(peer.helo) or 'unknown'} ({_network(peer)})"] if peer.ip else []
    lines.append(f"by {_name(by)} with {_name(peer.protocol)} id {_name(queue_id)}")
    if peer.tls:
        lines.append(f"(TLS: {_UNSAFE_TEXT.sub('?', peer.tls)[:MAX_NAME_CHARACTERS]})")
    if recipient is not None and str(recipient).isascii():
        lines.append(f"for <{_printable(str(recipient))}>")
    trace = "\r\n\t".join(lines)
    return f"Received: {trace};\r\n\t{format_date(now)}\r\n".encode()


def _network(peer: Peer) -> str:
    ip = _name(peer.ip)
    literal = f"[IPv6:{ip}]" if ":" in ip else f"[{ip}]"
    return f"{_name(peer.host)} {literal}" if peer.host else literal


def _name(text: str) -> str:
    return _UNSAFE_NAME.sub("?", text)[:MAX_NAME_CHARACTERS]


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in text)
