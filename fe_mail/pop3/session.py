"""The state of one POP3 session (RFC 1939 §3)."""

import attrs

from fe_mail.pop3.maildrop import Maildrop

__all__ = ["Session"]


@attrs.define
class Session:
    """AUTHORIZATION while ``drop`` is None, TRANSACTION afterwards."""

    user: bytes | None = None  # what USER said
    drop: Maildrop | None = None
    failed_logins: int = 0
    mistakes: int = 0
