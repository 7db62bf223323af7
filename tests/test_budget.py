"""Tests of fe_mail.budget: nobody gets more than there is, and all of it comes back."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from fe_mail.budget import Budget, Share


class BudgetTests(SynchronousTestCase):
    """Ten octets for all."""

    def test_shares(self) -> None:
        """All or nothing; who is refused keeps what it had."""
        budget = Budget(10)
        first, second = Share(budget), Share(budget)
        self.assertTrue(first.resize(6))
        self.assertFalse(second.resize(5))
        self.assertTrue(second.resize(4))
        self.assertFalse(second.resize(5))
        self.assertEqual((second.held, budget.used, budget.refused), (4, 10, 2))
        first.release()
        first.release()
        self.assertTrue(second.resize(10))

    @given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 12))))
    def test_any_order(self, changes: list[tuple[int, int]]) -> None:
        """What is used is the sum of the shares, and never more than the budget."""
        budget = Budget(20)
        shares = [Share(budget) for _ in range(4)]
        for number, octets in changes:
            shares[number].resize(octets)
            self.assertEqual(budget.used, sum(share.held for share in shares))
            self.assertLessEqual(budget.used, 20)
        for share in shares:
            share.release()
        self.assertEqual(budget.used, 0)
