"""Who signed in with a mail protocol."""

import attrs

from fe_mail.model.account import Alias, Domain

__all__ = ["Identity"]


@attrs.frozen(kw_only=True)
class Identity:
    """An alias after login, with the key of its mailbox."""

    alias: Alias
    domain: Domain
    credential_id: str
    mailbox_key: bytes = attrs.field(repr=False)
