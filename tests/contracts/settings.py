"""What every ``SettingStore`` does."""

from tests.contracts.account_case import AccountCase

__all__ = ["SettingsContract"]


class SettingsContract(AccountCase):
    """Settings of the server."""

    def test_settings(self) -> None:
        """Empty, decided, decided anew, taken back; one says nothing of another."""
        self.assertEqual(self.get(self.accounts.setting("a")), "")
        self.get(self.accounts.set_setting("a", "one"))
        self.get(self.accounts.set_setting("b", "\u00e6"))
        self.get(self.accounts.set_setting("a", "two"))
        self.assertEqual(self.get(self.accounts.setting("a")), "two")
        self.get(self.accounts.set_setting("a", ""))
        self.get(self.accounts.set_setting("none", ""))
        self.assertEqual(self.get(self.accounts.setting("a")), "")
        self.assertEqual(self.get(self.accounts.setting("b")), "\u00e6")
