"""
Passwords of aliases: how they are made, judged, prepared and turned into key slots.

A generated password has 24 characters of full entropy, so 4,096 iterations are enough; one that
a person chose gets 600,000. The recovery code is a second way to the same mailbox key, in
groups that can be read aloud. Neither is ever stored: only the verifier and the wrapped
mailbox key are (see ``fe_mail.model.account.Credential``).

RFC 4013 (SASLprep, so that PLAIN and SCRAM mean the same password); RFC 5802 §3, RFC 7677 §4.
"""

import hmac
import math
import secrets
import stringprep
import unicodedata
from collections.abc import Callable, Sequence
from typing import TypeVar

import attrs

from fe_mail.accounts.guessing import judge
from fe_mail.accounts.scram import derive_keys
from fe_mail.model.account import Credential
from fe_mail.model.errors import Invalid
from fe_mail.model.ids import AliasId, new_id
from fe_mail.model.sentence import Sentence
from fe_mail.ports import Keyring

__all__ = [
    "CHOSEN_ITERATIONS",
    "GENERATED_ITERATIONS",
    "GENERATED_LENGTH",
    "MAX_PASSWORD_LENGTH",
    "RECOVERY_BITS",
    "Slot",
    "check_strength",
    "find_slot",
    "generate_password",
    "generate_recovery_code",
    "new_credential",
    "normalize_recovery_code",
    "prepare",
    "run_here",
]

T = TypeVar("T")

GENERATED_ITERATIONS = 4096
CHOSEN_ITERATIONS = 600_000
GENERATED_LENGTH = 24
MAX_PASSWORD_LENGTH = 128
SALT_OCTETS = 16
MAX_DERIVATIONS = 4  # distinct (salt, iterations) tried for one login

# Without the characters that people confuse when they copy by hand.
_ALPHABET = "abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"
_RECOVERY_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's base 32
_RECOVERY_GROUPS = 7
_RECOVERY_GROUP_LENGTH = 4
RECOVERY_BITS = int(_RECOVERY_GROUPS * _RECOVERY_GROUP_LENGTH * math.log2(len(_RECOVERY_ALPHABET)))


@attrs.frozen(kw_only=True)
class Slot:
    """A credential whose password was right, and the ClientKey that opens its key slot."""

    credential: Credential
    client_key: bytes = attrs.field(repr=False)


def prepare(password: str) -> str:
    """
    Trim and apply SASLprep (RFC 4013). ``Invalid`` when empty, too long or prohibited.

    Unassigned code points pass, as in a query (RFC 3454 §7).
    """
    mapped = "".join(
        " " if stringprep.in_table_c12(char) else char
        for char in password[: MAX_PASSWORD_LENGTH * 4]
        if not stringprep.in_table_b1(char)
    )
    text = unicodedata.ucd_3_2_0.normalize("NFKC", mapped).strip(" ")
    if not text:
        raise Invalid("A password is needed.", field="password", code="INVALID_PASSWORD")
    if len(text) > MAX_PASSWORD_LENGTH or len(password) > MAX_PASSWORD_LENGTH * 4:
        raise Invalid(
            Sentence(
                "The password is longer than %(limit)s characters.", limit=MAX_PASSWORD_LENGTH
            ),
            field="password",
            code="INVALID_PASSWORD",
        )
    if any(_is_prohibited(char) for char in text) or _mixes_directions(text):
        raise Invalid(
            "The password has characters that cannot be typed.",
            field="password",
            code="INVALID_PASSWORD",
        )
    return text


def _is_prohibited(char: str) -> bool:
    return (
        stringprep.in_table_c21_c22(char)
        or stringprep.in_table_c3(char)
        or stringprep.in_table_c4(char)
        or stringprep.in_table_c5(char)
        or stringprep.in_table_c6(char)
        or stringprep.in_table_c7(char)
        or stringprep.in_table_c8(char)
        or stringprep.in_table_c9(char)
    )


def _mixes_directions(text: str) -> bool:
    if not any(stringprep.in_table_d1(char) for char in text):
        return False
    return any(stringprep.in_table_d2(char) for char in text) or not (
        stringprep.in_table_d1(text[0]) and stringprep.in_table_d1(text[-1])
    )


def generate_password() -> str:
    """24 random characters, about 139 bits."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(GENERATED_LENGTH))


def generate_recovery_code() -> str:
    """Seven groups of four, 140 bits: ``7K2M-...``."""
    return "-".join(
        "".join(secrets.choice(_RECOVERY_ALPHABET) for _ in range(_RECOVERY_GROUP_LENGTH))
        for _ in range(_RECOVERY_GROUPS)
    )


def normalize_recovery_code(text: str) -> str:
    """The code as generated, however it was typed; empty if it can be none."""
    typed = text.upper().replace("O", "0").replace("I", "1").replace("L", "1")
    code = "".join(char for char in typed if char not in "- ")
    if len(code) != _RECOVERY_GROUPS * _RECOVERY_GROUP_LENGTH:
        return ""
    if not all(char in _RECOVERY_ALPHABET for char in code):
        return ""
    step = _RECOVERY_GROUP_LENGTH
    return "-".join(code[start : start + step] for start in range(0, len(code), step))


def check_strength(
    password: str, context: Sequence[str] = (), field: str = "password", quotes: bool = True
) -> str:
    """
    The prepared password, or ``Invalid`` with advice when it is too easy to guess.

    ``context`` are words that the password must not lean on (the address, the domain).
    ``quotes`` False refuses ``'`` and ``"``, which many mail clients mangle. Takes up to 100 ms:
    for a thread.
    """
    text = prepare(password)
    if not quotes and ("'" in text or '"' in text):
        raise Invalid(
            "The password must not hold quotation marks.", field=field, code="INVALID_PASSWORD"
        )
    advice = judge(text, context)
    if advice is not None:
        raise Invalid(advice, field=field, code="INVALID_PASSWORD_STRENGTH")
    return text


async def run_here(work: Callable[[], T]) -> T:
    """An ``Offload`` that goes nowhere, for callers that may wait."""
    return work()


async def new_credential(
    keyring: Keyring,
    alias_id: AliasId,
    password: str,
    mailbox_key: bytes,
    now: float,
    *,
    iterations: int,
    kind: str = "password",
    description: str = "",
) -> Credential:
    """A verifier of ``password`` (prepared) with the mailbox key wrapped for it."""
    salt = secrets.token_bytes(SALT_OCTETS)
    keys = derive_keys(await keyring.salted_password(password, salt, iterations))
    return Credential(
        id=new_id(now),
        alias_id=alias_id,
        kind=kind,
        description=description,
        salt=salt,
        iterations=iterations,
        stored_key=keys.stored_key,
        server_key=keys.server_key,
        wrapped_key=keyring.wrap(mailbox_key, keys.client_key, alias_id),
        created_at=now,
    )


async def find_slot(
    keyring: Keyring, credentials: Sequence[Credential], password: str
) -> Slot | None:
    """The slot that ``password`` (prepared) opens, newest first; None if it opens none."""
    for credential in list(reversed(credentials))[:MAX_DERIVATIONS]:
        keys = derive_keys(
            await keyring.salted_password(password, credential.salt, credential.iterations)
        )
        if hmac.compare_digest(keys.stored_key, credential.stored_key):
            return Slot(credential=credential, client_key=keys.client_key)
    return None
