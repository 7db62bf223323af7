"""HTTP as a client."""

from typing import Protocol

from fe_mail.model.web import Posting, WebAnswer

__all__ = ["MAX_ANSWER_OCTETS", "HTTPPost"]

MAX_ANSWER_OCTETS = 1024  # of the body of an answer that are kept


class HTTPPost(Protocol):
    """HTTP as a client: post one request to an address that somebody else chose."""

    async def post(self, posting: Posting, timeout_seconds: float) -> WebAnswer:
        """
        Send it once; redirects are answers like any other.

        Connections go to public addresses only, and to the very addresses that were looked at.
        ``Invalid``: no URL that can be asked. ``NotFound``: its host does not exist.
        ``PermissionDenied``: it has no address to which we may connect. ``Unavailable``: no
        answer within ``timeout_seconds``, or none that is HTTP, or nobody with the host's
        certificate; whether the other side got the request is then unknown.
        """
