"""Room `cli`: points in time as a person writes and reads them. Touches nothing; the time now is given."""

from __future__ import annotations

import datetime as dt
import re
from typing import Final

from completion_schemas.errors import CompletionError, InvalidEventError
from completion_schemas.times import UnixNanos, rfc3339_nanos

SECOND: Final = 10**9

_UNITS: Final = {"s": SECOND, "m": 60 * SECOND, "h": 3_600 * SECOND, "d": 86_400 * SECOND}
_AGO = re.compile(r"-?(\d{1,9})([smhd])(?: ago)?")
_LENGTH = re.compile(r"(\d{1,9})([smhd])")
_AHEAD = re.compile(r"in (\d{1,9})([smhd])")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_SHOWN = re.compile(r"(\d{4}-\d{2}-\d{2}) (?=\d)")
"""As `show_time` writes it: RFC 3339 (5.6) allows a space for the T, to be read by people."""

_LATEST: Final = 2**63 - 1
"""The year 2262: events hold 64-bit nanoseconds."""


class TimeError(CompletionError):
    """A time that is written in no way this program reads, or that cannot be meant."""


def parse_time(option: str, text: str, now: UnixNanos) -> UnixNanos:
    """Return a point in time.

    Args:
        option: Which option it was given for, for the error's text.
        text: `2026-01-31T12:00:00Z` (RFC 3339; with a space for the T too, as times are shown),
            `2026-01-31` (midnight UTC), `now`, or so long ago: `90s`, `15m`, `-1h`, `2d`, `2d ago`.
        now: The present.

    Raises:
        TimeError: it is none of these.
    """
    text = text.strip()
    if text == "now":
        return now
    if ago := _AGO.fullmatch(text):
        # Nothing was decided before the epoch, however long ago is asked for.
        return UnixNanos(max(0, now - int(ago[1]) * _UNITS[ago[2]]))
    return _absolute(option, text, "2026-01-31, now, or how long ago: 90s, 15m, 1h, 2d")


def parse_deadline(option: str, text: str, now: UnixNanos) -> UnixNanos:
    """Return a point in time that is still to come.

    Args:
        option: Which option it was given for, for the error's text.
        text: `2026-01-31T12:00:00Z` (RFC 3339; with a space for the T too, as times are shown),
            `2026-01-31` (midnight UTC), or so long from now: `in 90s`, `in 15m`, `in 1h`, `in 2d`.
        now: The present.

    Raises:
        TimeError: it is none of these, or past.
    """
    text = text.strip()
    if ahead := _AHEAD.fullmatch(text):
        when = UnixNanos(now + int(ahead[1]) * _UNITS[ahead[2]])
    else:
        when = _absolute(option, text, "2026-01-31, or how far ahead: in 90s, in 15m, in 1h, in 2d")
    if when <= now:
        raise TimeError(f"{option} {text!r} is in the past: give a time still to come, or in 1h")
    if when > _LATEST:
        raise TimeError(f"{option} {text!r} is too far ahead: give a time before the year 2262")
    return when


def parse_duration(option: str, text: str) -> int:
    """Return a length of time, nanoseconds.

    Args:
        option: Which option it was given for, for the error's text.
        text: `90s`, `15m`, `1h`, `2d`.

    Raises:
        TimeError: it is none of these.
    """
    if length := _LENGTH.fullmatch(text.strip()):
        return int(length[1]) * _UNITS[length[2]]
    raise TimeError(f"{option} {text!r} is not a length of time: write 90s, 15m, 1h or 2d")


def _absolute(option: str, text: str, others: str) -> UnixNanos:
    written = f"{text}T00:00:00Z" if _DATE.fullmatch(text) else _SHOWN.sub(r"\1T", text)
    try:
        return rfc3339_nanos(option, written)
    except InvalidEventError:
        raise TimeError(
            f"{option} {text!r} is not a time: write 2026-01-31T12:00:00Z, {others}"
        ) from None


def show_time(when: int) -> str:
    """Return nanoseconds since the epoch as `2026-01-31 12:00:00.123Z`, empty for 0."""
    if not when:
        return ""
    seconds, rest = divmod(when, SECOND)
    stamp = dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(seconds=seconds)
    return f"{stamp:%Y-%m-%d %H:%M:%S}.{rest // 10**6:03}Z"


def show_duration(nanos: int) -> str:
    """Return a length of time with the two digits that matter: `12 ms`, `3.2 s`, `5 m 10 s`, `2 d 3 h`."""
    if nanos < 0:
        return f"-{show_duration(-nanos)}"
    if nanos < SECOND:
        return f"{nanos / 10**6:.0f} ms"
    if nanos < 60 * SECOND:
        return f"{nanos / SECOND:.1f} s"
    seconds = nanos // SECOND
    days, hours, minutes = seconds // 86_400, seconds // 3_600 % 24, seconds // 60 % 60
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} m"
    return f"{minutes} m {seconds % 60} s"
