"""
The submission listener: mail of our own users, after login.

RFC 6409 (submission), RFC 8314 (TLS: implicit on 465, STARTTLS on 587), RFC 4954 (AUTH).
"""

from twisted.internet.interfaces import IReactorTime

from fe_mail.accounts.login import Login
from fe_mail.connection.encryption import TLS
from fe_mail.connection.registry import Limits
from fe_mail.policy.limits import MAX_RECIPIENTS
from fe_mail.ports import Bus
from fe_mail.reception.interface import Reception
from fe_mail.smtp.factory import MAX_CONNECTIONS, SMTPFactory
from fe_mail.smtp.session import MAX_SIZE_OCTETS, MAX_TRANSACTIONS, Rules

__all__ = ["LIMITS", "SubmissionFactory"]

LIMITS = Limits(in_all=MAX_CONNECTIONS, per_address=30, per_alias=30)


class SubmissionFactory(SMTPFactory):
    """
    Builds submission servers; ``allow_plaintext_auth`` is for tests on loopback.

    With a ``bus``, sessions of an alias end when its password changes.
    """

    def __init__(
        self,
        reception: Reception,
        login: Login,
        *,
        hostname: str,
        clock: IReactorTime,
        tls: TLS | None = None,
        bus: Bus | None = None,
        allow_plaintext_auth: bool = False,
        max_size_octets: int = MAX_SIZE_OCTETS,
        max_recipients: int = MAX_RECIPIENTS,
        max_transactions: int = MAX_TRANSACTIONS,
        limits: Limits = LIMITS,
    ) -> None:
        rules = Rules(
            hostname=hostname,
            is_submission=True,
            mechanisms=tuple(login.mechanisms),
            has_tls=tls is not None,
            allow_plaintext_auth=allow_plaintext_auth,
            max_size_octets=max_size_octets,
            max_recipients=max_recipients,
            max_transactions=max_transactions,
        )
        super().__init__(
            rules,
            reception,
            login,
            clock=clock,
            tls=tls,
            limits=limits,
            bus=bus,
        )
