"""
Which domains may be added to a server: those of which mail could come here one day.

An IP address has no DNS records, so nobody could ever prove that it is his; a domain of a large
mail provider is nobody's here. Whoever adds one has misread the form, and learns it at once
instead of by records that never become right.
"""

from fe_mail.accounts.validation import domain_name
from fe_mail.model.errors import Invalid
from fe_mail.model.sentence import Sentence

__all__ = ["hosted_name"]

# Where people have their address, not their domain.
_PROVIDERS = frozenset(
    """
    126.com 163.com aim.com aol.com att.net bluewin.ch btinternet.com comcast.net cox.net
    duck.com fastmail.com free.fr freenet.de gmail.com gmx.at gmx.ch gmx.com gmx.de gmx.net
    googlemail.com hey.com hotmail.co.uk hotmail.com hotmail.de hotmail.fr hushmail.com
    icloud.com inbox.lv laposte.net libero.it live.com live.dk mac.com mail.com mail.dk mail.ru
    mailbox.org me.com msn.com naver.com ofir.dk online.no orange.fr outlook.com outlook.de
    outlook.dk outlook.fr pm.me post.cz posteo.de proton.me protonmail.com qq.com rediffmail.com
    rocketmail.com sbcglobal.net seznam.cz sfr.fr stofanet.dk t-online.de telia.com tiscali.it
    tuta.com tutanota.com verizon.net virgilio.it wanadoo.fr web.de wp.pl yahoo.co.jp
    yahoo.co.uk yahoo.com yahoo.de yahoo.dk yahoo.fr yahoo.it yandex.com yandex.ru ymail.com
    youmail.dk ziggo.nl zoho.com
    """.split()  # noqa: SIM905  # a block of words reads better
)


def hosted_name(value: object) -> str:
    """The name of a domain to add, as it is stored. ``Invalid`` with the reason."""
    text = value.strip() if isinstance(value, str) else ""
    try:
        name = domain_name(text)
    except Invalid:
        raise _refused(_why_not(text)) from None
    if name.startswith("["):
        raise _refused(
            Sentence(
                "%(address)s is an IP address. A domain has a name, such as example.org.",
                address=name.strip("[]").removeprefix("IPv6:"),
            )
        )
    if name in _PROVIDERS:
        raise _refused(
            Sentence(
                "%(domain)s belongs to a mail provider. Add a domain that you own.", domain=name
            )
        )
    return name


def _why_not(text: str) -> Sentence:
    if not text:
        return Sentence("Write the name of your domain, such as example.org.")
    if text.isalnum():
        return Sentence(
            "“%(text)s” is only a part of a domain. Write all of it, such as example.org.",
            text=text[:100],
        )
    return Sentence("The domain name is not valid.")


def _refused(sentence: Sentence) -> Invalid:
    return Invalid(sentence, field="domain", code="INVALID_DOMAIN")
