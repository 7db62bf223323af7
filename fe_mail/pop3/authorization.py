"""
The AUTHORIZATION state: CAPA, STLS, USER and PASS, AUTH, QUIT.

Passwords and proofs are accepted under TLS only. A client that sends anything behind STLS before
the handshake is cut off: it would be executed as if it had come encrypted (CVE-2011-0411).

RFC 1939 §4, §7; RFC 2449 §5, §6; RFC 2595 §4 (STLS); RFC 5034 (AUTH); RFC 3206.
"""

from fe_mail.accounts.sasl import converse, decode_response
from fe_mail.connection.pacing import ConnectionEnded
from fe_mail.model.errors import (
    AuthenticationFailed,
    MailError,
    NotFound,
    PermissionDenied,
    RateLimited,
)
from fe_mail.model.identity import Identity
from fe_mail.pop3.framing import MAX_AUTH_OCTETS
from fe_mail.pop3.maildrop import Maildrop
from fe_mail.pop3.replies import error_reply, fail, ok
from fe_mail.pop3.session import MAX_FAILED_LOGINS, Command, Commands, Session

__all__ = ["COMMANDS", "say_capabilities"]

_PROTOCOL = "pop3"
_COMMON = (
    *(b"TOP", b"UIDL", b"RESP-CODES", b"AUTH-RESP-CODE", b"PIPELINING"),
    *(b"EXPIRE NEVER", b"IMPLEMENTATION fe-mail"),
)


def _may_sign_in(session: Session) -> bool:
    return session.link.is_secure or session.services.allow_plaintext_auth


async def say_capabilities(session: Session, _command: Command) -> None:
    """CAPA (RFC 2449 §5), in both states."""
    lines = list(_COMMON)
    if session.drop is None and _may_sign_in(session):
        names = " ".join(session.services.login.mechanisms).encode("ascii")
        lines += [b"USER", b"SASL " + names]
    if session.drop is None and session.link.can_start_tls:
        lines.append(b"STLS")
    session.say(ok(b"Capabilities follow.") + b"\r\n".join([*lines, b".", b""]))


async def _start_tls(session: Session, command: Command) -> None:
    if command.text.strip():
        session.mistake(b"STLS takes no argument.")
    elif not session.link.can_start_tls:
        session.mistake(b"TLS is not possible now.")
    elif session.framer.waiting_octets:
        session.end(fail(b"Nothing may follow STLS before the handshake."))
    else:
        session.say(ok(b"Begin TLS."))
        session.flush()
        session.forget()
        session.link.start_tls()


async def _user(session: Session, command: Command) -> None:
    if not _may_sign_in(session):
        session.say(fail(b"[AUTH] Use TLS (STLS) before signing in."))
    elif not command.text.strip():
        session.mistake(b"USER needs a name.")
    else:
        session.user = command.text.strip()
        session.say(ok(b"Send the password."))


async def _pass(session: Session, command: Command) -> None:
    user, session.user = session.user, None
    if user is None:
        session.mistake(b"Send USER first.")
        return
    try:
        name, password = user.decode("utf-8"), command.text.decode("utf-8")
    except UnicodeDecodeError:
        await _refused(session, AuthenticationFailed())
        return
    login, peer = session.services.login, session.link.peer
    try:
        identity = await login.authenticate(name, password, peer, _PROTOCOL)
    except MailError as error:
        await _refused(session, error)
        return
    await _enter(session, identity)


async def _auth(session: Session, command: Command) -> None:
    mechanisms = session.services.login.mechanisms
    arguments = command.arguments
    if not arguments:  # what clients did before CAPA
        names = [name.encode("ascii") for name in mechanisms if _may_sign_in(session)]
        session.say(ok(b"Mechanisms follow.") + b"\r\n".join([*names, b".", b""]))
        return
    name = arguments[0].decode("ascii", "replace").upper()
    if not _may_sign_in(session):
        session.say(fail(b"[AUTH] Use TLS (STLS) before signing in."))
    elif name not in mechanisms or len(arguments) > 2:
        session.mistake(b"This mechanism is not offered.")
    else:
        try:
            await _enter(session, await _exchange(session, name, arguments[1:]))
        except (AuthenticationFailed, PermissionDenied, RateLimited) as error:
            await _refused(session, error)


async def _exchange(session: Session, mechanism: str, initial: list[bytes]) -> Identity:
    """Challenges and responses until somebody is known (RFC 5034 §4)."""
    exchange = session.services.login.begin(mechanism, session.link.peer, _PROTOCOL)
    response = None
    if initial:
        response = b"" if initial[0] == b"=" else decode_response(initial[0])

    async def ask(challenge: bytes) -> bytes:
        session.say(b"+ " + challenge + b"\r\n")
        return await session.line(MAX_AUTH_OCTETS)

    return await converse(exchange, response, ask)


async def _refused(session: Session, error: MailError) -> None:
    session.failed_logins += 1
    if session.failed_logins >= MAX_FAILED_LOGINS:
        session.end(error_reply(error))
    else:
        session.say(error_reply(error))


async def _enter(session: Session, identity: Identity) -> None:
    """Open the mailbox; from here on the session is in the TRANSACTION state."""
    alias_id = identity.alias.id
    try:
        mailbox = await session.services.mailboxes.unlock(alias_id, identity.mailbox_key)
    except NotFound:
        session.say(fail(b"[SYS/PERM] This address has no mailbox."))
        return
    try:
        session.drop = await Maildrop.open(mailbox)
    finally:
        if session.drop is None:
            mailbox.close()
    if not session.link.signed_in(alias_id):
        raise ConnectionEnded
    session.log.info(
        "POP3 session {session_id} of {alias}",
        session_id=session.link.peer.session_id,
        alias=f"{identity.alias.name}@{identity.domain.name}",
    )
    count, octets = len(session.drop.numbers), session.drop.size_octets
    session.say(ok(b"%d messages (%d octets)." % (count, octets)))


async def _quit(session: Session, _command: Command) -> None:
    session.end(ok(b"Bye."))
    raise ConnectionEnded


COMMANDS: Commands = {
    b"CAPA": say_capabilities,
    b"STLS": _start_tls,
    b"USER": _user,
    b"PASS": _pass,
    b"AUTH": _auth,
    b"QUIT": _quit,
}
