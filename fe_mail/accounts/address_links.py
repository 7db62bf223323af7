"""
Mails that prove who reads the address of a web account, and those for a forgotten password.

What a link does it does once, in one step with the check that the account is as it was: verifying
an address twice changes nothing, a new address is only taken while the account still has the one
from before, and a link carries a mark of the password, so another password ends all that are open.

Anybody may make an account with another's address. So a link that verifies an address works only
for whoever is signed in to the account: its reader alone would prove the address for a stranger who
knows the password. And the reader gets such an account by asking for a new password, which is
mailed whether the address is proven or not, proves it, and ends what the stranger has. (Sudhodanan
and Paverd, "Pre-hijacked accounts", USENIX Security 2022.)

Who asks for a password link hears the same for every address, known or not.
"""

from twisted.logger import Logger

from fe_mail.accounts.links import Links
from fe_mail.accounts.notices import ADDRESSES, PASSWORDS, MailLimits, Notice, Notices
from fe_mail.accounts.users import Users
from fe_mail.accounts.validation import user_email
from fe_mail.errands import Errands
from fe_mail.model.account import User
from fe_mail.model.address import display_address
from fe_mail.model.errors import AlreadyExists, Conflict, Invalid, MailError, NotFound
from fe_mail.model.ids import UserId
from fe_mail.model.sentence import Sentence
from fe_mail.ports import Keyring, UserStore

__all__ = ["ADDRESS_SECONDS", "PASSWORD_SECONDS", "AddressLinks"]

ADDRESS_SECONDS = 86_400.0
PASSWORD_SECONDS = float(PASSWORDS.window)
MARK_OCTETS = 16


