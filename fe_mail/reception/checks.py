"""
Checks: what has to be asked about a message before the tables can judge it.

A check looks at a ``Letter`` and says what one method of authentication found. All run at once,
each within its own budget and all within one deadline; a check that needs what others found
stands below them and starts when they are done. A check that is late is cancelled, one that
fails is logged, and either way its verdict is ``TEMPERROR``: it cannot be told. Nothing a check
does can stop or lose a message, or make the client wait longer than the deadline.
"""

from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import attrs
from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from fe_mail.mailauth import dkim
from fe_mail.model.errors import MailError
from fe_mail.model.verdicts import Result, Verdict, Verdicts
from fe_mail.ports import Resolver
from fe_mail.reception.letter import Letter
from fe_mail.waiting import TookTooLong, within

__all__ = ["CHECK_SECONDS", "DEADLINE_SECONDS", "Check", "check_table", "collect"]

log = Logger()

DEADLINE_SECONDS = 8.0  # for all checks; the client waits ten minutes (RFC 5321 §4.5.3.2.6)
CHECK_SECONDS = 5.0  # for one, if nothing else is said

Found = tuple[Verdict, ...]
_LATE: Found = (Verdict(result=Result.TEMPERROR, reason="No answer in time."),)
_BROKEN: Found = (Verdict(result=Result.TEMPERROR, reason="The check failed."),)


@attrs.frozen(kw_only=True)
class Check:
    """One line of the table; ``ask`` is given what the methods in ``needs`` found."""

    method: str  # the attribute of ``Verdicts``
    ask: Callable[[Letter, Verdicts], Coroutine[Deferred[Any], Any, Found]]
    needs: tuple[str, ...] = ()
    seconds: float = CHECK_SECONDS


async def collect(
    checks: Sequence[Check],
    letter: Letter,
    clock: IReactorTime,
    deadline_seconds: float = DEADLINE_SECONDS,
) -> Verdicts:
    """Ask all; what is not known at the deadline cannot be told."""
    found: dict[str, Found] = {}
    running: dict[str, Deferred[None]] = {}
    is_over = False

    async def run(check: Check) -> None:
        for method in check.needs:
            if method in running:
                await running[method]
        if not is_over:
            found[check.method] = await _ask(check, letter, Verdicts(**found), clock)

    for check in checks:
        running[check.method] = Deferred.fromCoroutine(run(check))
    if waiting := [each for each in running.values() if not each.called]:
        try:
            await within(clock, deadline_seconds, _end_of(waiting))
        except TookTooLong:
            is_over = True  # those that only waited for others do not begin now
            log.info("checks of a message were given up at the deadline")
    return Verdicts(**{check.method: found.get(check.method, _LATE) for check in checks})


async def _end_of(running: Sequence[Deferred[None]]) -> None:
    await DeferredList(running, consumeErrors=True)


async def _ask(check: Check, letter: Letter, known: Verdicts, clock: IReactorTime) -> Found:
    try:
        return await within(clock, check.seconds, check.ask(letter, known))
    except (TookTooLong, CancelledError):
        return _LATE
    except MailError as error:
        return (Verdict(result=Result.TEMPERROR, reason=error.message),)
    except Exception:
        log.failure("the check {method} failed", method=check.method)
        return _BROKEN


def check_table(resolver: Resolver) -> tuple[Check, ...]:
    """The checks of mail from outside."""

    async def signatures(letter: Letter, _: Verdicts) -> Found:
        return tuple(map(_verdict, await dkim.judge(letter.signatures(), resolver)))

    return (Check(method="dkim", ask=signatures),)


def _verdict(signature: dkim.Verdict) -> Verdict:
    properties = {
        "header.d": signature.domain,
        "header.s": signature.selector,
        "header.a": signature.algorithm,
        "header.b": signature.signature_prefix,
    }
    return Verdict(
        result=signature.result,
        domain=signature.domain,
        reason=signature.reason,
        properties=tuple((name, value) for name, value in properties.items() if value),
    )
