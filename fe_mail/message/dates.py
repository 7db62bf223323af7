"""
Date and time in headers.

Reading is tolerant (obsolete zones, two-digit years, missing seconds, asctime); it answers None
for what is no date. Writing is always in UTC.

RFC 5322 §3.3, §4.3; RFC 3339 §5.6.
"""

import calendar
import datetime
import re
import time

import attrs

__all__ = ["HeaderDate", "format_date", "format_iso_date", "parse_date"]

# No date is longer, comments included.
MAX_DATE_OCTETS = 256

_MONTH_NAMES = (
    *("Jan", "Feb", "Mar", "Apr", "May", "Jun"),
    *("Jul", "Aug", "Sep", "Oct", "Nov", "Dec"),
)
_MONTHS = {name.lower(): number for number, name in enumerate(_MONTH_NAMES, 1)}
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_ZONES = {"est": -5, "edt": -4, "cst": -6, "cdt": -5, "mst": -7, "mdt": -6, "pst": -8, "pdt": -7}
_TIME = r"(?P<hour>\d{1,2})[:.](?P<minute>\d{2})(?:[:.](?P<second>\d{2}))?"
_RFC = re.compile(
    r"\s*(?:[A-Za-z]{2,10}\s*[,.]?)?\s*(?P<day>\d{1,2})[\s\-]+(?P<month>[A-Za-z]{3,9})[.,]?"
    r"[\s\-]+(?P<year>\d{2,4}),?\s+" + _TIME + r"\s*(?P<zone>[+\-]\d{4}|[A-Za-z]{1,5})?"
)
_ASCTIME = re.compile(
    r"\s*[A-Za-z]{3,9},?\s+(?P<month>[A-Za-z]{3,9})\s+(?P<day>\d{1,2}),?\s+"
    + _TIME
    + r"\s+(?P<zone>[+\-]\d{4}|[A-Za-z]{1,5})?\s*(?P<year>\d{4})"
)
_COMMENT = re.compile(r"\([^()]*\)")


@attrs.frozen
class HeaderDate:
    """``seconds`` since the epoch; ``day`` the ordinal of the date as written, in its zone."""

    seconds: float
    day: int


def parse_date(value: bytes) -> HeaderDate | None:
    """A Date field's value, None if it is none."""
    text = _COMMENT.sub(" ", value[:MAX_DATE_OCTETS].decode("ascii", "replace"))
    match = _RFC.match(text) or _ASCTIME.match(text)
    month = _MONTHS.get(match["month"][:3].lower()) if match else None
    if not match or month is None:
        return None
    year = int(match["year"])
    if len(match["year"]) < 4:
        year += 2000 if year < 50 else 1900
    hour, minute, second = int(match["hour"]), int(match["minute"]), int(match["second"] or 0)
    try:
        day = datetime.date(year, month, int(match["day"]))
    except ValueError:
        return None
    if hour > 23 or minute > 59 or second > 60:
        return None
    local = calendar.timegm((year, month, day.day, hour, minute, second, 0, 0, 0))
    return HeaderDate(float(local - _offset_seconds(match["zone"] or "")), day.toordinal())


def _offset_seconds(zone: str) -> int:
    if zone[:1] in ("+", "-"):
        seconds = int(zone[1:3]) * 3600 + int(zone[3:5]) * 60
        return -seconds if zone[0] == "-" else seconds
    return _ZONES.get(zone.lower(), 0) * 3600


def format_date(seconds: float) -> str:
    """``Mon, 23 Nov 2026 15:20:00 +0000``."""
    moment = time.gmtime(seconds)
    month = _MONTH_NAMES[moment.tm_mon - 1]
    return (
        f"{_DAYS[moment.tm_wday]}, {moment.tm_mday:02d} {month} {moment.tm_year:04d} "
        f"{moment.tm_hour:02d}:{moment.tm_min:02d}:{moment.tm_sec:02d} +0000"
    )


def format_iso_date(seconds: float) -> str:
    """``2026-11-23T15:20:00.000Z``, as JavaScript writes it."""
    epoch = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
    moment = epoch + datetime.timedelta(milliseconds=int(seconds * 1000))
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
