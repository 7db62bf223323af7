"""
MAIL, RCPT, DATA, BDAT and RSET: the mail transaction.

RFC 5321 §3.3, §4.1.1.2-§4.1.1.5; RFC 3030 (CHUNKING); RFC 1870 (SIZE); RFC 3461 (DSN).
"""

from fe_mail.connection.pacing import ConnectionEnded
from fe_mail.model.status import Status
from fe_mail.smtp.command import Bdat, Data, Mail, Rcpt, Rset
from fe_mail.smtp.content import Incoming
from fe_mail.smtp.conversation import Commands, SMTPConversation
from fe_mail.smtp.wire import Answer

__all__ = ["COMMANDS"]

MESSAGE_SECONDS = 3600  # from 354 or the first chunk to the end; a trickle is no message

_TOO_SLOW = Answer(421, "4.4.2", "The message takes too long")
_GO_AHEAD = Answer(354, "", "Send the message, end with <CRLF>.<CRLF>")
_FLOOD = Answer(421, "4.3.4", "The message is far too big")


async def mail(talk: SMTPConversation, command: Mail) -> Answer:
    """Begin a transaction if the reception agrees."""
    session = talk.session
    refusal = await talk.reception.sender(talk.peer, talk.identity, command.reverse_path)
    if refusal is not None:
        return _refuse(talk, refusal)
    session.began(command)
    return Answer(250, "2.1.0", "Sender accepted")


async def rcpt(talk: SMTPConversation, command: Rcpt) -> Answer:
    """Add a recipient if the reception agrees; one that is there already is not asked about."""
    transaction = talk.session.transaction
    assert transaction is not None
    if command.address.key not in transaction.recipients:
        begun = transaction.mail
        refusal = await talk.reception.recipient(
            talk.peer, talk.identity, begun.reverse_path, command.address, begun.size_octets
        )
        if refusal is not None:
            return _refuse(talk, refusal)
        talk.session.added(command)
    return Answer(250, "2.1.5", "Recipient accepted")


def _refuse(talk: SMTPConversation, refusal: Status) -> Answer:
    talk.log.info(
        "SMTP session {session_id}: refused {code} {enhanced}",
        session_id=talk.peer.session_id,
        code=refusal.code,
        enhanced=refusal.enhanced,
        metric="smtp-refusal",
        outcome=str(refusal.code),
    )
    once_too_often = talk.session.refused() if refusal.code >= 500 else None
    return once_too_often or Answer.of(refusal)


async def data(talk: SMTPConversation, command: Data) -> Answer:
    """Receive a message up to CRLF "." CRLF."""
    _begin(talk)
    talk.session.begin_data()
    talk.say(_GO_AHEAD)
    await _pour(talk)
    return await _finish(talk)


async def bdat(talk: SMTPConversation, command: Bdat) -> Answer:
    """Receive one chunk; the message ends with the one that says LAST."""
    failure = None
    if talk.incoming is None:
        try:
            _begin(talk)
        except Exception as error:
            failure = talk.answer_to(error)
    await _pour(talk)
    if failure is None and talk.incoming is not None:
        failure = talk.incoming.failure
    if failure is not None:  # RFC 3030 §2: the transaction is lost, later chunks hear 503
        if talk.incoming is not None:
            _log_message(talk, talk.incoming, failure)
        await talk.forget_incoming()
        talk.session.ended()
        return failure
    if command.is_last:
        return await _finish(talk)
    if talk.incoming is not None and talk.link.seconds() > talk.incoming.deadline:
        return _TOO_SLOW
    return Answer(250, "2.0.0", f"{command.size_octets} octets received")


def _begin(talk: SMTPConversation) -> None:
    transaction = talk.session.transaction
    assert transaction is not None
    spooling = talk.reception.begin(transaction.envelope(talk.peer), talk.identity)
    deadline = talk.link.seconds() + MESSAGE_SECONDS
    talk.incoming = Incoming(spooling, talk.session.rules.max_size_octets, deadline)


async def _pour(talk: SMTPConversation) -> None:
    """Read to the end of the message or chunk, whatever happens to what is read."""
    incoming = talk.incoming
    deadline = incoming.deadline if incoming else talk.link.seconds() + MESSAGE_SECONDS
    while True:
        portion = await talk.portion()
        if incoming is not None:
            try:
                await incoming.write(portion)
            except Exception as error:
                await incoming.fail(talk.answer_to(error))
        if portion.is_end:
            return
        is_flood = incoming is not None and incoming.is_flood
        if is_flood or talk.link.seconds() > deadline:
            talk.say(_FLOOD if is_flood else _TOO_SLOW)
            raise ConnectionEnded


async def _finish(talk: SMTPConversation) -> Answer:
    incoming = talk.incoming
    assert incoming is not None
    try:
        answer = await incoming.finish()
    finally:
        talk.incoming = None
        talk.session.ended()
    _log_message(talk, incoming, answer)
    return answer


def _log_message(talk: SMTPConversation, incoming: Incoming, answer: Answer) -> None:
    # What was taken is in the log with what becomes of it.
    tell = talk.log.debug if answer.code == 250 else talk.log.info
    tell(
        "SMTP session {session_id}: message of {size_octets} octets answered {code} {enhanced}",
        session_id=talk.peer.session_id,
        size_octets=incoming.size_octets,
        code=answer.code,
        enhanced=answer.enhanced,
        metric="smtp-message",
        outcome=str(answer.code),
    )


async def rset(talk: SMTPConversation, command: Rset) -> Answer:
    """Forget the transaction."""
    await talk.forget_incoming()
    talk.session.ended(was_message=False)
    return Answer(250, "2.0.0", "Forgotten")


COMMANDS: Commands = {Mail: mail, Rcpt: rcpt, Data: data, Bdat: bdat, Rset: rset}
