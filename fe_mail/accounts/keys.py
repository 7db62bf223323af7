"""
The one life of a mailbox: its key slots, its sealing key, and the epoch that guards them.

All of them are one document of the accounts (``MailboxKeys``), which is read, and set again only if
its epoch is still the one that was read. So of two that change it at once, in one process or two,
one wins, and the other knows that it lost before its user holds a password that opens nothing.

A mailbox is begun in three steps. The *claim* takes all keys away, so that mail waits in the queue
(450), and notes that the alias is unsettled. Then whatever mailbox there was is removed, and the
new one is made with the claim's epoch, which nobody else has. The last step sets the new keys, if
the claim still holds: whoever claimed later makes it fail, and removed what it had made. A crash
in between leaves an alias without a mailbox and a note, on which ``aftermath`` acts.
"""

import secrets
from collections.abc import Sequence

import attrs
from twisted.internet.interfaces import IReactorTime

from fe_mail.accounts.aftermath import Aftermath
from fe_mail.accounts.passwords import (
    CHOSEN_ITERATIONS,
    GENERATED_ITERATIONS,
    Slot,
    check_strength,
    find_slot,
    generate_password,
    generate_recovery_code,
    new_credential,
    normalize_recovery_code,
    prepare,
    run_here,
)
from fe_mail.model.account import Alias, Credential, MailboxKeys
from fe_mail.model.errors import Conflict, Invalid, MailError
from fe_mail.ports import AccountStore, Keyring, MailboxStore, Offload

__all__ = ["CLAIM_SECONDS", "GeneratedPassword", "Keys"]

MAILBOX_KEY_OCTETS = 32
CLAIM_SECONDS = 300.0  # after which nobody is still making the mailbox
ATTEMPTS = 3


@attrs.frozen(kw_only=True)
class GeneratedPassword:
    """Shown once. ``recovery_code`` is empty when the one that exists stays valid."""

    username: str
    password: str = attrs.field(repr=False)
    recovery_code: str = attrs.field(default="", repr=False)
    mailbox_kept: bool = False


@attrs.frozen(kw_only=True)
class _Chosen:
    password: str = attrs.field(repr=False)
    iterations: int


