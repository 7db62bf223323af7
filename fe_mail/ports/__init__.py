"""
The ports: everything the inside of fe-mail needs from the outside.

One method = one transaction = one thread hop = one possible RPC. Methods are coroutines over
Deferreds. They raise only the errors of ``fe_mail.model.errors``. Every port has one contract
suite in ``tests/contracts/`` that runs on all its adapters and is the specification.
Times are seconds since the epoch, as Twisted's ``IReactorTime.seconds()`` gives.

Each port has its module; everybody else imports them from here.
"""

from fe_mail.ports.accounts import (
    AliasStore,
    DomainStore,
    SessionStore,
    SettingStore,
    UserStore,
)
from fe_mail.ports.blobs import BlobReader, Blobs, BlobWriter
from fe_mail.ports.bus import Bus
from fe_mail.ports.cache import Cache
from fe_mail.ports.counters import Counters
from fe_mail.ports.exchange import Exchange
from fe_mail.ports.http import HTTPPost
from fe_mail.ports.journal import Journal
from fe_mail.ports.keyring import Keyring
from fe_mail.ports.leases import Leases
from fe_mail.ports.mailboxes import MailboxStore, OpenMailbox
from fe_mail.ports.offload import Offload
from fe_mail.ports.queue import Acceptance, BodyWriter, Queue, Settlement
from fe_mail.ports.records import Records
from fe_mail.ports.resolver import Resolver
from fe_mail.ports.vantage import Vantage

__all__ = [
    "Acceptance",
    "AliasStore",
    "BlobReader",
    "BlobWriter",
    "Blobs",
    "BodyWriter",
    "Bus",
    "Cache",
    "Counters",
    "DomainStore",
    "Exchange",
    "HTTPPost",
    "Journal",
    "Keyring",
    "Leases",
    "MailboxStore",
    "Offload",
    "OpenMailbox",
    "Queue",
    "Records",
    "Resolver",
    "SessionStore",
    "SettingStore",
    "Settlement",
    "UserStore",
    "Vantage",
]
