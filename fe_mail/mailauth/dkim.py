"""
DKIM: verifying what we get. (What we send is signed in ``signing``.)

``verify`` never raises for what is in a message. It hashes the body in pieces; to keep the reactor
free call ``examine`` in a thread, and await ``judge``; or let an ``Examination`` see a message as
it comes.

A signature with ``l=`` that leaves part of the body unsigned is *neutral*, never *pass*: anyone
could have added that part. RFC 6376 §5, §6; RFC 8301; RFC 8463; RFC 8601 §2.7.1 (results).
"""

import base64
from collections.abc import Sequence

import attrs
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256

from fe_mail.mailauth.canonical import BodyHash, header_hash
from fe_mail.mailauth.signing import SigningKey
from fe_mail.mailauth.tags import (
    KeyRecord,
    PublicKey,
    SignatureTags,
    parse_key_record,
    parse_signature,
)
from fe_mail.message.headers import HeaderField, header_bounds, header_fields
from fe_mail.model.dns import TXT
from fe_mail.model.errors import Invalid, Unavailable
from fe_mail.model.verdicts import Result
from fe_mail.ports import Resolver

__all__ = [
    "MAX_SIGNATURES",
    "Examination",
    "Examined",
    "Result",
    "Verdict",
    "examine",
    "is_signed_by",
    "judge",
    "verify",
]

# Signatures that are looked at, from the top; each may cost a DNS question.
MAX_SIGNATURES = 8
# Canonical forms (relaxed or simple, whole or up to ``l=``) that one body is hashed in.
MAX_BODY_HASHES = 4
# How far the clock of a signer may be ahead of ours.
MAX_CLOCK_SKEW_SECONDS = 3_600


@attrs.frozen(kw_only=True)
class Verdict:
    """What one signature is worth. ``reason`` is ours, for the log and for header.b reports."""

    result: Result
    domain: str = ""
    selector: str = ""
    identity: str = ""
    algorithm: str = ""
    reason: str = ""
    is_testing: bool = False
    signature_prefix: str = ""  # header.b of RFC 6008


@attrs.frozen(kw_only=True)
class Examined:
    """One signature with everything that needs no key: header hash, and whether ``bh=`` holds."""

    tags: SignatureTags | None
    verdict: Verdict  # final unless ``is_pending``
    header_hash: bytes = b""
    is_pending: bool = False


def _without_signature(raw: bytes) -> bytes:
    """A DKIM-Signature field with the value of ``b=`` deleted (RFC 6376 §3.5)."""
    name, colon, body = raw.partition(b":")
    items = body.split(b";")
    for index, item in enumerate(items):
        tag, equals, value = item.partition(b"=")
        if equals and tag.strip(b" \t\r\n") == b"b":
            # The line end of the field is no part of the value.
            line_end = b"\r\n" if index == len(items) - 1 and value.endswith(b"\r\n") else b""
            items[index] = tag + equals + line_end
    return name + colon + b";".join(items)


class Examination:
    """
    All that can be said of a message's signatures without their keys, while it streams by.

    Constant memory, and no call takes long whatever the size of the message.
    """

    def __init__(self, fields: Sequence[HeaderField], now: float) -> None:
        self._fields = fields
        self._now = now
        self._signatures: list[tuple[HeaderField, SignatureTags | Invalid]] = []
        self._hashes: dict[tuple[bool, int | None], BodyHash] = {}
        for field in [each for each in fields if each.key == b"dkim-signature"][:MAX_SIGNATURES]:
            try:
                tags = parse_signature(field.body)
                self._add_hash(tags)
            except Invalid as error:
                self._signatures.append((field, error))
            else:
                self._signatures.append((field, tags))

    def _add_hash(self, tags: SignatureTags) -> None:
        wanted = (tags.relaxed_body, tags.body_limit)
        if wanted in self._hashes:
            return
        if len(self._hashes) >= MAX_BODY_HASHES:
            raise Invalid("Too many different parts of the body are signed.")
        self._hashes[wanted] = BodyHash(relaxed=tags.relaxed_body, limit=tags.body_limit)

    def update(self, body: bytes | memoryview) -> None:
        """More of the body."""
        for each in self._hashes.values():
            each.update(body)

    def finish(self) -> tuple[Examined, ...]:
        """The end of the body."""
        hashes = {
            wanted: (body.digest(), body.total_octets) for wanted, body in self._hashes.items()
        }
        found = []
        for field, tags in self._signatures:
            if isinstance(tags, Invalid):
                found.append(_final(None, Result.PERMERROR, tags.message))
                continue
            digest, octets = hashes[tags.relaxed_body, tags.body_limit]
            found.append(_examine_one(tags, field, self._fields, digest, octets, self._now))
        return tuple(found)


