"""Logs: one line per event, whatever a peer sends."""

import io
import json
from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.logger import LogLevel, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from fe_mail.app.log import HumanObserver, JSONObserver, escape


def event(text: str, **fields: object) -> dict[str, object]:
    """A log event as twisted.logger makes it."""
    return {
        "log_format": "{text}",
        "log_level": LogLevel.info,
        "log_namespace": "fe_mail.smtp.mx",
        "log_time": 0.0,
        "text": text,
        **fields,
    }


class LogTests(SynchronousTestCase):
    """Both forms."""

    def human(self, text: str, **fields: object) -> str:
        """The line for a person."""
        stream = io.StringIO()
        HumanObserver(stream, False)(event(text, **fields))
        return stream.getvalue()

    def test_human_line(self) -> None:
        """Level, system, text, and the ids that follow a message."""
        line = self.human("taken", session_id="s1", message_id="m1")
        self.assertIn("info  smtp.mx", line)
        self.assertTrue(line.endswith("taken [s1] [m1]\n"), line)

    def test_json_line(self) -> None:
        """One object with the event's own fields."""
        stream = io.StringIO()
        JSONObserver(stream)(event("taken", session_id="s1", size=5))
        line = json.loads(stream.getvalue())
        self.assertEqual((line["level"], line["session_id"], line["size"]), ("info", "s1", 5))

    def test_busy_moments(self) -> None:
        """Lines wait for each other; a warning waits for nothing and takes them along."""
        stream, calls = io.StringIO(), list[Callable[[], None]]()
        observer = JSONObserver(stream, calls.append)
        for text in ("one", "two"):
            observer(event(text))
        self.assertEqual((stream.getvalue(), len(calls)), ("", 1))
        calls.pop()()
        self.assertEqual(stream.getvalue().count("\n"), 2)
        observer(event("three"))
        observer({**event("four"), "log_level": LogLevel.warn})
        texts = [json.loads(line)["text"] for line in stream.getvalue().splitlines()]
        self.assertEqual(texts, ["one", "two", "three", "four"])

    def test_forged_lines_and_terminal_escapes(self) -> None:
        """Control and bidirectional characters do not get through."""
        line = self.human("a\r\nb\x1b[2Jc\u202ed", session_id="\n")
        self.assertEqual(line.count("\n"), 1)
        self.assertNotIn("\x1b", line)
        self.assertNotIn("\u202e", line)

    @given(st.text())
    @settings(max_examples=100, deadline=None)
    def test_one_event_is_one_line(self, text: str) -> None:
        """Any text, in both forms."""
        self.assertEqual(self.human(text).count("\n"), 1)
        stream = io.StringIO()
        JSONObserver(stream)(event(text))
        self.assertEqual(stream.getvalue().count("\n"), 1)
        self.assertEqual(len(escape(text).splitlines()) <= 1, True)


class TextTests(SynchronousTestCase):
    """The quick way to a sentence says what Twisted's own formatter says."""

    def text(self, template: str, **fields: object) -> str:
        """As it stands in the log."""
        stream = io.StringIO()
        JSONObserver(stream)({"log_format": template, "log_time": 0.0, **fields})
        return str(json.loads(stream.getvalue())["text"])

    def test_same(self) -> None:
        """Plain names, formats, attributes, calls, escaped braces, and names that are missing."""
        for template in (
            "{name} took {size}",
            "{size:>5} {name!r}",
            "{name.real}",
            "{ask()} and {name}",
            "100 % {{of}} {name}",
            "{missing}",
            "{",
            "",
        ):
            fields = {"name": "a", "size": 5, "ask": lambda: "asked"}
            expected = formatEvent({"log_format": template, "log_time": 0.0, **fields})
            self.assertEqual(self.text(template, **fields), expected, template)
