"""
Mails that ask the recipients of an alias whether they want its mail.

With ``has_recipient_verification`` an alias forwards only to recipients who said yes. Each gets one
mail when he is added, and another when the owner asks for it; a job sends those that a fault or a
limit held back while the alias is young. Nobody is asked for a domain whose owner is not proven:
its name would lend weight to a stranger's mail. The link names alias and recipient; saying yes
twice, or after the recipient was taken out, changes nothing.
"""

from collections.abc import Sequence
from functools import partial
from typing import Protocol

import attrs
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from fe_mail.accounts.claims import chosen_claim
from fe_mail.accounts.links import Links
from fe_mail.accounts.notices import RECIPIENTS, MailLimits, Notice, Notices
from fe_mail.model.account import Alias
from fe_mail.model.address import display_address
from fe_mail.model.counting import Claim, Counter, Window
from fe_mail.model.errors import Conflict, Invalid, MailError, NotFound
from fe_mail.model.ids import AliasId
from fe_mail.model.page import every
from fe_mail.model.sentence import Sentence
from fe_mail.ports import AliasStore, Counters, DomainStore, Keyring, UserStore

__all__ = ["LINK_SECONDS", "Asked", "RecipientLinks"]

LINK_SECONDS = float(Window.MONTH)
YOUNG_SECONDS = 7 * 86_400.0  # how long the job sends what was not sent
TRIES = 5  # when others change the alias meanwhile


class LinkRecords(AliasStore, DomainStore, UserStore, Protocol):
    """What is asked of the accounts."""


@attrs.frozen
class Asked:
    """What a link asks: does ``recipient`` want the mail of ``alias``? ``is_done``: he said yes."""

    alias: Alias
    recipient: str
    is_done: bool


class RecipientLinks:
    """Asks, and believes. ``url`` is the address of the web UI, ``name`` what it is called."""

    log = Logger()

    def __init__(
        self,
        accounts: LinkRecords,
        counters: Counters,
        keyring: Keyring,
        links: Links,
        notices: Notices,
        limits: MailLimits,
        clock: IReactorTime,
        *,
        url: str,
        name: str,
    ) -> None:
        self._accounts = accounts
        self._counters = counters
        self._keyring = keyring
        self._links = links
        self._notices = notices
        self._limits = limits
        self._clock = clock
        self._url = url
        self._name = name

    async def ask_new(self, alias: Alias) -> None:
        """Mail those who were not asked yet. What cannot be sent now is logged and sent later."""
        pending = self._pending(alias)
        if not pending or not await self._counts(alias):
            return
        for recipient in pending:
            asked = self._counter(alias, recipient)
            if (await self._counters.take(Claim(asked, most=1))).refused is not None:
                continue
            try:
                await self._ask(alias, recipient)
            except MailError as error:
                await self._counters.forget(asked)
                self.log.info(
                    "A recipient of {alias} was not asked yet: {reason}",
                    alias=alias.address,
                    reason=error.message,
                )

    async def ask_again(self, alias: Alias, recipient: str) -> None:
        """The owner wants it. ``Invalid`` when nobody waits for it, ``RateLimited``."""
        if recipient not in self._pending(alias):
            raise Invalid("This recipient is not waiting to be verified.", field="recipient")
        if not await self._counts(alias):
            raise Invalid("Set the domain up first: nobody is asked before it receives mail.")
        await self._ask(alias, recipient)

    async def ask_held_back(self) -> None:
        """What ``ask_new`` could not send, of aliases that changed lately."""
        oldest = self._clock.seconds() - YOUNG_SECONDS
        async for domain in every(partial(self._accounts.domains, None)):
            async for alias in every(partial(self._accounts.aliases, domain.id)):
                if alias.pending_recipients and alias.updated_at > oldest:
                    await self.ask_new(alias)

    async def asked(self, token: str) -> Asked:
        """What the link asks. ``Invalid`` when it is none, or nobody wants to know any more."""
        alias_id, recipient = self._links.read("recipient", token)
        try:
            alias = await self._accounts.alias(AliasId(alias_id))
        except NotFound:
            raise _over() from None
        if recipient not in alias.recipients:
            raise _over()
        return Asked(alias, recipient, recipient in alias.verified_recipients)

    async def confirm(self, token: str) -> Asked:
        """He said yes. ``Invalid`` as above."""
        for _ in range(TRIES):
            asked = await self.asked(token)
            if asked.is_done:
                return asked
            try:
                return attrs.evolve(asked, alias=await self._add(asked), is_done=True)
            except Conflict:
                continue
        raise Conflict("The alias is being changed. Try again.")

    async def _add(self, asked: Asked) -> Alias:
        alias, recipient = asked.alias, asked.recipient
        names = ("recipients", "verified_recipients", "pending_recipients")
        before = {name: getattr(alias, name) for name in names}
        return await self._accounts.update_alias(
            alias.id,
            self._clock.seconds(),
            before,
            verified_recipients=(*alias.verified_recipients, recipient),
            pending_recipients=tuple(
                each for each in alias.pending_recipients if each != recipient
            ),
        )

    async def _counts(self, alias: Alias) -> bool:
        """Would mail to the alias come to it, and not to another claim on the domain's name?"""
        local, _, domain = alias.address.rpartition("@")
        claim = chosen_claim(await self._accounts.route_rows(local, domain))
        return claim is not None and claim.domain.id == alias.domain_id

    @staticmethod
    def _pending(alias: Alias) -> Sequence[str]:
        """Only where verification is asked for."""
        return alias.pending_recipients if alias.has_recipient_verification else ()

    async def _ask(self, alias: Alias, recipient: str) -> None:
        owner = await self._accounts.user(alias.user_id)
        await self._limits.take(RECIPIENTS, recipient, owner.id)
        name = display_address(alias.address)
        token = self._links.make("recipient", alias.id, recipient, seconds=LINK_SECONDS)
        await self._notices.send(
            Notice(
                to=recipient,
                language=owner.locale,
                subject=Sentence("Do you want the mail of %(alias)s?", alias=name),
                paragraphs=(
                    Sentence(
                        "%(owner)s wants mail to %(alias)s to be forwarded to you, to "
                        "%(recipient)s.",
                        owner=display_address(owner.email),
                        alias=name,
                        recipient=display_address(recipient),
                    ),
                    Sentence(
                        "If you want that, open this link within 30 days:\n\n%(link)s",
                        link=f"{self._url}/v/{token}",
                    ),
                    Sentence("If not, do nothing: nothing will be forwarded."),
                    Sentence("This mail was sent by %(name)s.", name=self._name),
                ),
            )
        )

    def _counter(self, alias: Alias, recipient: str) -> Counter:
        text = f"{alias.id}\0{recipient.lower()}".encode("utf-8", "backslashreplace")
        mark = self._keyring.mac(text, "recipient asked")[:16].hex()
        return Counter(f"recipient-asked:{mark}", Window.MONTH)


def _over() -> Invalid:
    return Invalid("Nothing is to be forwarded to this address any more.", field="token")
