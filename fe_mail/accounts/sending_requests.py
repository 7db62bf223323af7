"""
Telling the server's admins that a domain of a user has its records in place, and waits for leave to
send.

Each of them gets one mail for a domain, not one at every check: that it was written is kept with
the accounts, and not forgotten. What was decided is asked no more, also
when the decision was no. Checks that run at once agree on who writes.
"""

from typing import Protocol

from twisted.logger import Logger

from fe_mail.accounts.in_charge import server_admins
from fe_mail.accounts.notices import Notice, Notices
from fe_mail.model.account import Domain, User
from fe_mail.model.address import display_domain
from fe_mail.model.counting import Claim, Counter, Window
from fe_mail.model.errors import MailError
from fe_mail.model.ids import DomainId
from fe_mail.model.sentence import Sentence
from fe_mail.ports import Counters, SettingStore, UserStore

__all__ = ["SendingRequests", "mark_as_decided"]

_ASKED = "asked"
_DECIDED = "decided"


class RequestRecords(SettingStore, UserStore, Protocol):
    """The admins, and what they were asked already."""


class SendingRequests:
    """``url`` is the address of the web UI, ``name`` what it is called."""

    log = Logger()

    def __init__(
        self,
        accounts: RequestRecords,
        notices: Notices,
        counters: Counters,
        *,
        url: str,
        name: str,
    ) -> None:
        self._accounts = accounts
        self._notices = notices
        self._counters = counters
        self._url = url
        self._name = name

    async def ask(self, domain: Domain) -> None:
        """Once for a domain that waits. A mail that cannot be written fails nothing."""
        if domain.has_smtp or not domain.smtp_verified_at:
            return
        if await self._accounts.setting(_setting(domain.id)):
            return
        turn = Claim(Counter(f"sending-request:{domain.id}", Window.MINUTE), most=1)
        if (await self._counters.take(turn)).refused is not None:
            return
        admins = await server_admins(self._accounts)
        written = [await self._wrote(admin, domain) for admin in admins]
        if any(written):
            await self._accounts.set_setting(_setting(domain.id), _ASKED)

    async def _wrote(self, admin: User, domain: Domain) -> bool:
        try:
            await self._notices.send(self._notice(admin, domain))
        except MailError as error:
            self.log.warn(
                "{admin} was not told that {domain} waits to send: {reason}",
                admin=admin.email,
                domain=domain.name,
                reason=error.message,
            )
            return False
        return True

    def _notice(self, admin: User, domain: Domain) -> Notice:
        name = display_domain(domain.name)
        people = ", ".join(member.email for member in domain.members)
        return Notice(
            to=admin.email,
            language=admin.locale,
            subject=Sentence("%(domain)s waits for your leave to send", domain=name),
            paragraphs=(
                Sentence(
                    "The DNS records that %(domain)s needs for sending are in place. It belongs "
                    "to %(people)s.",
                    domain=name,
                    people=people,
                ),
                Sentence(
                    "It sends as soon as you allow it, under This server at %(name)s:\n\n%(link)s",
                    name=self._name,
                    link=f"{self._url}/admin",
                ),
                Sentence("Until then it only receives. Nothing more is written to you about it."),
            ),
        )


async def mark_as_decided(accounts: SettingStore, domain_id: DomainId) -> None:
    """An admin has allowed or refused: nobody needs to be asked any more."""
    await accounts.set_setting(_setting(domain_id), _DECIDED)


def _setting(domain_id: DomainId) -> str:
    return f"sending-request:{domain_id}"
