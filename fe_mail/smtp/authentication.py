"""
AUTH: the exchange with a SASL mechanism, base64 on the wire.

The mechanisms are ``Login``'s; here are the lines, the cancellation with ``*``, and the codes of
RFC 4954 §4 and §6. What a client sends in an exchange is never logged.
"""

import binascii

from fe_mail.accounts.login import Login
from fe_mail.model.errors import MailError
from fe_mail.model.identity import Identity
from fe_mail.smtp.command import Auth
from fe_mail.smtp.conversation import Commands, Conversation
from fe_mail.smtp.errors import answer_to_login
from fe_mail.smtp.wire import Answer

__all__ = ["COMMANDS"]

MAX_STEPS = 10  # of one exchange
PROTOCOL = "smtp"

_CANCELLED = Answer(501, "5.7.0", "Authentication cancelled")
_NOT_BASE64 = Answer(501, "5.5.2", "The response is not valid base64")
_TOO_LONG = Answer(501, "5.5.2", "The exchange is too long")


async def auth(talk: Conversation, command: Auth) -> Answer:
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


async def _exchange(talk: Conversation, login: Login, command: Auth) -> Answer:
    exchange = login.begin(command.mechanism, talk.peer, PROTOCOL)
    encoded = b"" if command.initial == b"=" else command.initial
    for _ in range(MAX_STEPS):
        if encoded == b"*":
            return _CANCELLED
        try:
            response = None if encoded is None else binascii.a2b_base64(encoded, strict_mode=True)
        except binascii.Error:
            return _NOT_BASE64
        result = await exchange.step(response)
        if isinstance(result, Identity):
            refusal = talk.link.signed_in(result.alias.id)
            if refusal is not None:
                return refusal
            talk.identity = result
            talk.session.logged_in()
            return Answer(235, "2.7.0", "Authentication successful")
        encoded = await _challenge(talk, result)
    return _TOO_LONG


async def _challenge(talk: Conversation, challenge: bytes) -> bytes:
    talk.session.expect_response(True)
    text = binascii.b2a_base64(challenge, newline=False).decode("ascii")
    talk.say(Answer(334, "", text))
    return await talk.response()


COMMANDS: Commands = {Auth: auth}