def examine(raw: bytes, now: float) -> tuple[Examined, ...]:
    """The ``Examination`` of a message that is at hand. Costs a body hash."""
    body_start = header_bounds(raw)[0]
    examination = Examination(header_fields(raw[:body_start]), now)
    examination.update(memoryview(raw)[body_start:])
    return examination.finish()


def _examine_one(
    tags: SignatureTags,
    field: HeaderField,
    fields: Sequence[HeaderField],
    body_hash: bytes,
    body_octets: int,
    now: float,
) -> Examined:
    if tags.expires_at is not None and tags.expires_at < now:
        return _final(tags, Result.PERMERROR, "The signature has expired.")
    if tags.expires_at is not None and tags.expires_at < (tags.signed_at or 0):
        return _final(tags, Result.PERMERROR, "The signature expires before it was made.")
    if tags.signed_at is not None and tags.signed_at > now + MAX_CLOCK_SKEW_SECONDS:
        return _final(tags, Result.PERMERROR, "The signature is from the future.")
    if tags.body_limit is not None and tags.body_limit > body_octets:
        return _final(tags, Result.PERMERROR, "The body is shorter than what was signed.")
    if body_hash != tags.body_hash:
        return _final(tags, Result.FAIL, "The body was changed.")
    digest = header_hash(
        [other for other in fields if other is not field],
        tags.fields,
        tags.relaxed_header,
        _without_signature(field.raw),
    )
    result, reason = Result.PASS, ""
    if tags.body_limit is not None and tags.body_limit < body_octets:
        result, reason = Result.NEUTRAL, "Part of the body is not signed."
    return Examined(
        tags=tags, verdict=_verdict(tags, result, reason), header_hash=digest, is_pending=True
    )


def _final(tags: SignatureTags | None, result: Result, reason: str) -> Examined:
    return Examined(tags=tags, verdict=_verdict(tags, result, reason))


def _verdict(tags: SignatureTags | None, result: Result, reason: str) -> Verdict:
    if tags is None:
        return Verdict(result=result, reason=reason)
    return Verdict(
        result=result,
        reason=reason,
        domain=tags.domain,
        selector=tags.selector,
        identity=tags.identity,
        algorithm=tags.algorithm,
        signature_prefix=base64.b64encode(tags.signature).decode("ascii")[:8],
    )


async def judge(examined: Sequence[Examined], resolver: Resolver) -> tuple[Verdict, ...]:
    """Fetch the keys and decide. One ``NONE`` when there was no signature."""
    verdicts = [
        await _judge_one(one, resolver) if one.is_pending else one.verdict for one in examined
    ]
    return tuple(verdicts) or (Verdict(result=Result.NONE),)


def is_signed_by(raw: bytes, key: SigningKey, *, domain: str, now: float) -> bool:
    """Does the message bear a signature of the domain by this key, over all of it? A body hash."""
    public = key.private.public_key()
    return any(
        one.tags is not None
        and one.verdict.result is Result.PASS
        and one.tags.domain == domain
        and _is_valid(public, one.tags.signature, one.header_hash)
        for one in examine(raw, now)
        if one.is_pending
    )


async def verify(raw: bytes, resolver: Resolver, now: float) -> tuple[Verdict, ...]:
    """``examine`` and ``judge`` in one, for messages that are small or already in a thread."""
    return await judge(examine(raw, now), resolver)


async def _judge_one(one: Examined, resolver: Resolver) -> Verdict:
    tags = one.tags
    assert tags is not None
    try:
        answer = await resolver.query(f"{tags.selector}._domainkey.{tags.domain}", TXT)
    except Unavailable:
        return attrs.evolve(one.verdict, result=Result.TEMPERROR, reason="The key has no answer.")
    try:
        record = _only_key(answer.records, tags.algorithm)
    except Invalid as error:
        return attrs.evolve(one.verdict, result=Result.PERMERROR, reason=error.message)
    verdict = attrs.evolve(one.verdict, is_testing=record.is_testing)
    if record.is_strict and tags.identity.rpartition("@")[2] != tags.domain:
        reason = "The key does not allow identities of subdomains."
        return attrs.evolve(verdict, result=Result.PERMERROR, reason=reason)
    if not _is_valid(record.key, tags.signature, one.header_hash):
        return attrs.evolve(verdict, result=Result.FAIL, reason="The signature does not match.")
    return verdict


def _only_key(records: Sequence[str], algorithm: str) -> KeyRecord:
    """The key of a name; several records are a mistake, and none can be preferred."""
    if not records:
        raise Invalid("There is no key.")
    if len(records) > 1:
        raise Invalid("There is more than one key record.")
    return parse_key_record(records[0], algorithm)


def _is_valid(key: PublicKey, signature: bytes, digest: bytes) -> bool:
    try:
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, digest, padding.PKCS1v15(), Prehashed(SHA256()))
        else:
            key.verify(signature, digest)
    except InvalidSignature:
        return False
    return True
