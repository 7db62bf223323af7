"""
A whole server's accounts in memory, and clients that talk HTTP to it without a socket.

The site under test is the real one, with its own request class; only the agent is told to use it.
"""

import json
from collections.abc import Coroutine, Mapping
from typing import Any, TypeVar

import attrs
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from treq.testing import RequestTraversalAgent
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import readBody
from twisted.web.http_headers import Headers
from twisted.web.iweb import IBodyProducer
from zope.interface import implementer

from fe_mail.accounts.address_links import AddressLinks
from fe_mail.accounts.aliases import Aliases
from fe_mail.accounts.departure import Departure
from fe_mail.accounts.domains import Domains
from fe_mail.accounts.failed_logins import FailedLogins
from fe_mail.accounts.links import Links
from fe_mail.accounts.login import Login
from fe_mail.accounts.notices import MailLimits
from fe_mail.accounts.prospects import Prospects
from fe_mail.accounts.recipient_links import RecipientLinks
from fe_mail.accounts.routing import Router
from fe_mail.accounts.site import Site
from fe_mail.accounts.stakes import Stakes
from fe_mail.accounts.users import Users
from fe_mail.accounts.webhook_keys import WebhookKeys
from fe_mail.adapters.memory.bus import MemoryBus
from fe_mail.adapters.memory.resolver import TableResolver
from fe_mail.adapters.memory.vantage import TableVantage
from fe_mail.errands import Errands
from fe_mail.http.services import Services
from fe_mail.http.site import HTTPSite
from fe_mail.model.account import User
from fe_mail.model.vantage import OwnAddresses
from tests.accounts.fakes import Letterbox
from tests.fakes import (
    MemoryAccountStore,
    MemoryJournal,
    QuickKeyring,
    mailbox_store,
    memory_counters,
)

__all__ = ["PASSWORD", "Answer", "Client", "HTTPTestCase"]

T = TypeVar("T")
ADDRESS = "192.0.2.25"
HOST = {
    ("mail.example.net", "A"): (ADDRESS,),
    ("mail.example.net", "TXT"): ("v=spf1 a -all",),
    ("mx.example.net", "A"): (ADDRESS,),
    (ADDRESS, "PTR"): ("mail.example.net.",),
}
START = 1_800_000_000.0
PASSWORD = "purple otter borrows nine kettles"

_PEM = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
    serialization.Encoding.PEM,
    serialization.PrivateFormat.PKCS8,
    serialization.NoEncryption(),
)


async def _one_key(bits: int) -> bytes:
    return _PEM


@implementer(IBodyProducer)
class _Body:
    """A request body that is there at once; ``length`` may be announced wrongly."""

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.length = len(body)

    def startProducing(self, consumer: Any) -> Deferred[None]:
        consumer.write(self.body)
        done: Deferred[None] = Deferred()
        done.callback(None)
        return done

    def stopProducing(self) -> None:
        pass

    def pauseProducing(self) -> None:
        pass

    def resumeProducing(self) -> None:
        pass


@attrs.frozen
class Answer:
    """What came back."""

    status: int
    headers: Headers
    body: bytes

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode("utf-8")

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    def header(self, name: str) -> str:
        """A header; empty if absent."""
        return (self.headers.getRawHeaders(name) or [""])[0]

    @property
    def location(self) -> str:
        """Where a redirect leads."""
        return self.header("Location")


