"""Tests of fe_mail.app.wiring: what the accounts are told of the server, and what it mails."""

import email
import email.policy
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase, TestCase

from fe_mail.app.config import load
from fe_mail.app.wiring import Inside, make_site
from fe_mail.model.queue import QueueFilter


class SiteTests(SynchronousTestCase):
    """Names follow the listeners."""

    def hosts(self, **environ: str) -> dict[str, tuple[str, ...]]:
        """Host names with what they serve."""
        config = load(Path(self.mktemp()), {"DOMAIN": "a.test", **environ}, write=False)
        return {host.name: host.services for host in make_site(config).hosts}

    def test_hosts(self) -> None:
        """Whatever listens has a name; what does not needs none."""
        every = {
            "mx.a.test": ("mx",),
            "smtp.a.test": ("smtp",),
            "imap.a.test": ("imap",),
            "pop3.a.test": ("pop3",),
            "a.test": ("web",),
            "api.a.test": ("api",),
        }
        self.assertEqual(self.hosts(), every)
        without = {name: does for name, does in every.items() if name != "pop3.a.test"}
        self.assertEqual(self.hosts(POP3_PORT="0"), without)
        listening = self.hosts(POP3_PORT="0", POP3_LISTEN="tcp:995")
        self.assertEqual(listening, every)

    def test_one_host_for_all(self) -> None:
        """A name is listed once, with all that it does."""
        found = self.hosts(SMTP_HOST="mail.a.test", IMAP_HOST="mail.a.test", API_HOST="a.test")
        self.assertEqual(found["mail.a.test"], ("smtp", "imap"))
        self.assertEqual(found["a.test"], ("web", "api"))


class MailTests(TestCase):
    """Mail of the server itself, as it waits in the queue."""

    def setUp(self) -> "Deferred[None]":
        """A server with an empty directory."""
        directory = Path(self.mktemp())
        environ = {"DOMAIN": "a.test", "WEB_URL": "https://mail.a.test/"}
        self.inside = Inside(reactor, load(directory, environ, write=True))
        self.addCleanup(lambda: Deferred.fromCoroutine(self.inside.stop()))
        return Deferred.fromCoroutine(self.inside.start())

    def test_in_any_language(self) -> "Deferred[None]":
        """Whoever has chosen no language gets mail all the same, with a link that can be opened."""
        return Deferred.fromCoroutine(self.ask("", "da", "xx"))

    async def ask(self, *languages: str) -> None:
        """The same mail in these languages."""
        users, queue = self.inside.users, self.inside.stores.queue
        password = "mulled otter 84 quay"
        await users.register("me@b.test", password, is_by_operator=True)
        user = await users.register("you@b.test", password, is_by_operator=True)
        for language in languages:
            await self.inside.address_links.ask(user, language)
        subjects = []
        for entry in await queue.find(QueueFilter()):
            raw = await queue.read_body(entry.message)
            message = email.message_from_bytes(raw, policy=email.policy.default)
            subjects.append(message["Subject"])
            self.assertRegex(message.get_content(), r"(?m)^https://mail\.a\.test/verify/[\w-]+\r?$")
        english = "Verify your address at fe-mail"
        self.assertEqual(
            sorted(subjects), ["Bekr\u00e6ft din adresse hos fe-mail", english, english]
        )
