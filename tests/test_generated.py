"""What is generated from code is current: ``make docs`` writes it again."""

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from fe_mail.app.config import example
from fe_mail.app.reference import routes_page, variables_page

ROOT = Path(__file__).resolve().parents[1]


class GeneratedTests(SynchronousTestCase):
    """Compare files with what their generators say now."""

    def test_env_example(self) -> None:
        """``conf/env.example`` holds every variable."""
        self.assertEqual((ROOT / "conf" / "env.example").read_text("utf-8"), example())

    def test_variables_page(self) -> None:
        """``docs/variables.rst`` holds every variable."""
        self.assertEqual((ROOT / "docs" / "variables.rst").read_text("utf-8"), variables_page())

    def test_routes_page(self) -> None:
        """``docs/routes.rst`` holds every route."""
        self.assertEqual((ROOT / "docs" / "routes.rst").read_text("utf-8"), routes_page())
