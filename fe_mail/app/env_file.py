"""
The syntax of ``.env``: one NAME=value per line, as shells and containers read it.

A file that an editor saved with a byte order mark or with other line ends says the same. What is no
text in UTF-8, or cannot be read, is told with its path and line; nothing is guessed from it.
"""

import re
from pathlib import Path

__all__ = ["read_env", "read_env_file"]

_LINE = re.compile(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*?)\s*\Z", re.DOTALL)
_QUOTED = re.compile(r"""(['"])(.*?)\1(?:\s+#.*)?\Z""", re.DOTALL)
_ENDS = re.compile(rb"\r\n|\n|\r")
_MARK = b"\xef\xbb\xbf"
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")

Assignments = tuple[dict[str, str], list[str]]


def read_env_file(path: Path) -> Assignments:
    """The assignments of a file, which need not exist, and a sentence for whatever is wrong."""
    try:
        octets = path.read_bytes()
    except FileNotFoundError:
        return {}, []
    except OSError as error:
        return {}, [f"{path} cannot be read: {error.strerror}."]
    return read_env(octets, str(path))


def read_env(octets: bytes, name: str = ".env") -> Assignments:
    """The assignments, and a sentence for every line that is none."""
    if octets.startswith(_UTF16_MARKS):
        return {}, [f"{name} is written in UTF-16: save it as UTF-8."]
    values: dict[str, str] = {}
    problems = []
    for number, raw in enumerate(_ENDS.split(octets.removeprefix(_MARK)), 1):
        try:
            line = raw.decode("utf-8")
        except UnicodeDecodeError:
            problems.append(f"Line {number} of {name} is not text in UTF-8.")
            continue
        if "\0" in line:
            problems.append(f"Line {number} of {name} holds NUL octets, as after a crash.")
            continue
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _LINE.match(line)
        if not match:
            problems.append(f"Line {number} of {name} is not of the form NAME=value.")
            continue
        values[match[1]] = _unquote(match[2])
    return values, problems


def _unquote(value: str) -> str:
    quoted = _QUOTED.match(value)
    if quoted:
        return quoted[2]
    return re.sub(r"\s+#.*\Z", "", value)
