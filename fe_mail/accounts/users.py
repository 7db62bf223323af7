"""
Web accounts: registration, signing in, browser sessions, API tokens.

A session's cookie and an API token are random; the store has only their SHA-256. A cookie also
carries a keyed hash over the password's hash, so a new password ends every session without the
store knowing which there are. Because the web UI shows the API token again, it is kept besides,
encrypted with the server's key. Signing in is limited and costs the same for addresses that do
not exist.
"""

import hashlib
import hmac
import secrets
import zoneinfo
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Protocol

from twisted.internet.interfaces import IReactorTime

from fe_mail.accounts.failed_logins import FailedLogins
from fe_mail.accounts.limits import FailureLimits
from fe_mail.accounts.passwords import check_strength, prepare, run_here
from fe_mail.accounts.registration import Registration
from fe_mail.accounts.validation import person_name, user_email
from fe_mail.model.account import User, WebSession
from fe_mail.model.errors import (
    AlreadyExists,
    AuthenticationFailed,
    Conflict,
    Corrupt,
    Invalid,
    NotFound,
    PermissionDenied,
)
from fe_mail.model.ids import UserId, new_id
from fe_mail.model.network import parse_ip
from fe_mail.model.page import Page, Query
from fe_mail.ports import Counters, Keyring, Offload, SessionStore, SettingStore, UserStore

__all__ = ["API_TOKEN_LENGTH", "LOCALES", "SESSION_SECONDS", "Users"]

SESSION_SECONDS = 30 * 86400.0
SESSION_TOKEN_OCTETS = 32
MAX_TOKEN_LENGTH = 128
MAX_EMAIL_LENGTH = 320  # of what is no address
API_TOKEN_LENGTH = 24
LOCALES = frozenset({"en", "da"})
_PURPOSE = "api-token"


class UserRecords(SessionStore, SettingStore, UserStore, Protocol):
    """What web accounts ask."""


