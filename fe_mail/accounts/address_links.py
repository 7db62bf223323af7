"""
Mails that prove who reads the address of a web account, and those for a forgotten password.

What a link does it does once: verifying an address twice changes nothing, a new address is only
taken while the account still has the one from before, and a link for a new password carries a mark
of the password's hash. Who asks for a password link hears the same for every address, known or not.
"""

from twisted.logger import Logger

from fe_mail.accounts.links import Links
from fe_mail.accounts.notices import MailLimits, Notice, Notices
from fe_mail.accounts.users import Users
from fe_mail.accounts.validation import user_email
from fe_mail.errands import Errands
from fe_mail.model.account import User
from fe_mail.model.errors import AlreadyExists, Invalid, NotFound, RateLimited
from fe_mail.model.ids import UserId
from fe_mail.model.sentence import Sentence
from fe_mail.ports import Keyring, UserStore

__all__ = ["ADDRESS_SECONDS", "PASSWORD_SECONDS", "AddressLinks"]

ADDRESS_SECONDS = 86_400.0
PASSWORD_SECONDS = 1800.0
_USED = "This link was used already, or the account has changed since."


class AddressLinks:
    """Asks, and believes. ``url`` is the address of the web UI, ``name`` what it is called."""

    log = Logger()

    def __init__(
        self,
        accounts: UserStore,
        users: Users,
        keyring: Keyring,
        links: Links,
        notices: Notices,
        limits: MailLimits,
        errands: Errands,
        *,
        url: str,
        name: str,
    ) -> None:
        self._accounts = accounts
        self._users = users
        self._keyring = keyring
        self._links = links
        self._notices = notices
        self._limits = limits
        self._errands = errands
        self._url = url
        self._name = name

    # The address of an account

    async def ask(self, user: User) -> None:
        """Mail the link that verifies the account's address. ``RateLimited``."""
        await self._limits.take(user.email, user.id)
        token = self._links.make("address", user.id, user.email, seconds=ADDRESS_SECONDS)
        await self._notices.send(
            self._notice(
                user.email,
                user.locale,
                Sentence("Verify your address at %(name)s", name=self._name),
                Sentence(
                    "Somebody, probably you, made an account at %(name)s with this address.",
                    name=self._name,
                ),
                Sentence(
                    "To show that it is yours, open this link within a day:\n\n%(link)s",
                    link=self._link("verify", token),
                ),
                Sentence("If it was not you, do nothing: the account stays closed."),
            )
        )

    async def verify(self, token: str) -> User:
        """The account whose address is proven now. ``Invalid``."""
        user_id, email = self._links.read("address", token)
        user = await self._user(user_id)
        if user.email != email:
            raise Invalid(_USED, field="token")
        return await self._users.verify_address(user)

    async def ask_new(self, user: User, email: object) -> str:
        """
        Mail the link that gives the account a new address, to that address, which is returned.

        ``Invalid``, ``AlreadyExists``, ``RateLimited``.
        """
        address = user_email(email)
        if await self._known(address) is not None:
            raise AlreadyExists("This e-mail address is registered already.")
        await self._limits.take(address, user.id)
        token = self._links.make(
            "new-address", user.id, user.email, address, seconds=ADDRESS_SECONDS
        )
        await self._notices.send(
            self._notice(
                address,
                user.locale,
                Sentence("Your new address at %(name)s", name=self._name),
                Sentence(
                    "The account %(email)s at %(name)s is to have this address from now on.",
                    email=user.email,
                    name=self._name,
                ),
                Sentence(
                    "If you asked for it, open this link within a day:\n\n%(link)s",
                    link=self._link("my-account/change-email", token),
                ),
                Sentence("If it was not you, do nothing: the account keeps its address."),
            )
        )
        return address

    async def take_new(self, token: str) -> User:
        """The account with its new address, which is proven. ``Invalid``, ``AlreadyExists``."""
        user_id, before, email = self._links.read("new-address", token)
        user = await self._user(user_id)
        if user.email != before:
            raise Invalid(_USED, field="token")
        return await self._users.verify_address(await self._users.update(user, email=email))

    # A forgotten password

    async def ask_password(self, email: str, network: str) -> None:
        """
        Mail the link, if there is such an account, its address is proven, and no limit is reached.

        ``RateLimited`` when the visitor asks too often; nothing else tells him anything.
        """
        address = email.strip().lower()
        user = await self._known(address)
        try:
            await self._limits.take(address, network)
        except RateLimited:
            self.log.info("Too many links for a new password were asked for.")
            raise
        if user is None or user.is_banned or not user.has_verified_email:
            return
        found = user
        self._errands.later("Mailing a link for a new password", lambda: self._mail(found))

    async def _mail(self, user: User) -> None:
        mark = self._mark(user)
        token = self._links.make("password", user.id, mark, seconds=PASSWORD_SECONDS)
        await self._notices.send(
            self._notice(
                user.email,
                user.locale,
                Sentence("A new password at %(name)s", name=self._name),
                Sentence(
                    "Somebody, probably you, wants a new password for the account of this "
                    "address at %(name)s.",
                    name=self._name,
                ),
                Sentence(
                    "To choose one, open this link within half an hour:\n\n%(link)s",
                    link=self._link("reset-password", token),
                ),
                Sentence("If it was not you, do nothing: the password stays as it is."),
                Sentence("The passwords of your mailboxes are not changed by it."),
            )
        )

    async def check_password_link(self, token: str) -> User:
        """Whose password the link would change. ``Invalid``."""
        user_id, mark = self._links.read("password", token)
        user = await self._user(user_id)
        if user.is_banned or mark != self._mark(user):
            raise Invalid(_USED, field="token")
        return user

    async def set_password(self, token: str, new: str) -> User:
        """``Invalid`` for the link, or for a password that is too weak."""
        return await self._users.set_password(await self.check_password_link(token), new)

    def _mark(self, user: User) -> str:
        """Of the password that is forgotten, and the address that the link goes to."""
        text = f"{user.id}\0{user.email}\0{user.password_hash}"
        return self._keyring.mac(text.encode("utf-8", "backslashreplace"), "password link").hex()

    async def _user(self, user_id: str) -> User:
        try:
            return await self._accounts.user(UserId(user_id))
        except NotFound:
            raise Invalid(_USED, field="token") from None

    async def _known(self, email: str) -> User | None:
        try:
            return await self._accounts.user_by_email(user_email(email))
        except (Invalid, NotFound):
            return None

    def _link(self, path: str, token: str) -> str:
        return f"{self._url}/{path}/{token}"

    def _notice(self, to: str, language: str, subject: Sentence, *paragraphs: Sentence) -> Notice:
        return Notice(to=to, language=language, subject=subject, paragraphs=paragraphs)
