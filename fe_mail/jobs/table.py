"""
The table of background jobs: what runs, how often, in which order at the start.

A job is a coroutine without arguments that may be run at any time and any number of times, and
cancelled in the middle. A run that fails is logged and tried again soon.
"""

from collections.abc import Awaitable, Callable
from typing import Protocol

import attrs

from fe_mail.accounts.aftermath import Aftermath
from fe_mail.accounts.site import Site
from fe_mail.jobs.storage import StorageRecords, record_storage, tell_quotas
from fe_mail.jobs.sweep import sweep_bodies
from fe_mail.jobs.verify import verify_domains
from fe_mail.model.ids import DomainId
from fe_mail.ports import Journal, MailboxStore, Queue, SessionStore

__all__ = ["Job", "job_table"]

MINUTE = 60.0
HOUR = 3600.0
STORAGE_SECONDS = 30.0  # what lists show is younger than a minute


@attrs.frozen(kw_only=True)
class Job:
    """``run`` every ``interval_seconds``; ``name`` is what logs and leases call it."""

    name: str
    interval_seconds: float
    run: Callable[[], Awaitable[None]]


class JobRecords(StorageRecords, SessionStore, Protocol):
    """What jobs ask of the accounts."""


def job_table(
    *,
    accounts: JobRecords,
    journal: Journal,
    mailboxes: MailboxStore,
    queue: Queue,
    aftermath: Aftermath,
    site: Site,
    verify: Callable[[DomainId], Awaitable[object]],
    ask_recipients: Callable[[], Awaitable[None]],
    now: Callable[[], float],
    log_retention_seconds: float,
) -> tuple[Job, ...]:
    """Every job of a server. ``verify`` checks the DNS of one domain by its id."""
    return (
        Job(
            name="purge-sessions",
            interval_seconds=HOUR,
            run=lambda: accounts.purge_sessions(now()),
        ),
        Job(
            name="purge-log",
            interval_seconds=HOUR,
            run=lambda: journal.purge_log(now() - log_retention_seconds),
        ),
        Job(name="sweep-bodies", interval_seconds=HOUR, run=lambda: sweep_bodies(queue, now())),
        Job(
            name="record-storage",
            interval_seconds=STORAGE_SECONDS,
            run=lambda: record_storage(accounts, mailboxes),
        ),
        Job(
            name="tell-quotas",
            interval_seconds=HOUR,
            run=lambda: tell_quotas(accounts, mailboxes, site),
        ),
        Job(
            name="settle-mailboxes",
            interval_seconds=MINUTE,
            run=lambda: aftermath.follow_all(now()),
        ),
        Job(
            name="verify-domains",
            interval_seconds=HOUR,
            run=lambda: verify_domains(accounts, verify, now()),
        ),
        Job(name="ask-recipients", interval_seconds=HOUR, run=ask_recipients),
    )
