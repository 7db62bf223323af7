"""The key of a domain's webhooks."""

import re

from fe_mail.accounts.webhook_keys import WebhookKeys
from fe_mail.model.account import Member
from tests.web.pages import WebTestCase


class WebhookKeyTests(WebTestCase):
    """Somebody with a domain."""

    def setUp(self) -> None:
        """Sign up and add it."""
        super().setUp()
        self.browser.sign_up()
        self.path = self.browser.add_domain()
        self.domain = self.now(self.accounts.domains_named("example.org"))[0]

    def key(self) -> str:
        """The one that signs."""
        keys = WebhookKeys(self.accounts, self.keyring, self.clock)
        return self.now(keys.key(self.domain.id))

    def test_seen_and_replaced(self) -> None:
        """The set-up page leads to the key; a new one takes its place."""
        self.assert_says(self.browser.get(self.path), "Key of the webhooks")
        page = self.browser.get(f"{self.path}/webhook-key")
        old = self.key()
        self.assert_says(page, old, "X-Webhook-Signature")
        action = f"{self.path}/advanced-settings/reset-domain-webhook-key"
        answer = self.browser.submit(action, _method="DELETE", confirm="true")
        again = self.browser.follow(answer)
        self.assert_says(again, "The key of the webhooks was changed.", self.key())
        self.assertNotIn(old, again.text)

    def test_admins_only(self) -> None:
        """A member who is no admin, and a stranger, learn nothing and change nothing."""
        old = self.key()
        other = self.new_browser()
        other.sign_up("lee@example.com")
        action = f"{self.path}/advanced-settings/reset-domain-webhook-key"
        self.assertEqual(404, other.get(f"{self.path}/webhook-key").status)
        lee = self.now(self.accounts.user_by_email("lee@example.com"))
        self.now(self.accounts.set_member(self.domain.id, Member(user_id=lee.id, group="user")))
        page = other.get(f"{self.path}/webhook-key")
        self.assertEqual(403, page.status)
        self.assertIsNone(re.search("[0-9a-f]{64}", page.text))
        self.assertEqual(403, other.submit(action, _method="DELETE", confirm="true").status)
        self.assertNotIn("Key of the webhooks", other.get(self.path).text)
        self.assertEqual(old, self.key())
