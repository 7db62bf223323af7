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
from fe_mail.pop3.conversation import Command, Commands, POP3Conversation
from fe_mail.pop3.framing import MAX_AUTH_OCTETS
from fe_mail.pop3.maildrop import Maildrop
from fe_mail.pop3.replies import error_reply, fail, ok

__all__ = ["COMMANDS", "say_capabilities"]

MAX_FAILED_LOGINS = 3
_PROTOCOL = "pop3"
_COMMON = (
    *(b"TOP", b"UIDL", b"RESP-CODES", b"AUTH-RESP-CODE", b"PIPELINING"),
    *(b"EXPIRE NEVER", b"IMPLEMENTATION fe-mail"),
)


async def say_capabilities(talk: POP3Conversation, _command: Command) -> None:
    """CAPA (RFC 2449 §5), in both states."""
    lines = list(_COMMON)
    if talk.session.drop is None and talk.may_sign_in:
        names = " ".join(talk.services.login.mechanisms).encode("ascii")
        lines += [b"USER", b"SASL " + names]
    if talk.session.drop is None and talk.link.can_start_tls:
        lines.append(b"STLS")
    talk.write(ok(b"Capabilities follow.") + b"\r\n".join([*lines, b".", b""]))


async def _start_tls(talk: POP3Conversation, command: Command) -> None:
    if command.text.strip():
        talk.mistake(b"STLS takes no argument.")
    elif not talk.link.can_start_tls:
        talk.mistake(b"TLS is not possible now.")
    else:
        talk.allow_nothing_after()
        talk.write(ok(b"Begin TLS."))
        talk.start_tls()


async def _user(talk: POP3Conversation, command: Command) -> None:
    if not talk.may_sign_in:
        talk.write(fail(b"[AUTH] Use TLS (STLS) before signing in."))
    elif not command.text.strip():
        talk.mistake(b"USER needs a name.")
    else:
        talk.session.user = command.text.strip()
        talk.write(ok(b"Send the password."))


async def _pass(talk: POP3Conversation, command: Command) -> None:
    user, talk.session.user = talk.session.user, None
    if user is None:
        talk.mistake(b"Send USER first.")
        return
    try:
        name, password = user.decode("utf-8"), command.text.decode("utf-8")
    except UnicodeDecodeError:
        await _refused(talk, AuthenticationFailed())
        return
    login, peer = talk.services.login, talk.peer
    try:
        identity = await login.authenticate(name, password, peer, _PROTOCOL)
    except MailError as error:
        await _refused(talk, error)
        return
    await _enter(talk, identity)


async def _auth(talk: POP3Conversation, command: Command) -> None:
    mechanisms = talk.services.login.mechanisms
    arguments = command.arguments
    if not arguments:  # what clients did before CAPA
        names = [name.encode("ascii") for name in mechanisms if talk.may_sign_in]
        talk.write(ok(b"Mechanisms follow.") + b"\r\n".join([*names, b".", b""]))
        return
    name = arguments[0].decode("ascii", "replace").upper()
    if not talk.may_sign_in:
        talk.write(fail(b"[AUTH] Use TLS (STLS) before signing in."))
    elif name not in mechanisms or len(arguments) > 2:
        talk.mistake(b"This mechanism is not offered.")
    else:
        try:
            await _enter(talk, await _exchange(talk, name, arguments[1:]))
        except (AuthenticationFailed, PermissionDenied, RateLimited) as error:
            await _refused(talk, error)


async def _exchange(talk: POP3Conversation, mechanism: str, initial: list[bytes]) -> Identity:
    """Challenges and responses until somebody is known (RFC 5034 §4)."""
    exchange = talk.services.login.begin(mechanism, talk.peer, _PROTOCOL)
    response = None
    if initial:
        response = b"" if initial[0] == b"=" else decode_response(initial[0])

    async def ask(challenge: bytes) -> bytes:
        talk.write(b"+ " + challenge + b"\r\n")
        return await talk.line(MAX_AUTH_OCTETS)

    return await converse(exchange, response, ask)


async def _refused(talk: POP3Conversation, error: MailError) -> None:
    talk.session.failed_logins += 1
    if talk.session.failed_logins >= MAX_FAILED_LOGINS:
        talk.end(error_reply(error))
    else:
        talk.write(error_reply(error))


async def _enter(talk: POP3Conversation, identity: Identity) -> None:
    """Open the mailbox; from here on the session is in the TRANSACTION state."""
    alias_id = identity.alias.id
    try:
        mailbox = await talk.services.mailboxes.unlock(
            alias_id, identity.mailbox_key, identity.alias.sealing_key
        )
    except NotFound:
        talk.write(fail(b"[SYS/PERM] This address has no mailbox."))
        return
    try:
        talk.session.drop = await Maildrop.open(mailbox, talk.services.broken_off)
    finally:
        if talk.session.drop is None:
            mailbox.close()
    talk.signed_in(alias_id)
    talk.log.info(
        "POP3 session {session_id} of {alias}",
        session_id=talk.peer.session_id,
        alias=f"{identity.alias.name}@{identity.domain.name}",
    )
    count, octets = len(talk.session.drop.numbers), talk.session.drop.size_octets
    talk.write(ok(b"%d messages (%d octets)." % (count, octets)))


async def _quit(talk: POP3Conversation, _command: Command) -> None:
    talk.end(ok(b"Bye."))
    raise ConnectionEnded


COMMANDS: Commands = {
    b"CAPA": say_capabilities,
    b"STLS": _start_tls,
    b"USER": _user,
    b"PASS": _pass,
    b"AUTH": _auth,
    b"QUIT": _quit,
}
