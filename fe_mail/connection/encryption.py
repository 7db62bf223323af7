"""
TLS as a connection sees it.
"""

from typing import Any

from OpenSSL import SSL
from twisted.internet.interfaces import IOpenSSLContextFactory, IOpenSSLServerConnectionCreator

__all__ = ["TLS", "describe_tls"]

TLS = IOpenSSLServerConnectionCreator | IOpenSSLContextFactory


def describe_tls(transport: Any) -> str:
    """``TLSv1.3 TLS_AES_256_GCM_SHA384``; empty without TLS or before its handshake is done."""
    handle = getattr(transport, "getHandle", lambda: None)()
    if not isinstance(handle, SSL.Connection) or not handle.get_cipher_name():
        return ""
    return f"{handle.get_protocol_version_name()} {handle.get_cipher_name()}"
