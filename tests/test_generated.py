"""What is generated from code is current: ``make docs`` writes it again."""

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from fe_mail.app.reference import generated

ROOT = Path(__file__).resolve().parents[1]


class GeneratedTests(SynchronousTestCase):
    """Compare files with what their generators say now."""

    def test_current(self) -> None:
        """Variables, plugins and socket units are what code says; none is left over."""
        for name, text in generated().items():
            self.assertEqual((ROOT / name).read_text("utf-8"), text, name)
        units = {str(path.relative_to(ROOT)) for path in (ROOT / "conf").rglob("*.socket")}
        self.assertLessEqual(units, set(generated()))