class Client:
    """One HTTP client with a cookie jar and headers that it sends every time."""

    def __init__(self, test: SynchronousTestCase, site: HTTPSite, base: str) -> None:
        self.test = test
        self.base = base
        self.agent = RequestTraversalAgent(site.resource)
        self.agent._serverFactory = site
        self.headers: dict[str, str] = {}
        self.cookies: dict[str, str] = {}

    def begin(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
    ) -> Deferred[Any]:
        """Send a request; the answer may take its time."""
        sent = Headers()
        for name, value in {**self.headers, **(headers or {})}.items():
            sent.setRawHeaders(name, [value])
        if self.cookies:
            jar = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
            sent.setRawHeaders("Cookie", [jar])
        url = f"{self.base}{path}".encode()
        producer = _Body(body) if body or method in ("POST", "PUT") else None
        return self.agent.request(method.encode(), url, sent, producer)

    def request(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send a request and read the answer, which comes at once."""
        response = self.test.successResultOf(self.begin(method, path, body, headers))
        for cookie in response.headers.getRawHeaders("Set-Cookie") or []:
            name, _, value = cookie.partition(";")[0].partition("=")
            if "Max-Age=0" in cookie:
                self.cookies.pop(name, None)
            else:
                self.cookies[name] = value
        body = self.test.successResultOf(readBody(response))
        return Answer(response.code, response.headers, body)

    def get(self, path: str, **headers: str) -> Answer:
        """GET."""
        return self.request("GET", path, headers=headers)


class HTTPTestCase(SynchronousTestCase):
    """Services over memory adapters; ``kim`` is the first user and so the admin."""

    def setUp(self) -> None:
        """An empty server."""
        self.clock = Clock()
        self.clock.advance(START)
        self.keyring = QuickKeyring()
        self.accounts = MemoryAccountStore()
        self.counters = memory_counters(self.clock)
        self.bus = MemoryBus(self.clock)
        self.mailboxes = mailbox_store(self, self.bus, self.clock)
        self.resolver = TableResolver(HOST)
        self.vantage = TableVantage(
            OwnAddresses(known=(ADDRESS,)), {ADDRESS: "220 mail.example.net ESMTP"}
        )
        self.site_values = Site(
            hostname="mail.example.net",
            exchange_domains=("mx.example.net",),
            web_host="mail.example.net",
        )
        self.router = Router(self.accounts)
        self.letters = Letterbox()
        self.services = self._services()

    def _services(self) -> Services:
        site, keyring, accounts, clock = self.site_values, self.keyring, self.accounts, self.clock
        errands = Errands(clock)
        failed_logins = FailedLogins(MemoryJournal(), errands, clock)
        links, limits = Links(keyring, clock), MailLimits(self.counters, keyring)
        place = {"url": "http://mail.example.net", "name": "fe-mail"}
        recipient_links = RecipientLinks(
            accounts, self.counters, keyring, links, self.letters, limits, clock, **place
        )
        users = Users(accounts, keyring, self.counters, clock, failed_logins)
        return Services(
            users=users,
            departure=Departure(accounts, users, self.mailboxes, self.bus),
            domains=Domains(
                accounts,
                keyring,
                self.resolver,
                self.mailboxes,
                clock,
                site,
                _one_key,
                self.bus,
                self.vantage,
            ),
            aliases=Aliases(
                accounts,
                keyring,
                self.mailboxes,
                self.bus,
                clock,
                site,
                ask_recipients=recipient_links.ask_new,
            ),
            failed_logins=failed_logins,
            address_links=AddressLinks(
                accounts, users, keyring, links, self.letters, limits, errands, **place
            ),
            recipient_links=recipient_links,
            login=Login(accounts, keyring, self.counters, clock, failed_logins, errands),
            router=self.router,
            prospects=Prospects(accounts, self.router),
            webhook_keys=WebhookKeys(accounts, keyring, clock),
            stakes=Stakes(accounts, self.mailboxes),
            accounts=accounts,
            counters=self.counters,
            clock=clock,
        )

    def now(self, work: Coroutine[Deferred[Any], Any, T]) -> T:
        """The result of a coroutine that needs no waiting."""
        return self.successResultOf(Deferred.fromCoroutine(work))

    def add_user(self, email: str = "kim@example.com") -> User:
        """A registered account; the first one owns the server."""
        self.clock.advance(1)
        return self.now(self.services.users.register(email, PASSWORD, is_by_operator=True))

    def publish(self, name: str) -> None:
        """Put every record of a domain into the DNS."""
        domain = self.now(self.accounts.domains_named(name))[0]
        for record in self.services.domains.records(domain):
            owner = name if record.name == "@" else f"{record.name}.{name}"
            value = f"{record.priority} {record.value}." if record.type == "MX" else record.value
            key = (owner, record.type)
            self.resolver.table[key] = (*self.resolver.table.get(key, ()), value)
