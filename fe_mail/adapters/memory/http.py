"""
An ``HTTPPost`` without a network: the specification of the port, for the tests of its users.

``answers`` maps URLs to what comes back, an error among it; a list is used up, its last entry
stays. Everything that was posted is kept.
"""

from collections.abc import Mapping

from fe_mail.model.errors import MailError, NotFound
from fe_mail.model.web import Posting, WebAnswer
from fe_mail.ports.http import MAX_ANSWER_OCTETS

__all__ = ["MemoryHTTP"]

Said = WebAnswer | MailError


class MemoryHTTP:
    """A web of the given URLs; any other has a host that does not exist."""

    def __init__(self, answers: Mapping[str, Said | list[Said]] | None = None) -> None:
        self.answers = dict(answers or {})
        self.posted: list[Posting] = []
        self.timeouts: list[float] = []

    async def post(self, posting: Posting, timeout_seconds: float) -> WebAnswer:
        """Keep the request and give the next answer."""
        self.timeouts.append(timeout_seconds)
        said = self.answers.get(posting.url, NotFound("The host does not exist."))
        if isinstance(said, list):
            said = said.pop(0) if len(said) > 1 else said[0]
        if isinstance(said, MailError):
            raise said
        self.posted.append(posting)
        return WebAnswer(status=said.status, body=said.body[:MAX_ANSWER_OCTETS], ip=said.ip)
