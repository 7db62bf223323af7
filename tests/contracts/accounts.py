"""The contracts of the accounts, for a store that offers all of them."""

from fe_mail.model.ids import AliasId
from tests.contracts.account_case import credential, domain
from tests.contracts.aliases import AliasesContract
from tests.contracts.domains import DomainsContract
from tests.contracts.keys import KeysContract
from tests.contracts.lists import ListsContract
from tests.contracts.sessions import SessionsContract
from tests.contracts.settings import SettingsContract
from tests.contracts.users import UsersContract
from tests.fakes import give_keys

__all__ = ["AccountsContract"]


class AccountsContract(
    UsersContract,
    DomainsContract,
    AliasesContract,
    KeysContract,
    ListsContract,
    SessionsContract,
    SettingsContract,
):
    """All of them, and what is true between them."""

    def test_check(self) -> None:
        """A store in order says nothing; broken invariants are named."""
        self.fill()
        self.assertEqual(self.get(self.accounts.check()), ())
        self.get(self.accounts.add_domain(domain("d2", members=())))
        alice = AliasId("id-alice")
        self.get(give_keys(self.accounts, alice, [credential()], b""))
        self.assertEqual(
            self.get(self.accounts.check()),
            ("Domain d2 has no admin.", "Alias id-alice has credentials but no mailbox."),
        )