class Keys:
    """Makes passwords and mailboxes. Who may ask for them is for the caller to check."""

    def __init__(
        self,
        accounts: AccountStore,
        keyring: Keyring,
        mailboxes: MailboxStore,
        aftermath: Aftermath,
        clock: IReactorTime,
        *,
        run: Offload = run_here,
    ) -> None:
        self._accounts = accounts
        self._keyring = keyring
        self._mailboxes = mailboxes
        self._aftermath = aftermath
        self._clock = clock
        self._run = run

    async def of(self, alias: Alias, *, must_be_none: bool = False) -> MailboxKeys:
        """What there is; ``Invalid`` when there ``must_be_none`` and are."""
        keys = await self._accounts.keys(alias.id)
        if must_be_none and keys.credentials:
            raise _has_password()
        return keys

    async def open(self, keys: MailboxKeys, secret: str) -> Slot | None:
        """The slot that a password, or the recovery code, opens."""
        code = normalize_recovery_code(secret)
        if code:
            recovery = [each for each in keys.credentials if each.kind == "recovery"]
            slot = await find_slot(self._keyring, recovery, code)
            if slot is not None:
                return slot
        try:
            text = prepare(secret)
        except Invalid:
            return None
        usual = [each for each in keys.credentials if each.kind == "password"]
        return await find_slot(self._keyring, usual, text)

    async def change(
        self, alias: Alias, keys: MailboxKeys, slot: Slot, new_password: str
    ) -> GeneratedPassword:
        """
        The same mailbox under a new password; the recovery slot stays. ``Conflict``.
        """
        chosen = await self._choose(new_password, alias)
        wrapped = slot.credential.wrapped_key
        mailbox_key = self._keyring.unwrap(wrapped, slot.client_key, alias.id)
        recovery = [each for each in keys.credentials if each.kind == "recovery"]
        code = "" if recovery else generate_recovery_code()
        if code:
            recovery = [await self._recovery(alias, code, mailbox_key)]
        password = await self._credential(alias, chosen, mailbox_key)
        await self._set(keys, keys.sealing_key, (*recovery, password), self._clock.seconds())
        await self._aftermath.follow([alias.id])
        return GeneratedPassword(
            username=alias.address,
            password=chosen.password,
            recovery_code=code,
            mailbox_kept=True,
        )

    async def begin(
        self, alias: Alias, keys: MailboxKeys, new_password: str, limit_octets: int
    ) -> GeneratedPassword:
        """
        A new key and an empty mailbox; whatever was there cannot be opened any more. ``Conflict``.
        """
        chosen = await self._choose(new_password, alias)
        mailbox_key = secrets.token_bytes(MAILBOX_KEY_OCTETS)
        code = generate_recovery_code()
        credentials = (
            await self._credential(alias, chosen, mailbox_key),
            await self._recovery(alias, code, mailbox_key),
        )
        claim = await self._set(keys, b"", (), self._clock.seconds() + CLAIM_SECONDS)
        try:
            await self._mailboxes.settle(alias.id, claim.epoch)
            sealing_key = await self._mailboxes.create(
                alias.id, mailbox_key, claim.epoch, limit_octets
            )
            made = attrs.evolve(claim, sealing_key=sealing_key, credentials=credentials)
            now = self._clock.seconds()
            await self._accounts.set_keys(made, now, now)
        except Conflict:
            raise _changed() from None
        await self._aftermath.follow([alias.id])
        return GeneratedPassword(
            username=alias.address, password=chosen.password, recovery_code=code
        )

    async def _set(
        self,
        keys: MailboxKeys,
        sealing_key: bytes,
        credentials: tuple[Credential, ...],
        due_at: float,
    ) -> MailboxKeys:
        """Replace these keys, whatever their epoch is by now, by others."""
        for _ in range(ATTEMPTS):
            wanted = attrs.evolve(keys, sealing_key=sealing_key, credentials=credentials)
            try:
                return await self._accounts.set_keys(wanted, self._clock.seconds(), due_at)
            except Conflict:
                keys = await self._unchanged(keys)
        raise _changed()

    async def _unchanged(self, keys: MailboxKeys) -> MailboxKeys:
        """The same keys with the epoch of now."""
        there = await self._accounts.keys(keys.alias_id)
        if _names(there) == _names(keys) and there.sealing_key == keys.sealing_key:
            return there
        raise _changed() if keys.credentials else _has_password()

    async def _choose(self, new_password: str, alias: Alias) -> _Chosen:
        if not new_password:
            return _Chosen(password=generate_password(), iterations=GENERATED_ITERATIONS)
        words = (alias.name, alias.domain_name, alias.domain_name.partition(".")[0])
        password = await self._run(
            lambda: check_strength(new_password, words, "new_password", quotes=False)
        )
        return _Chosen(password=password, iterations=CHOSEN_ITERATIONS)

    async def _credential(self, alias: Alias, chosen: _Chosen, mailbox_key: bytes) -> Credential:
        return await new_credential(
            self._keyring,
            alias.id,
            chosen.password,
            mailbox_key,
            self._clock.seconds(),
            iterations=chosen.iterations,
        )

    async def _recovery(self, alias: Alias, code: str, mailbox_key: bytes) -> Credential:
        return await new_credential(
            self._keyring,
            alias.id,
            code,
            mailbox_key,
            self._clock.seconds(),
            iterations=GENERATED_ITERATIONS,
            kind="recovery",
        )


def _names(keys: MailboxKeys) -> Sequence[str]:
    return [credential.id for credential in keys.credentials]


def _changed() -> MailError:
    return Conflict(
        "The password of this alias was changed by somebody else at the same moment. Try again."
    )


def _has_password() -> MailError:
    return Invalid(
        "This alias has a password already. Give it to keep the mailbox, or choose to "
        "begin a new, empty one.",
        field="password",
        code="ALIAS_OVERRIDE_REQUIRED",
    )
