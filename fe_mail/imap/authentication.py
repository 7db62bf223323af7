"""
STARTTLS, AUTHENTICATE, LOGIN.

Passwords are taken only where nobody can read along. What follows STARTTLS in clear ends the
session, so nothing sent before TLS is ever executed in it (CVE-2011-0411).
RFC 9051 §6.2, §11.2; RFC 4959 (SASL-IR); RFC 5530 (response codes).
"""

from typing import Final

from fe_mail.accounts.sasl import converse
from fe_mail.imap.command import Authenticate, Login, StartTLS
from fe_mail.imap.reply import Reply, bad, no, ok
from fe_mail.imap.session import Bye, Session
from fe_mail.model.errors import AuthenticationFailed, Corrupt, Invalid, MailError
from fe_mail.model.identity import Identity

__all__ = ["COMMANDS"]

MAX_FAILURES: Final = 5  # of one connection
PROTOCOL: Final = "imap"


async def start_tls(session: Session, command: StartTLS) -> Reply:
    """The reply goes out in clear, then TLS begins."""
    if not session.wire.can_start_tls:
        return bad("TLS is active already, or not available.")
    session.wire.allow_nothing_after()
    return Reply(b"OK", "Begin TLS now.", after=session.wire.start_tls)


async def login(session: Session, command: Login) -> Reply:
    """LOGIN with the address of an alias and one of its passwords."""
    if not session.wire.may_sign_in:
        return no("Use TLS first.", b"PRIVACYREQUIRED")
    try:
        username = command.username.decode("utf-8")
        password = command.password.decode("utf-8")
    except UnicodeDecodeError:
        return _failed(session, AuthenticationFailed())
    try:
        identity = await session.services.login.authenticate(
            username, password, session.wire.peer, PROTOCOL
        )
    except AuthenticationFailed as error:
        return _failed(session, error)
    return await _logged_in(session, identity)


async def authenticate(session: Session, command: Authenticate) -> Reply:
    """A SASL exchange; ``*`` cancels it."""
    if not session.wire.may_sign_in:
        return no("Use TLS first.", b"PRIVACYREQUIRED")
    if command.mechanism not in session.services.login.mechanisms:
        return no("Unknown mechanism.", b"CANNOT")
    exchange = session.services.login.begin(command.mechanism, session.wire.peer, PROTOCOL)

    async def ask(challenge: bytes) -> bytes:
        session.wire.write(b"+ %s\r\n" % challenge)
        return await session.wire.line()

    try:
        identity = await converse(exchange, command.initial, ask)
    except AuthenticationFailed as error:
        return _failed(session, error)
    except Invalid as error:
        return bad(error.message)
    return await _logged_in(session, identity)


async def _logged_in(session: Session, identity: Identity) -> Reply:
    try:
        await session.log_in(identity)
    except Corrupt as error:  # nothing that the client could do, nor another password
        return no(error.message, b"CONTACTADMIN")
    return ok("Logged in.", b"CAPABILITY " + session.capabilities())


def _failed(session: Session, error: MailError) -> Reply:
    session.failures += 1
    if session.failures >= MAX_FAILURES:
        session.wire.say_farewell(Bye("Too many failed logins."))
    return no(error.message, b"AUTHENTICATIONFAILED")


COMMANDS = {StartTLS: start_tls, Login: login, Authenticate: authenticate}
