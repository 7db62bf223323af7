"""
What a dead end means, as a sentence for whoever may mend it.

Pure: a route in, sentences out. A reader is told of the ways that are his: where the aliases of
others lead is theirs, so of what ends there he only hears that it ends.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from fe_mail.accounts.in_charge import is_admin
from fe_mail.accounts.walk import MAX_DEPTH
from fe_mail.model.account import Alias, User
from fe_mail.model.address import display_address
from fe_mail.model.route import Cause, DeadEnd, Route, Step
from fe_mail.model.sentence import Sentence

__all__ = ["MaySee", "explain", "explain_alias", "may_see_all", "sees"]

MaySee = Callable[[Step], bool]

# What is wrong, for its places to be filled.
_TEMPLATES: Mapping[Cause, Sentence] = MappingProxyType(
    {
        Cause.UNKNOWN: Sentence("%(before)s leads to %(address)s, which does not exist."),
        Cause.LOOP: Sentence("%(before)s leads back to %(address)s, in a circle."),
        Cause.TOO_DEEP: Sentence(
            "More than %(limit)s aliases stand one behind the other before %(address)s."
        ),
        Cause.TOO_MANY: Sentence("%(address)s has more targets than one address may have."),
        Cause.DISABLED: Sentence("%(address)s is disabled, so its mail is refused."),
        Cause.DROPPED: Sentence("%(address)s is disabled, and its mail is thrown away."),
        Cause.NOT_READY: Sentence(
            "The mailbox of %(address)s takes no mail before its first password: "
            "until then senders are asked to try again."
        ),
        Cause.PENDING: Sentence(
            "%(address)s has not confirmed yet, so %(before)s sends nothing there."
        ),
        Cause.BROKEN: Sentence("%(before)s leads to “%(address)s”, which is no address."),
        Cause.EMPTY: Sentence("%(address)s has neither a mailbox nor recipients."),
        Cause.NOBODY: Sentence("Mail for %(address)s reaches nobody who is in charge."),
    }
)


def may_see_all(step: Step) -> bool:
    """What the operator sees."""
    return True


def sees(user: User) -> MaySee:
    """What a user sees: the domains of which he is an admin, and his own aliases."""

    def may_see(step: Step) -> bool:
        domain = step.domain
        return domain is None or is_admin(user, domain) or step.owners == {user.id}

    return may_see


def explain(route: Route, end: DeadEnd, may_see: MaySee) -> Sentence:
    """Why mail goes no further there, as far as the reader may know."""
    step = route.steps[end.step]
    shown = route.last_shown(end.step, may_see)
    if shown != end.step or not (end.cause is Cause.UNKNOWN or may_see(step)):
        return Sentence(
            "%(address)s takes no mail at the moment.",
            address=display_address(route.steps[shown].address),
        )
    before = step.address
    if end.cause is Cause.UNKNOWN:
        if step.parent < 0:
            return Sentence("%(address)s does not exist.", address=display_address(end.address))
        before = route.steps[step.parent].address
    if end.cause is Cause.LOOP and end.address == before and step.taken_by == ("*",):
        return Sentence(
            "%(address)s has no alias of its own, so the catch-all that leads to it is a circle.",
            address=display_address(end.address),
        )
    if end.cause is Cause.LOOP and end.address == before:
        return Sentence("%(address)s leads to itself.", address=display_address(end.address))
    values = {"before": display_address(before), "address": display_address(end.address)}
    return Sentence(_TEMPLATES[end.cause].template, limit=MAX_DEPTH, **values)


def explain_alias(route: Route, alias: Alias, may_see: MaySee) -> tuple[Sentence, ...]:
    """What is wrong with the ways that begin at an alias, the same thing once."""
    ends = (end for end in route.dead_ends if _is_worth_telling(route, end, alias))
    found = (explain(route, end, may_see) for end in ends)
    return tuple({str(sentence): sentence for sentence in found}.values())


def _is_worth_telling(route: Route, end: DeadEnd, alias: Alias) -> bool:
    if end.cause in (Cause.DISABLED, Cause.DROPPED):
        return not end.is_asked  # of the alias itself its owner knows
    if end.cause is not Cause.LOOP:
        return True
    if end.is_asked and alias.has_imap:
        return False  # it names itself to keep a copy, and with a mailbox it does
    # Aliases that share what they get may name each other, as long as it arrives.
    return end.is_asked or not route.targets
