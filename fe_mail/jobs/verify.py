"""
Check the DNS of every domain again, so that the store knows what login and routing rely on.

Domains that verified are checked every two hours; those that did not, every hour, so that a
newcomer's records are noticed soon.
"""

from collections.abc import Awaitable, Callable
from functools import partial

from twisted.logger import Logger

from fe_mail.model.errors import MailError
from fe_mail.model.ids import DomainId
from fe_mail.model.page import every
from fe_mail.ports import DomainStore

__all__ = ["RECHECK_SECONDS", "verify_domains"]

# By age: the check of two runs ago is a little younger than two hours.
RECHECK_SECONDS = 1.5 * 3600.0
log = Logger()


async def verify_domains(
    accounts: DomainStore, verify: Callable[[DomainId], Awaitable[object]], now: float
) -> None:
    """Call ``verify`` with the id of every domain that is due; one failure stops nothing."""
    async for domain in every(partial(accounts.domains, None)):
        settled = domain.has_mx_record and domain.has_txt_record and domain.has_smtp
        # A check in the future was made under a clock that was ahead.
        if settled and 0 <= now - domain.last_checked_at < RECHECK_SECONDS:
            continue
        try:
            await verify(domain.id)
        except MailError as error:
            log.info(
                "The DNS of {domain} could not be checked: {reason}",
                domain=domain.name,
                reason=error.message,
            )