class Users:
    """People with a web login."""

    def __init__(
        self,
        accounts: UserRecords,
        keyring: Keyring,
        counters: Counters,
        clock: IReactorTime,
        failed: FailedLogins,
        *,
        run: Offload = run_here,
    ) -> None:
        self._run = run
        self._accounts = accounts
        self._keyring = keyring
        self._clock = clock
        self._failed = failed
        self.registration = Registration(accounts)
        self._limits = FailureLimits(counters, keyring, clock, "sign-in")
        self._has_admin = False

    async def register(
        self, email: str, password: str, locale: str = "", *, is_by_operator: bool = False
    ) -> User:
        """
        A new account; the first one of a server owns it.

        Its address counts as proven if it is the first or the operator makes it. ``Invalid`` for
        the address or a weak password, ``AlreadyExists`` for a taken address, ``PermissionDenied``
        when registration is closed.
        """
        address = user_email(email)
        if not is_by_operator:
            await self.registration.require()
        good = await self._judged(password, address)
        now = self._clock.seconds()
        token = secrets.token_hex(API_TOKEN_LENGTH // 2)
        user = User(
            id=UserId(new_id(now)),
            email=address,
            password_hash=await self._keyring.hash_password(good),
            has_verified_email=is_by_operator,
            locale=locale if locale in LOCALES else "",
            created_at=now,
            updated_at=now,
            **self._token_fields(token),
        )
        try:
            added = await self._accounts.add_user(user)
        except AlreadyExists:
            raise AlreadyExists("This e-mail address is registered already.") from None
        if added.group == "admin":
            return await self.verify_address(added)
        if not is_by_operator:
            await self._require_still_open(added)
        return added

    async def _require_still_open(self, added: User) -> None:
        """Of a crowd that came before the first account was there, only that one stays."""
        try:
            await self.registration.require()
        except PermissionDenied:
            await self._accounts.delete_user(added.id)
            raise

    async def verify_address(self, user: User) -> User:
        """Its owner reads it, or the operator says so. ``Conflict`` if it changed since."""
        if user.has_verified_email:
            return user
        now, before = self._clock.seconds(), {"email": user.email}
        return await self._accounts.update_user(user.id, now, before, has_verified_email=True)

    async def take_address(self, user: User, email: str) -> User:
        """
        A new address, whose owner reads it.

        ``AlreadyExists``; ``Conflict`` if the account has another address or password since.
        """
        now = self._clock.seconds()
        before = {"email": user.email, "password_hash": user.password_hash}
        try:
            return await self._accounts.update_user(
                user.id, now, before, email=email, has_verified_email=True
            )
        except AlreadyExists:
            raise AlreadyExists("This e-mail address is registered already.") from None

    async def _judged(self, password: str, email: str) -> str:
        """The prepared password; judging it costs too much for the reactor."""
        return await self._run(lambda: check_strength(password, context=_words(email)))

    async def sign_in(self, email: str, password: str, remote: str) -> User:
        """``AuthenticationFailed``, ``RateLimited``, ``PermissionDenied`` for the banned."""
        name = _limited_name(email)
        await self._limits.check(remote, name)
        user = await self._user_by_email(name)
        try:
            text = prepare(password)
        except Invalid:
            text = ""
        stored = user.password_hash if user and text else ""
        is_right = await self._keyring.verify_password(stored, text)
        if user is None or not is_right:
            failure = await self._limits.failed(remote, name, password[:MAX_TOKEN_LENGTH])
            if user is not None and failure.is_new:
                self._failed.record(
                    "web", user.email, remote, is_last=failure.is_last, user_id=user.id
                )
            raise AuthenticationFailed
        await self._limits.succeeded(remote, name)  # or nobody hears that it was right
        if user.is_banned:
            raise PermissionDenied("This account is closed.")
        if self._keyring.is_outdated(stored):
            return await self._hash_again(user, text)
        return user

    async def lift(self, who: str) -> None:
        """Forget the failures of an IP address or of an account: for the operator."""
        if parse_ip(who) is not None:
            await self._limits.lift_address(who)
        else:
            await self._limits.lift_name(_limited_name(who))

    async def _hash_again(self, user: User, password: str) -> User:
        """With the costs of today. One that was changed in the meantime is left alone."""
        hashed = await self._keyring.hash_password(password)
        try:
            return await self._accounts.update_user(
                user.id,
                self._clock.seconds(),
                {"password_hash": user.password_hash},
                password_hash=hashed,
            )
        except (Conflict, NotFound):
            return user

    async def _user_by_email(self, email: str) -> User | None:
        try:
            return await self._accounts.user_by_email(user_email(email))
        except (Invalid, NotFound):
            return None

    async def start_session(self, user: User, remote: str) -> str:
        """A browser session; returns the token for the cookie."""
        secret = secrets.token_urlsafe(SESSION_TOKEN_OCTETS)
        now = self._clock.seconds()
        await self._accounts.add_session(
            WebSession(
                id=_digest(secret),
                user_id=user.id,
                created_at=now,
                expires_at=now + SESSION_SECONDS,
                remote=remote,
            )
        )
        return f"{secret}.{self._binding(secret, user)}"

    def _binding(self, secret: str, user: User) -> str:
        """What a cookie carries of the password that was valid when the session began."""
        text = f"{secret}\0{user.id}\0{user.password_hash}"
        return self._keyring.mac(text.encode("utf-8", "backslashreplace"), "session")[:16].hex()

    async def session_user(self, token: str) -> User:
        """Whose session it is. ``NotFound``."""
        if not 0 < len(token) <= MAX_TOKEN_LENGTH:
            raise NotFound
        secret, _, binding = token.partition(".")
        _, user = await self._accounts.session(_digest(secret), self._clock.seconds())
        right = self._binding(secret, user).encode()
        given = binding.encode("utf-8", "backslashreplace")
        if user.is_banned or not hmac.compare_digest(given, right):
            raise NotFound
        return user

    async def sign_out(self, token: str) -> None:
        """End the session, if there is one."""
        if 0 < len(token) <= MAX_TOKEN_LENGTH:
            await self._accounts.delete_session(_digest(token.partition(".")[0]))

    async def sign_out_everywhere(self, user: User) -> None:
        """End every session of the user, in all browsers."""
        await self._accounts.delete_sessions(user.id)

    async def api_token(self, user: User) -> str:
        """The API token, made when there is none that can be shown."""
        if user.api_token_sealed:
            try:
                return self._keyring.reveal(user.api_token_sealed, _PURPOSE).decode()
            except Corrupt:
                # The server's key was changed: the old token stays unknown, so make another.
                return await self.new_api_token(user)
        return await self.new_api_token(user)

    async def new_api_token(self, user: User) -> str:
        """Another token; the old one stops working at once."""
        token = secrets.token_hex(API_TOKEN_LENGTH // 2)
        now = self._clock.seconds()
        await self._accounts.update_user(user.id, now, **self._token_fields(token))
        return token

    def _token_fields(self, token: str) -> dict[str, Any]:
        return {
            "api_token_hash": _digest(token),
            "api_token_sealed": self._keyring.protect(token.encode(), _PURPOSE),
        }

    async def by_token(self, token: str) -> User:
        """The user of an API token. ``NotFound``."""
        if not 0 < len(token) <= MAX_TOKEN_LENGTH:
            raise NotFound
        return await self._accounts.user_by_token(_digest(token))

    @staticmethod
    def check(**fields: object) -> None:
        """``Invalid`` if ``update`` would refuse them: before something else is begun."""
        for name, value in fields.items():
            _checked(name, value)

    async def update(self, user: User, **fields: object) -> User:
        """Change e-mail address, names, locale, time zone. ``Invalid``, ``AlreadyExists``."""
        changes = {name: _checked(name, value) for name, value in fields.items()}
        if not changes:
            return user
        try:
            return await self._accounts.update_user(user.id, self._clock.seconds(), **changes)
        except AlreadyExists:
            raise AlreadyExists("This e-mail address is registered already.") from None

    async def change_password(self, user: User, old: str, new: str) -> User:
        """
        With the old password; every session of the user ends, this one too.

        ``AuthenticationFailed``, ``RateLimited``, ``Invalid``. Returns the changed user, with whom
        the caller may start a new session.
        """
        await self.confirm(user, old)
        return await self.set_password(user, new)

    async def confirm(self, user: User, password: str) -> None:
        """Ask for the password once more. ``AuthenticationFailed``, ``RateLimited``."""
        await self._limits.check("", user.email)
        try:
            is_right = await self._keyring.verify_password(user.password_hash, prepare(password))
        except Invalid:
            is_right = False
        if not is_right:
            await self._limits.failed("", user.email, password[:MAX_TOKEN_LENGTH])
            raise AuthenticationFailed("The current password is not correct.")
        await self._limits.succeeded("", user.email)

    async def set_password(self, user: User, new: str) -> User:
        """
        Without the old one: for the operator. Every session of the user ends.

        ``Invalid`` when it is weak; ``Conflict`` when there is another one since.
        """
        return await self._set_password(user, new)

    async def recover(self, user: User, new: str) -> User:
        """
        Without the old one, for whoever reads the address, which is proven by that.

        If it was not proven before, somebody else may have made the account, and knows its API
        token: that goes, too. ``Invalid`` and ``Conflict`` as above.
        """
        if user.has_verified_email:
            return await self._set_password(user, new)
        token = self._token_fields(secrets.token_hex(API_TOKEN_LENGTH // 2))
        return await self._set_password(user, new, has_verified_email=True, **token)

    async def _set_password(self, user: User, new: str, **more: object) -> User:
        good = await self._judged(new, user.email)
        hashed = await self._keyring.hash_password(good)
        now = self._clock.seconds()
        before = {"email": user.email, "password_hash": user.password_hash}
        changed = await self._accounts.update_user(
            user.id, now, before, password_hash=hashed, **more
        )
        await self.sign_out_everywhere(changed)
        return changed

    async def list(self, query: Query) -> Page[User]:
        """Everybody: for the admins of the server."""
        return await self._accounts.users(query)

    async def get(self, user_id: UserId) -> User:
        """By id. ``NotFound``."""
        return await self._accounts.user(user_id)

    async def has_admin(self) -> bool:
        """Is somebody in charge yet? The first account always is."""
        if not self._has_admin:
            self._has_admin = await self._accounts.is_owned()
        return self._has_admin


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "backslashreplace")).hexdigest()


def _limited_name(email: str) -> str:
    """What failures count by: the same for every spelling of an address."""
    try:
        return user_email(email)
    except Invalid:
        return email.strip().lower()[:MAX_EMAIL_LENGTH]


def _words(email: str) -> tuple[str, ...]:
    local, _, domain = email.partition("@")
    return email, local, domain, domain.partition(".")[0]


def _locale(value: object) -> str:
    """A language, or none: then the browser decides."""
    if value != "" and value not in LOCALES:
        raise Invalid("This language is not available.", field="locale")
    return str(value)


def _timezone(value: object) -> str:
    try:
        return zoneinfo.ZoneInfo(str(value)).key
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise Invalid("This time zone is not known.", field="timezone") from None


_CHECKS: Mapping[str, Callable[[object], object]] = MappingProxyType(
    {
        "email": user_email,
        "given_name": lambda value: person_name(value, "given_name"),
        "family_name": lambda value: person_name(value, "family_name"),
        "locale": _locale,
        "timezone": _timezone,
    }
)


def _checked(name: str, value: object) -> object:
    check = _CHECKS.get(name)
    if check is None:
        raise Invalid("This field cannot be changed.", field=name)
    return check(value)
