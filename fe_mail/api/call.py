"""One call of the API, and what may go back."""

from collections.abc import Mapping

import attrs

from fe_mail.api.app import API
from fe_mail.http.bodies import Fields
from fe_mail.http.request import Request
from fe_mail.http.services import Services
from fe_mail.model.account import User
from fe_mail.model.identity import Identity
from fe_mail.model.sentence import Sentence

__all__ = ["Answer", "Call", "Text"]


@attrs.define(kw_only=True)
class Call:
    """A request after its checks. ``user`` or ``identity`` is set where a route asks for one."""

    api: API = attrs.field(repr=False)
    request: Request = attrs.field(repr=False)
    remote: str
    user: User | None = None
    identity: Identity | None = None
    fields: Fields = attrs.field(factory=dict, repr=False)
    query: Mapping[str, str] = attrs.field(factory=dict)

    @property
    def services(self) -> Services:
        """The services behind the API."""
        return self.api.services

    @property
    def owner(self) -> User:
        """The user, on routes that ask for a token."""
        assert self.user is not None
        return self.user


@attrs.frozen
class Answer:
    """A body to send as JSON, with extra headers."""

    body: object
    headers: Mapping[str, str] = attrs.field(factory=dict)


@attrs.frozen
class Text:
    """A plain text answer; a ``Sentence`` is translated."""

    text: str | Sentence
