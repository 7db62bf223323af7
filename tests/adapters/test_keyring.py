"""The server's keyring keeps the contract, and leaves costly work to its threads."""

import hashlib
from collections.abc import Callable
from typing import TypeVar

from twisted.internet.defer import Deferred, fail, succeed
from twisted.trial.unittest import SynchronousTestCase

from fe_mail.adapters.keyring import ServerKeyring
from fe_mail.adapters.threads import InlineThreads
from fe_mail.model.errors import Invalid, Unavailable
from tests.contracts.keyring import KeyringContract

T = TypeVar("T")


class FullThreads:
    """A pool in which too much waits already."""

    def run(self, work: Callable[[], T]) -> "Deferred[T]":
        """Refuse."""
        return fail(Unavailable())

    def stop(self) -> "Deferred[None]":
        """Nothing runs."""
        return succeed(None)


class ServerKeyringTests(KeyringContract, SynchronousTestCase):
    """The contract, on the server's keyring."""

    def keyring(self, secret: bytes = b"s" * 32) -> ServerKeyring:
        """One that hashes at once."""
        return ServerKeyring(secret, InlineThreads())

    def test_every_iteration(self) -> None:
        """As many rounds as were asked for: they are what guessing costs."""
        for iterations in (4095, 4096, 15_000):
            work = self.keyring().salted_password("pencil", b"salt", iterations)
            salted = self.successResultOf(Deferred.fromCoroutine(work))
            expected = hashlib.pbkdf2_hmac("sha256", b"pencil", b"salt", iterations)
            self.assertEqual(salted, expected, iterations)

    def test_short_secret(self) -> None:
        """A secret that could be guessed is refused at start."""
        with self.assertRaises(Invalid):
            ServerKeyring(b"short", InlineThreads())

    def test_storm(self) -> None:
        """When the pool is full the caller hears ``Unavailable``."""
        keyring = ServerKeyring(b"s" * 32, FullThreads())
        for coroutine in (
            keyring.salted_password("p", b"s", 4096),
            keyring.verify_password("", "p"),
        ):
            self.failureResultOf(Deferred.fromCoroutine(coroutine), Unavailable)
