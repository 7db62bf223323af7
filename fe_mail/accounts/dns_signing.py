"""
The check of a domain's DKIM key: would a verifier find the key that this server signs with, and use
it? RFC 6376 §3.6.1 (the tags), §3.6.2.2 (one record), §6.1.2 (what a verifier does with it).
"""

import re

from fe_mail.accounts.dns_findings import Finding, Question, Verdict
from fe_mail.accounts.tag_list import TagList, read_tags
from fe_mail.model.sentence import Sentence

__all__ = ["dkim"]

_LIST = re.compile(r"[\s:]+")


async def dkim(question: Question) -> Finding:
    """The record at the selector."""
    name = question.name
    records = await question.texts(name)
    if not records:
        return await question.text_beside() or (
            Verdict.MISSING,
            Sentence("There is no TXT record at %(name)s. Publish the key shown here.", name=name),
        )
    if len(records) > 1:
        return Verdict.WRONG, Sentence(
            "There are %(count)s TXT records at %(name)s. Keep only the key shown here.",
            count=len(records),
            name=name,
        )
    if "\\" in records[0] or '"' in records[0]:
        return Verdict.WRONG, Sentence(
            "The key at %(name)s has backslashes or quotation marks in it, which verifiers do not "
            "expect. Enter it exactly as it is shown here.",
            name=name,
        )
    return _judge_key(name, read_tags(records[0]), read_tags(question.record.value))


def _judge_key(name: str, found: TagList, wanted: TagList) -> Finding:
    """By what the key is, and by what it says that it may be used for."""
    if "p" in found.names and not found.get("p"):
        return Verdict.WRONG, Sentence(
            "The key at %(name)s is revoked: its “p=” is empty. Replace the record by the one "
            "shown here.",
            name=name,
        )
    is_dkim = "v" not in found.names or found.begins_with("v", "DKIM1")
    if not found.is_valid or not is_dkim or _bare(found.get("p")) != _bare(wanted.get("p")):
        return Verdict.WRONG, Sentence(
            "The key at %(name)s is another one, or part of it is missing. Replace the record by "
            "the one shown here.",
            name=name,
        )
    if not _permits(found):
        return Verdict.WRONG, Sentence(
            "The key at %(name)s is the right one, but its other tags do not allow our signatures "
            "(RSA with SHA-256, for mail). Replace the record by the one shown here.",
            name=name,
        )
    if "y" in _words(found.get("t")):
        return Verdict.DOUBTFUL, Sentence(
            "The DKIM key is published, but marked as a test (“t=y”), so verifiers may ignore it. "
            "Remove that tag."
        )
    return Verdict.RIGHT, Sentence("The DKIM key is published.")


def _permits(tags: TagList) -> bool:
    services = _words(tags.get("s", "*"))
    hashes = _words(tags.get("h", "sha256"))
    return (
        tags.get("k", "rsa").lower() == "rsa"
        and "sha256" in hashes
        and bool({"*", "email"} & set(services))
    )


def _words(text: str) -> list[str]:
    return [word for word in _LIST.split(text.lower()) if word]


def _bare(key: str) -> str:
    """Base64 without the white space that folding put into it."""
    return "".join(key.split())
