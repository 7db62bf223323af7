"""``GET /v1/test``: proof of life, and an address for a delivery test."""

import secrets
import string

from fe_mail.api.call import Call, Text

__all__ = ["test"]

MAX_LABEL_CHARS = 40
RANDOM_CHARS = 10

_ALPHABET = string.ascii_lowercase + string.digits


async def test(call: Call) -> Text:
    """An address built from ``label`` and random characters, which nobody else has."""
    wanted = call.query.get("label", "")[:MAX_LABEL_CHARS].lower()
    label = "".join(char for char in wanted if char in _ALPHABET + "-.").strip("-.") or "test"
    suffix = "".join(secrets.choice(_ALPHABET) for _ in range(RANDOM_CHARS))
    return Text(f"{label}-{suffix}@{call.api.mail_host}")
