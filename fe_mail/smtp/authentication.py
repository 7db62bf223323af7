"""
AUTH: the exchange with a SASL mechanism, base64 on the wire.

The mechanisms are ``Login``'s; here are the lines, the cancellation with ``*``, and the codes of
RFC 4954 §4 and §6. What a client sends in an exchange is never logged.
"""

from fe_mail.accounts.login import Login
from fe_mail.accounts.sasl import converse, decode_response
from fe_mail.model.errors import MailError
from fe_mail.smtp.command import Auth
from fe_mail.smtp.conversation import Commands, SMTPConversation
from fe_mail.smtp.errors import answer_to_login
from fe_mail.smtp.wire import Answer

__all__ = ["COMMANDS"]

PROTOCOL = "smtp"


async def auth(talk: SMTPConversation, command: Auth) -> Answer:
    """Log in, or say why not."""
    assert talk.login is not None
    try:
        answer = await _exchange(talk, talk.login, command)
    except MailError as error:
        answer = answer_to_login(error)
    finally:
        talk.session.expect_response(False)
    if answer.code == 235 or answer.code == 421:
        return answer
    once_too_often = talk.session.login_failed() if answer.code >= 500 else None
    return once_too_often or answer


async def _exchange(talk: SMTPConversation, login: Login, command: Auth) -> Answer:
    exchange = login.begin(command.mechanism, talk.peer, PROTOCOL)
    response = None
    if command.initial is not None:
        response = b"" if command.initial == b"=" else decode_response(command.initial)

    async def ask(challenge: bytes) -> bytes:
        talk.session.expect_response(True)
        talk.say(Answer(334, "", challenge.decode("ascii")))
        return await talk.response()

    identity = await converse(exchange, response, ask)
    talk.signed_in(identity.alias.id)
    talk.identity = identity
    talk.session.logged_in()
    return Answer(235, "2.7.0", "Authentication successful")


COMMANDS: Commands = {Auth: auth}
