"""
APPEND (RFC 9051 §6.3.12; RFC 4315 §3: APPENDUID).
"""

from fe_mail.imap.command import Append
from fe_mail.imap.formatting import sequence_set
from fe_mail.imap.reply import Reply, no, ok
from fe_mail.imap.session import Session
from fe_mail.model.mailbox import NewMessage

__all__ = ["COMMANDS"]


async def append(session: Session, command: Append) -> Reply:
    """
    All messages or none; the selected folder hears of them at once.

    Without BINARY (RFC 3516) there is no NUL in a message: it would be none in any literal of ours.
    """
    if not all(each.raw for each in command.messages):
        return no("A message cannot be empty.", b"CANNOT")
    if any(b"\0" in each.raw for each in command.messages):
        return no("A message cannot contain NUL.", b"CANNOT")
    now = session.services.clock.seconds()
    messages = [
        NewMessage(
            raw=each.raw, flags=each.flags, received_at=now if each.date is None else each.date
        )
        for each in command.messages
    ]
    result = await session.mailbox.append(command.name, messages)
    if session.view is not None and session.view.folder.id == result.folder.id:
        await session.refresh(expunge=False, force=True)
    uids = sequence_set(result.uids)
    return ok("Appended.", b"APPENDUID %d %s" % (result.folder.uidvalidity, uids))


COMMANDS = {Append: append}
