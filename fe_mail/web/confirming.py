"""
Asking before something is destroyed.

Every act of ``ACTS`` has a page of its own that says in numbers what would be lost and asks for a
tick, a name or a password. Only the form of that page carries the answer, so no button elsewhere
destroys anything by one click. A script has asked its person already.
"""

from collections.abc import Mapping, Sequence

import attrs

from fe_mail.accounts.stakes import Stake
from fe_mail.model.account import Domain
from fe_mail.model.errors import Invalid, MailError
from fe_mail.model.sentence import Sentence
from fe_mail.web.i18n import N_
from fe_mail.web.rendering import octets
from fe_mail.web.results import Page
from fe_mail.web.visit import Visit

__all__ = ["ACTS", "CONFIRM", "Act", "Question", "ask", "confirm", "losses"]

CONFIRM = "confirm"  # the field that only the confirmation page has

NAME, PASSWORD, TICK = "name", "password", "tick"


@attrs.frozen(kw_only=True)
class Act:
    """
    Something that cannot be undone. ``question`` names what it is about as ``%(about)s``.

    ``asks_for`` is a tick, the name of what goes, or the password of the account; the field of
    the answer is ``field``.
    """

    question: str
    warning: str
    button: str
    lost: str = N_("What goes with it:")
    asks_for: str = TICK
    field: str = CONFIRM
    method: str = "POST"


ACTS: Mapping[str, Act] = {
    "remove-alias": Act(
        question=N_("Remove %(about)s?"),
        warning=N_(
            "This cannot be undone. Mail to this address will be refused, unless a catch-all or a "
            "regular expression takes it."
        ),
        button=N_("Remove this alias"),
        method="DELETE",
    ),
    "stop-keeping": Act(
        question=N_("Stop keeping the mail of %(about)s?"),
        warning=N_(
            "What is in the mailbox stays there, but nobody can read it until mail is kept again: "
            "mail programs can no longer sign in to read. Sending with the same password still "
            "works."
        ),
        button=N_("Stop keeping mail"),
        lost=N_("What is closed then:"),
        method="PUT",
    ),
    "throw-away": Act(
        question=N_("Throw away the mail of %(about)s?"),
        warning=N_(
            "While it is not active, its mail is accepted and lost: nobody gets it, and senders "
            "are not told. Cancel, and choose that it is refused, if that is not what you want."
        ),
        button=N_("Throw its mail away"),
        method="PUT",
    ),
    "begin-anew": Act(
        question=N_("Delete all mail of %(about)s and begin anew?"),
        warning=N_(
            "This cannot be undone. Every message in the mailbox is deleted for good, and its old "
            "passwords and recovery code stop working."
        ),
        button=N_("Delete all mail and begin anew"),
    ),
    "remove-domain": Act(
        question=N_("Remove %(about)s?"),
        warning=N_(
            "This cannot be undone. All its aliases go, and their mailboxes with every message in "
            "them. Mail to the domain will be refused."
        ),
        button=N_("Remove this domain"),
        asks_for=NAME,
        method="DELETE",
    ),
    "remove-account": Act(
        question=N_("Remove your account?"),
        warning=N_(
            "This cannot be undone. Domains that nobody else administers go with it, and all their "
            "aliases and mailboxes with every message in them."
        ),
        button=N_("Remove account, domains and mailboxes"),
        asks_for=PASSWORD,
        field="leave_password",
        method="DELETE",
    ),
    "new-token": Act(
        question=N_("Make a new API token?"),
        warning=N_(
            "Every program that uses the old token stops working at once, until you give it the "
            "new one."
        ),
        button=N_("Make a new token"),
        method="DELETE",
    ),
    "new-webhook-key": Act(
        question=N_("Make a new key for the webhooks of %(about)s?"),
        warning=N_(
            "Programs that check signatures with the old key refuse what comes from here, until "
            "you give them the new one."
        ),
        button=N_("Make a new key"),
        method="DELETE",
    ),
}


@attrs.frozen(kw_only=True)
class Question:
    """
    A confirmation page: which act, about what, what is lost, where yes and no lead.

    ``path`` shows it, where that is not the path that ``action`` has.
    ``carried`` are the fields of the form that the answer sends along.
    """

    act: str
    action: str
    back: str
    about: str = ""
    lost: Sequence[Sentence] = ()
    remark: Sentence | None = None  # what is true of this one only
    carried: Mapping[str, str] = attrs.field(factory=dict)
    domain: Domain | None = None
    tab: str = ""
    path: str = ""
    instead: str = ""  # the template of something milder to do


def ask(question: Question, error: MailError | None = None, **values: object) -> Page:
    """The page."""
    act = ACTS[question.act]
    heading = Sentence(act.question, about=question.about) if question.about else act.question
    shown = {"question": question, "act": act, "heading": heading, **values}
    return Page("confirm.html", shown, error=error, path=question.path)


def confirm(visit: Visit, name: str, about: str = "") -> None:
    """``Invalid`` unless the confirmation page was answered, or a script asks."""
    act = ACTS[name]
    if visit.is_script or act.asks_for == PASSWORD:  # who checks the password refuses itself
        return
    answer = visit.field(act.field)
    if act.asks_for == NAME and answer.lower() != about.lower():
        raise Invalid(Sentence("Type “%(about)s” to confirm.", about=about), act.field)
    if act.asks_for == TICK and answer != "true":
        raise Invalid(N_("Tick the box to confirm."), act.field)


def losses(stake: Stake) -> tuple[Sentence, ...]:
    """What goes, in numbers; nothing is said of what there is none of."""
    found = []
    for count, one, many in (
        (stake.domains, N_("1 domain"), N_("%(count)s domains")),
        (stake.aliases, N_("1 alias"), N_("%(count)s aliases")),
        (stake.mailboxes, N_("1 mailbox"), N_("%(count)s mailboxes")),
        (
            stake.passwords,
            N_("1 mail password"),
            N_("%(count)s mail passwords"),
        ),
    ):
        if count:
            found.append(Sentence(one) if count == 1 else Sentence(many, count=count))
    if stake.octets:
        found.append(Sentence(N_("%(size)s of mail"), size=octets(stake.octets)))
    return tuple(found)