class AddressLinks:
    """
    Asks, and believes. ``url`` is the address of the web UI, ``name`` what it is called.

    A mail is in the language that its reader has chosen, else in the ``language`` of whoever asks.
    """

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

    async def ask(self, user: User, language: str = "") -> None:
        """Mail the link that verifies the account's address. ``RateLimited``."""
        await self._limits.take(ADDRESSES, user.email, user.id)
        token = self._links.make("address", user.id, self._mark(user), seconds=ADDRESS_SECONDS)
        await self._send(
            user.email,
            user.locale or language,
            Sentence("Verify your address at %(name)s", name=self._name),
            Sentence(
                "Somebody, probably you, made an account at %(name)s with this address.",
                name=self._name,
            ),
            Sentence(
                "To show that it is yours, open this link within a day, and sign in if you are "
                "asked to:\n\n%(link)s",
                link=self._link("verify", token),
            ),
            Sentence("If it was not you, do nothing: the account stays closed."),
        )

    async def check_verify(self, user: User, token: str) -> None:
        """Would it verify the address of ``user``, who is signed in? ``Invalid``."""
        user_id, mark = self._links.read("address", token)
        self._require_same(user, user_id, mark)

    async def verify(self, user: User, token: str) -> User:
        """The account whose address is proven now. ``Invalid``."""
        await self.check_verify(user, token)
        try:
            return await self._users.verify_address(user)
        except (Conflict, NotFound):
            raise _used() from None

    async def ask_new(self, user: User, email: object, language: str = "") -> str:
        """
        Mail the link that gives the account a new address, to that address, which is returned.

        ``Invalid``, ``AlreadyExists``, ``RateLimited``.
        """
        address = user_email(email)
        await self._limits.take(ADDRESSES, address, user.id)  # of questions who is known here, too
        if await self._known(address) is not None:
            raise AlreadyExists("This e-mail address is registered already.")
        token = self._links.make(
            "new-address", user.id, self._mark(user), address, seconds=ADDRESS_SECONDS
        )
        await self._send(
            address,
            user.locale or language,
            Sentence("Your new address at %(name)s", name=self._name),
            Sentence(
                "The account %(email)s at %(name)s is to have this address from now on.",
                email=display_address(user.email),
                name=self._name,
            ),
            Sentence(
                "If you asked for it, open this link within a day, and sign in if you are asked "
                "to:\n\n%(link)s",
                link=self._link("my-account/change-email", token),
            ),
            Sentence("If it was not you, do nothing: the account keeps its address."),
        )
        return address

    async def check_new(self, user: User, token: str) -> str:
        """The address that ``user``, who is signed in, would have. ``Invalid``."""
        user_id, mark, email = self._links.read("new-address", token)
        self._require_same(user, user_id, mark)
        return email

    async def take_new(self, user: User, token: str, password: str, language: str = "") -> User:
        """
        The account with its new address, which is proven.

        Whoever took over a browser must not take the account: the password is asked for, and the
        old address is told. ``Invalid``, ``AuthenticationFailed``, ``RateLimited``,
        ``AlreadyExists``.
        """
        email = await self.check_new(user, token)
        await self._users.confirm(user, password)
        try:
            changed = await self._users.take_address(user, email)
        except (Conflict, NotFound):
            raise _used() from None
        self._errands.later(
            "Telling an address that it was replaced",
            lambda: self._tell_old(user, changed, language),
        )
        return changed

    async def _tell_old(self, before: User, after: User, language: str) -> None:
        await self._send(
            before.email,
            after.locale or language,
            Sentence("Your account at %(name)s has another address", name=self._name),
            Sentence(
                "The account %(old)s at %(name)s has the address %(new)s now. That is its name "
                "at the sign-in, and mail about the account goes there.",
                old=display_address(before.email),
                name=self._name,
                new=display_address(after.email),
            ),
            Sentence("If it was not you, tell whoever runs %(name)s at once.", name=self._name),
        )

    def _require_same(self, user: User, user_id: str, mark: str) -> None:
        if user.id != user_id:
            raise Invalid(
                "This link is for another account. Sign out, and sign in to that one.",
                field="token",
            )
        if mark != self._mark(user):
            raise _used()

    # A forgotten password

    async def ask_password(self, email: str, network: str, language: str = "") -> None:
        """
        Mail the link, if there is such an account and no limit is reached.

        ``RateLimited`` when too many were asked for, by this visitor or to this address; nothing
        tells him more.
        """
        await self._limits.take(PASSWORDS, email, network)
        user = await self._known(email)
        if user is None or user.is_banned:
            return
        found = user
        self._errands.later(
            "Mailing a link for a new password", lambda: self._mail(found, language)
        )

    async def _mail(self, user: User, language: str) -> None:
        if not user.has_verified_email:  # of somebody who may never have heard of us
            await self._limits.take(ADDRESSES, user.email, user.id)
        token = self._links.make("password", user.id, self._mark(user), seconds=PASSWORD_SECONDS)
        await self._send(
            user.email,
            user.locale or language,
            Sentence("A new password at %(name)s", name=self._name),
            Sentence(
                "Somebody, probably you, wants a new password for the account of this "
                "address at %(name)s.",
                name=self._name,
            ),
            Sentence(
                "To choose one, open this link within an hour:\n\n%(link)s",
                link=self._link("reset-password", token),
            ),
            Sentence("If it was not you, do nothing: the password stays as it is."),
            Sentence("The passwords of your mailboxes are not changed by it."),
        )

    async def check_password_link(self, token: str) -> User:
        """Whose password the link would change. ``Invalid``."""
        user_id, mark = self._links.read("password", token)
        try:
            user = await self._accounts.user(UserId(user_id))
        except NotFound:
            raise _used() from None
        if user.is_banned or mark != self._mark(user):
            raise _used()
        return user

    async def set_password(self, token: str, new: str) -> User:
        """``Invalid`` for the link, or for a password that is too weak."""
        user = await self.check_password_link(token)
        try:
            return await self._users.recover(user, new)
        except (Conflict, NotFound):
            raise _used() from None

    def _mark(self, user: User) -> str:
        """Of the password and the address that the account has; so a link ends with either."""
        text = f"{user.id}\0{user.email}\0{user.password_hash}".encode("utf-8", "backslashreplace")
        return self._keyring.mac(text, "account links")[:MARK_OCTETS].hex()

    async def _known(self, email: str) -> User | None:
        try:
            return await self._accounts.user_by_email(user_email(email))
        except (Invalid, NotFound):
            return None

    def _link(self, path: str, token: str) -> str:
        return f"{self._url}/{path}/{token}"

    async def _send(self, to: str, language: str, subject: Sentence, *text: Sentence) -> None:
        await self._notices.send(Notice(to=to, language=language, subject=subject, paragraphs=text))


def _used() -> MailError:
    return Invalid("This link was used already, or the account has changed since.", field="token")
