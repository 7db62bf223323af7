"""
Is a state-changing request our own page's doing? The defense against forged requests.

Browsers say where a request comes from in ``Sec-Fetch-Site`` (to trustworthy origins) and in
``Origin`` (on every POST); pages elsewhere can set neither. The session cookie is SameSite=Lax
besides. A client that sends neither header is no browser and carries nobody's cookie by force.
Also: which redirect targets are local. Fetch Metadata; RFC 6454.
"""

from urllib.parse import unquote, urlsplit

__all__ = ["SAFE_METHODS", "is_own", "local_target"]

SAFE_METHODS = frozenset({b"GET", b"HEAD", b"OPTIONS"})

_OWN_SITES = frozenset({"same-origin", "none"})


def is_own(*, site: str, origin: str, referer: str, host: str, is_secure: bool) -> bool:
    """True when the headers say same origin, or when no browser sent them."""
    if site and site.lower() not in _OWN_SITES:
        return False
    source = origin or referer
    if not source:
        return True
    try:
        parts = urlsplit(source)
        port = parts.port
    except ValueError:
        return False
    scheme = "https" if is_secure else "http"
    if parts.scheme != scheme or not parts.hostname:
        return False
    return _authority(parts.hostname, port, scheme) == _host(host, scheme)


def _authority(name: str, port: int | None, scheme: str) -> tuple[str, int]:
    return name.lower(), port or (443 if scheme == "https" else 80)


def _host(host: str, scheme: str) -> tuple[str, int] | None:
    try:
        parts = urlsplit(f"//{host}")
        return _authority(parts.hostname or "", parts.port, scheme)
    except ValueError:
        return None


def local_target(target: str, default: str) -> str:
    """``target`` if it is a path on this server, else ``default``."""
    decoded = unquote(target)
    if not target.startswith("/") or decoded[1:2] in ("/", "\\"):
        return default
    if any(ord(char) < 0x21 or ord(char) == 0x7F or char == "\\" for char in decoded):
        return default
    parts = urlsplit(target)
    return target if not parts.scheme and not parts.netloc else default
