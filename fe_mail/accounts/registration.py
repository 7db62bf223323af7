"""
Who may register: everybody until the first account exists, then nobody.

Whoever runs the server may open it, and close it again. It is asked for each registration, so that
the decision counts at once and in every process.
"""

from typing import Protocol

from fe_mail.model.errors import Invalid, PermissionDenied
from fe_mail.ports import SettingStore, UserStore

__all__ = ["STATES", "Registration"]

_SETTING = "registration"
OPEN, CLOSED = "open", "closed"
STATES = (OPEN, CLOSED)


class RegistrationRecords(SettingStore, UserStore, Protocol):
    """What is asked."""


class Registration:
    """Open or closed."""

    def __init__(self, accounts: RegistrationRecords) -> None:
        self._accounts = accounts

    async def is_open(self) -> bool:
        """May somebody register?"""
        if await self._accounts.setting(_SETTING) == OPEN:
            return True
        return not await self._accounts.is_owned()

    async def require(self) -> None:
        """``PermissionDenied`` when it is closed."""
        if not await self.is_open():
            raise PermissionDenied(
                "Registration is closed on this server. Whoever runs it can add an account for you."
            )

    async def decide(self, state: str) -> None:
        """``open`` or ``closed``. ``Invalid``."""
        if state not in STATES:
            raise Invalid("Registration is open or closed.", field="registration")
        await self._accounts.set_setting(_SETTING, state)
