"""
What people paste into a form, read as they meant it: addresses of web pages, whole e-mail
addresses, entries of an address book.

For forms that a person fills in; programs say what they mean. Nothing is judged here: what comes
out goes through ``validation`` like everything else, and what makes no sense comes out as it was.

RFC 3986 §3 (the parts of a URL), RFC 5322 §3.4 (a name before an address), RFC 6068 (mailto).
"""

import re

from fe_mail.accounts.validation import domain_name
from fe_mail.model.errors import Invalid
from fe_mail.model.sentence import Sentence

__all__ = ["MAX_PASTED_LENGTH", "pasted_domain", "pasted_local", "pasted_recipients"]

MAX_PASTED_LENGTH = 2000  # as long as a URL may be

_SCHEME = re.compile(r"(?:(?:https?|ftp|imaps?|smtps?):/*|mailto:|//)", re.IGNORECASE)
_END_OF_HOST = re.compile(r"[/?#\\]")
_PORT = re.compile(r":[0-9]{0,5}\Z")
_AROUND = "<>\"'“”„()[],;. \t\r\n"
_ENTRY = re.compile(r"[^<>\r\n;,]{0,200}<([^<>\s]{1,320})>")  # Kim <kim@example.org>
_MAILTO = re.compile(r"(?<![^\s,;])mailto:", re.IGNORECASE)


def pasted_domain(text: str) -> str:
    """
    The domain in ``https://www.firma.dk/kontakt``, ``Info <info@firma.dk>`` or ``firma.dk.``.

    ``www.`` goes too: it names a web server, and mail belongs to the domain itself.
    """
    pasted = text[:MAX_PASTED_LENGTH].strip(_AROUND)
    scheme = _SCHEME.match(pasted)
    if scheme is not None:
        pasted = _END_OF_HOST.split(pasted[scheme.end() :], maxsplit=1)[0]
    pasted = _END_OF_HOST.split(pasted.rpartition("@")[2], maxsplit=1)[0]
    if pasted.count(":") == 1:  # more of them make an IPv6 address
        pasted = _PORT.sub("", pasted)
    pasted = pasted.strip(_AROUND).lower()
    rest = pasted.removeprefix("www.")
    return rest if "." in rest else pasted


def pasted_local(text: str, domain: str) -> str:
    """The part before the ``@`` of an address of this domain. ``Invalid`` for another's."""
    pasted = _MAILTO.sub("", text.strip()[:MAX_PASTED_LENGTH])
    if pasted.startswith("/"):  # a regular expression may hold an @
        return pasted
    entry = _ENTRY.fullmatch(pasted)
    local, at, host = (entry[1] if entry else pasted).rpartition("@")
    if not at or not host:
        return local or host
    try:
        is_here = domain_name(host) == domain
    except Invalid:
        is_here = False
    if not is_here:
        raise Invalid(
            Sentence(
                "“%(text)s” is no address of %(domain)s. Write the part before the @ only.",
                text=text.strip()[:100],
                domain=domain,
            ),
            field="name",
            code="INVALID_ALIAS_NAME",
        )
    return local


def pasted_recipients(text: str) -> str:
    """A list without the names, brackets and semicolons of an address book."""
    bare = _MAILTO.sub("", _ENTRY.sub(r"\1\n", text))
    return "\n".join(piece.strip(";") for piece in bare.split())
