"""The style sheet: contrast of every pair of colors, in light and dark; no foreign address."""

import re
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import fe_mail.web
from fe_mail.web.rendering import octets, static_files

AA_TEXT = 4.5
AA_EDGE = 3.0

_TEXT_ON_GROUND = (
    *((text, ground) for text in ("text", "muted", "accent") for ground in ("ground", "surface")),
    ("text", "raised"),
    ("muted", "raised"),
    ("on-accent", "accent"),
    ("on-accent", "accent-strong"),
    *((text, "accent-soft") for text in ("text", "muted", "accent")),  # badges, the row of a link
    ("accent", "raised"),
    *((name, f"{name}-soft") for name in ("good", "warn", "bad")),
    *((name, "surface") for name in ("good", "bad")),
    ("bad", "ground"),
)


def _luminance(color: str) -> float:
    """Relative luminance (WCAG 2.2)."""
    channels = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(one: str, other: str) -> float:
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


class StyleTests(SynchronousTestCase):
    """The one style sheet."""

    def setUp(self) -> None:
        """Read it."""
        self.style = static_files()["style.css"].decode("utf-8")

    def palettes(self) -> list[dict[str, str]]:
        """The colors of light and dark."""
        blocks = re.findall(r":root \{(.*?)\}", self.style, re.DOTALL)
        found = [dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", block)) for block in blocks]
        self.assertEqual(2, len(found))
        return found

    def test_contrast(self) -> None:
        """WCAG AA: 4.5 for text, 3 for the edges of fields."""
        for palette in self.palettes():
            for front, back in _TEXT_ON_GROUND:
                contrast = _contrast(palette[front], palette[back])
                self.assertGreaterEqual(contrast, AA_TEXT, (front, back))
            for back in ("surface", "ground"):
                self.assertGreaterEqual(_contrast(palette["edge"], palette[back]), AA_EDGE, back)

    def test_preferences(self) -> None:
        """Dark, reduced motion, visible focus, forced colors."""
        for part in (
            "prefers-color-scheme: dark",
            "prefers-reduced-motion",
            ":focus-visible",
            "forced-colors",
        ):
            self.assertIn(part, self.style)

    def test_all_ours(self) -> None:
        """Nothing is fetched from elsewhere, and no page has inline script or style."""
        for name, content in static_files().items():
            text = content.decode("utf-8").replace("http://www.w3.org/2000/svg", "")
            self.assertNotRegex(text, r"https?://|@import|url\(", name)
        templates = Path(fe_mail.web.__file__).parent / "templates"
        for path in templates.rglob("*.html"):
            text = path.read_text("utf-8")
            self.assertNotRegex(text, r"<style|\sstyle=|\son\w+=|javascript:|https?://", path.name)
            self.assertNotRegex(text, r"\|\s*safe", path.name)
            for script in re.findall(r"<script[^>]*>", text):
                self.assertIn("src=", script)

    def test_octets(self) -> None:
        """Sizes for people."""
        for size, shown in ((0, "0 B"), (1536, "1.5 kB"), (10 * 1024**3, "10 GB")):
            self.assertEqual(shown, octets(size))
        self.assertEqual("2048.0 TB", octets(2 * 1024**5))
