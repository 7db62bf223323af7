"""
The MX listener: mail from the Internet, no login.

Clients that speak before the greeting are refused (RFC 5321 §3.1), DSN is not offered.
"""

from twisted.internet.interfaces import IReactorTime

from fe_mail.connection.encryption import TLS
from fe_mail.connection.registry import Limits
from fe_mail.policy.limits import MAX_RECIPIENTS
from fe_mail.reception.interface import Reception
from fe_mail.smtp.factory import MAX_CONNECTIONS, SMTPFactory
from fe_mail.smtp.session import MAX_SIZE_OCTETS, MAX_TRANSACTIONS, Rules

__all__ = ["LIMITS", "MXFactory"]

LIMITS = Limits(in_all=MAX_CONNECTIONS, per_address=10)


class MXFactory(SMTPFactory):
    """Builds MX servers."""

    def __init__(
        self,
        reception: Reception,
        *,
        hostname: str,
        clock: IReactorTime,
        tls: TLS | None = None,
        max_size_octets: int = MAX_SIZE_OCTETS,
        max_recipients: int = MAX_RECIPIENTS,
        max_transactions: int = MAX_TRANSACTIONS,
        limits: Limits = LIMITS,
    ) -> None:
        rules = Rules(
            hostname=hostname,
            has_tls=tls is not None,
            refuses_early_talkers=True,
            max_size_octets=max_size_octets,
            max_recipients=max_recipients,
            max_transactions=max_transactions,
        )
        super().__init__(
            rules,
            reception,
            None,
            clock=clock,
            tls=tls,
            limits=limits,
        )
