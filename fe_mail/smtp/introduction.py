"""
HELO, EHLO, STARTTLS and the small commands that move no mail.

RFC 5321 §4.1.1.1 (EHLO), §3.5 (VRFY), §4.1.1.7-§4.1.1.10; RFC 3207 (STARTTLS); the keywords of
RFC 1870, 2920, 6152, 6531, 3030, 2034, 4954 and 3461.
"""

from fe_mail.smtp.command import Ehlo, Helo, Help, Noop, Quit, StartTLS, Vrfy
from fe_mail.smtp.conversation import Commands, SMTPConversation
from fe_mail.smtp.session import Session
from fe_mail.smtp.wire import Answer

__all__ = ["COMMANDS", "extensions"]


def extensions(session: Session) -> tuple[str, ...]:
    """The EHLO keywords that are true now."""
    rules = session.rules
    offered = [
        f"SIZE {rules.max_size_octets}",
        "PIPELINING",
        "8BITMIME",
        "SMTPUTF8",
        "CHUNKING",
        "ENHANCEDSTATUSCODES",
    ]
    if rules.is_submission:
        offered.append("DSN")
    if rules.has_tls and not session.is_secure:
        offered.append("STARTTLS")
    may_log_in = session.is_secure or rules.allow_plaintext_auth
    if rules.mechanisms and may_log_in and not session.is_logged_in:
        offered.append(f"AUTH {' '.join(rules.mechanisms)}")
    return tuple(offered)


async def helo(talk: SMTPConversation, command: Helo) -> Answer:
    """The old greeting: no extensions."""
    await talk.forget_incoming()
    talk.session.greeted(command)
    return Answer(250, "", talk.session.rules.hostname)


async def ehlo(talk: SMTPConversation, command: Ehlo) -> Answer:
    """The greeting with what we can do."""
    await talk.forget_incoming()
    talk.session.greeted(command)
    return Answer(250, "", talk.session.rules.hostname, more=extensions(talk.session))


async def starttls(talk: SMTPConversation, command: StartTLS) -> Answer | None:
    """Go over to TLS; nothing that was said before counts any more (RFC 3207 §4.2)."""
    await talk.forget_incoming()
    talk.allow_nothing_after()
    talk.say(Answer(220, "2.0.0", "Go ahead"))
    talk.start_tls()
    return None


async def noop(talk: SMTPConversation, command: Noop) -> Answer:
    """Nothing."""
    return Answer(250, "2.0.0", "OK")


async def vrfy(talk: SMTPConversation, command: Vrfy) -> Answer:
    """Never tell who exists (RFC 5321 §7.3)."""
    return Answer(252, "2.0.0", "Send mail, and it will be seen")


async def help_(talk: SMTPConversation, command: Help) -> Answer:
    """What there is."""
    known = "EHLO HELO MAIL RCPT DATA BDAT RSET NOOP VRFY HELP STARTTLS AUTH QUIT"
    return Answer(214, "2.0.0", "Commands:", more=(known,))


async def quit_(talk: SMTPConversation, command: Quit) -> Answer:
    """Goodbye."""
    return Answer(221, "2.0.0", "Goodbye", closes=True)


COMMANDS: Commands = {
    Helo: helo,
    Ehlo: ehlo,
    StartTLS: starttls,
    Noop: noop,
    Vrfy: vrfy,
    Help: help_,
    Quit: quit_,
}
