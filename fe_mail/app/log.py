"""
Logs: one line for a person on a terminal, one JSON object per line otherwise.

Fields of events are kept, so that ``session_id`` and ``message_id`` follow a message from its
connection to the mailbox or the remote host. Control and bidirectional characters are escaped:
what a peer sends can neither forge a line nor steer a terminal.
"""

import atexit
import contextlib
import json
import re
import signal
import sys
import time
import unicodedata
from collections.abc import Callable
from typing import Any, TextIO

from twisted.logger import (
    FilteringLogObserver,
    ILogObserver,
    LogEvent,
    LogLevel,
    LogLevelFilterPredicate,
    formatEvent,
)
from twisted.python.failure import Failure
from twisted.python.logfile import LogFile
from zope.interface import implementer

__all__ = ["HumanObserver", "JSONObserver", "escape", "make_observer"]

FLUSH_SECONDS = 0.1  # what a killed process can lose of its log
LOG_MODE = 0o640  # addresses stand in it
# Field names that identify a message or a session, shown at the end of a human line.
TRACE_FIELDS = ("session_id", "message_id")
_COLORS = {LogLevel.warn: "33", LogLevel.error: "31", LogLevel.critical: "31;1"}
_CLASS = re.compile(r"\.[A-Z]\w*\Z")  # the module says enough
_COSTLY = re.compile(r"\{[^}]*[(.\[!:]")  # in a template: calls, attributes, formats
_PLAIN = re.compile(r"[\x20-\x7e]*\Z")
# The transport says these for every connection; our own protocols say it better.
_NOISY = (
    "twisted.web",
    "twisted.mail",
    "twisted.internet",
    "twisted.protocols",
    "twisted.scripts",
    "log_legacy",
)


def escape(text: str) -> str:
    """Replace control, format (bidi) and surrogate characters by ``\\xNN``-like escapes."""
    if _PLAIN.match(text):
        return text
    return "".join(
        c if unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Zl", "Zp") else _escaped(c)
        for c in text
    )


def _escaped(character: str) -> str:
    return character.encode("unicode_escape", "backslashreplace").decode("ascii")


def _text(event: LogEvent) -> str:
    """
    The sentence of an event. Templates of plain names, as nearly all of ours are, are formatted by
    the interpreter itself: Twisted's formatter takes twenty times as long, for each message.
    """
    template = event.get("log_format")
    if isinstance(template, str) and not _COSTLY.search(template):
        with contextlib.suppress(Exception):  # Twisted's says what was wrong
            return template.format_map(event)
    return formatEvent(event)


def _trace(event: LogEvent) -> str:
    failure = event.get("log_failure")
    return failure.getTraceback() if isinstance(failure, Failure) else ""


def _system(event: LogEvent) -> str:
    return str(event.get("log_namespace") or event.get("log_system") or "-")


@implementer(ILogObserver)
class HumanObserver:
    """``12:30:01 warn  fe_mail.smtp  text  [id]``"""

    def __init__(self, stream: TextIO, color: bool) -> None:
        self._stream = stream
        self._color = color

    def __call__(self, event: LogEvent) -> None:
        """Write one event."""
        level = event.get("log_level", LogLevel.info)
        stamp = time.strftime("%H:%M:%S", time.localtime(event.get("log_time", 0)))
        trace = "".join(f" [{event[name]}]" for name in TRACE_FIELDS if event.get(name))
        system = _CLASS.sub("", _system(event).removeprefix("fe_mail."))
        text = escape(_text(event).strip())
        line = f"{stamp} {level.name:<5} {system:<16} {text}{escape(trace)}"
        if self._color and level in _COLORS:
            line = f"\x1b[{_COLORS[level]}m{line}\x1b[0m"
        failure = _trace(event)
        if failure:
            shown = "\n".join("    " + escape(part) for part in failure.splitlines())
            line = f"{line}\n{shown}"
        self._stream.write(line + "\n")
        self._stream.flush()


@implementer(ILogObserver)
class JSONObserver:
    """
    One JSON object per line: time, level, system, text, and the event's own fields.

    ``later`` calls a function in a while: lines of a busy moment are written together then, as
    a write for each costs more than all else about them. A warning and worse is written at once.
    """

    def __init__(
        self, stream: Any, later: Callable[[Callable[[], None]], object] | None = None
    ) -> None:
        self._stream = stream
        self._later = later
        self._lines: list[str] = []

    def __call__(self, event: LogEvent) -> None:
        """Write one event."""
        line: dict[str, object] = {
            "time": round(event.get("log_time", 0.0), 6),
            "level": event.get("log_level", LogLevel.info).name,
            "system": _system(event),
            "text": _text(event),
        }
        for name, value in event.items():
            if not name.startswith("log_") and name not in ("isError", "message", "time", "system"):
                plain = isinstance(value, str | int | float | bool) or value is None
                line[name] = value if plain else str(value)
        failure = _trace(event)
        if failure:
            line["traceback"] = failure
        self._lines.append(json.dumps(line) + "\n")
        if self._later is None or event.get("log_level", LogLevel.info) >= LogLevel.warn:
            self.flush()
        elif len(self._lines) == 1:
            self._later(self.flush)

    def flush(self) -> None:
        """Write what waits."""
        lines, self._lines = self._lines, []
        if lines:
            self._stream.write("".join(lines))
            self._stream.flush()


def _open_log(path: str) -> LogFile:
    """A file for its owner's eyes. SIGUSR1 begins a new one, as with twistd's own log."""
    file: LogFile = LogFile.fromFullPath(path, rotateLength=None, defaultMode=LOG_MODE)

    def rotate(*_: object) -> None:
        from twisted.internet import reactor

        reactor.callFromThread(file.rotate)  # type: ignore[attr-defined]  # a module

    signal.signal(signal.SIGUSR1, rotate)
    return file


def _json_observer(stream: Any) -> JSONObserver:
    from twisted.internet import reactor

    def later(write: Callable[[], None]) -> None:
        if not reactor.running:
            write()
        else:
            # Lines may come from threads.
            reactor.callFromThread(  # type: ignore[attr-defined]  # a module
                reactor.callLater, FLUSH_SECONDS, write
            )

    observer = JSONObserver(stream, later)
    reactor.addSystemEventTrigger("after", "shutdown", observer.flush)
    atexit.register(observer.flush)
    return observer


def make_observer(
    level: str, form: str, logfile: str | None, daemon: bool
) -> Callable[[LogEvent], None]:
    """
    The observer for twistd: ``logfile`` is its ``--logfile`` ("-" and None mean standard output).
    """
    stream: Any
    if logfile in (None, "-") and not daemon:
        stream, terminal = sys.stdout, sys.stdout.isatty()
    else:
        path = logfile if logfile not in (None, "-") else "fe-mail.log"
        stream, terminal = _open_log(str(path)), False
    human = form == "human" or (form == "auto" and terminal)
    observer = HumanObserver(stream, terminal) if human else _json_observer(stream)
    predicate = LogLevelFilterPredicate(LogLevel.levelWithName(level))
    for namespace in _NOISY:
        predicate.setLogLevelForNamespace(namespace, LogLevel.warn)
    return FilteringLogObserver(observer, [predicate])
