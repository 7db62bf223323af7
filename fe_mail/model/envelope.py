"""
What a message travels with: the SMTP envelope and the trace of the session it came by.

RFC 5321 §2.3.1 (envelope), RFC 3461 (DSN parameters), RFC 6531 (SMTPUTF8).
"""

import attrs

from fe_mail.model.address import Address

__all__ = ["Envelope", "Peer", "Recipient"]


@attrs.frozen(kw_only=True)
class Peer:
    """Who spoke to us, and how. ``ip`` is empty for mail of our own making."""

    ip: str = ""
    port: int = 0
    helo: str = ""
    host: str = ""  # verified reverse name, empty if none
    protocol: str = "ESMTP"  # RFC 3848: ESMTP, ESMTPS, ESMTPA, ESMTPSA, UTF8SMTPSA ...
    tls: str = ""  # "TLSv1.3 TLS_AES_256_GCM_SHA384", empty without TLS
    session_id: str = ""  # follows the message through the logs


@attrs.frozen(kw_only=True)
class Recipient:
    """One RCPT TO with its DSN parameters (RFC 3461 §4.1, §4.2)."""

    address: Address
    notify: tuple[str, ...] = ()  # empty: the default (FAILURE, DELAY)
    original: str = ""  # ORCPT as given, "rfc822;..."


@attrs.frozen(kw_only=True)
class Envelope:
    """``reverse_path`` is None for the null sender ``<>``."""

    reverse_path: Address | None
    recipients: tuple[Recipient, ...] = ()
    envelope_id: str = ""  # ENVID
    dsn_return: str = ""  # RET: "FULL", "HDRS" or empty
    is_8bit: bool = False  # BODY=8BITMIME
    is_utf8: bool = False  # SMTPUTF8
    requires_tls: bool = False  # REQUIRETLS (RFC 8689)
    peer: Peer = Peer()
