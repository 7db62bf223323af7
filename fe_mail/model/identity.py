"""Who signed in with a mail protocol."""

import attrs

from fe_mail.model.account import Alias, Domain

__all__ = ["Identity"]


@attrs.frozen(kw_only=True)
class Identity:
    """
    An alias after login; with the key of its mailbox, if it came by a protocol that opens it.

    A session that only sends mail, or asks the API, has no use for the key and does not keep it.
    """

    alias: Alias
    domain: Domain
    credential_id: str
    mailbox_key: bytes = attrs.field(default=b"", repr=False)
