"""
CAPABILITY, NOOP, LOGOUT, ID, ENABLE, NAMESPACE.

RFC 9051 §6.1, §6.3.1, §6.3.10; RFC 2971 (ID); RFC 5161 (ENABLE); RFC 2342 (NAMESPACE).
"""

from twisted.logger import Logger

from fe_mail.imap.command import Capability, Enable, Identify, Logout, Namespace, Noop, State
from fe_mail.imap.reply import Reply, ok
from fe_mail.imap.session import Session

__all__ = ["COMMANDS"]

log = Logger()


async def capability(session: Session, command: Capability) -> Reply:
    """What we can do."""
    session.tell(b"CAPABILITY " + session.capabilities())
    return ok("Capabilities listed.")


async def noop(session: Session, command: Noop) -> Reply:
    """A look into the store, whatever the hints say."""
    await session.refresh(expunge=True, force=True)
    return ok("Done.")


async def logout(session: Session, command: Logout) -> Reply:
    """BYE comes before the tagged OK."""
    session.tell(b"BYE Goodbye.")
    session.state = State.LOGOUT
    return ok("Logged out.")


async def identify(session: Session, command: Identify) -> Reply:
    """Only our name: a version would tell an attacker more than a friend."""
    names = {name.lower(): value for name, value in command.fields}
    log.debug(
        "IMAP client is {name}",
        name=(names.get(b"name") or b"").decode("utf-8", "replace"),
        session_id=session.wire.peer.session_id,
    )
    session.tell(b'ID ("name" "fe-mail")')
    return ok("Pleased to meet you.")


async def enable(session: Session, command: Enable) -> Reply:
    """Unknown extensions are ignored (RFC 5161 §3.1)."""
    enabled = []
    if b"CONDSTORE" in command.capabilities:
        enabled.append(b" CONDSTORE")
    session.tell(b"ENABLED" + b"".join(enabled))
    if enabled:
        session.enable_condstore()
    return ok("Enabled.")


async def namespace(session: Session, command: Namespace) -> Reply:
    """One personal namespace without a prefix."""
    session.tell(b'NAMESPACE (("" "/")) NIL NIL')
    return ok("Namespaces listed.")


COMMANDS = {
    Capability: capability,
    Noop: noop,
    Logout: logout,
    Identify: identify,
    Enable: enable,
    Namespace: namespace,
}
