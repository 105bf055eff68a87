"""Room `events`: times as the contract has them, whole nanoseconds, never a float. Touches nothing."""

from __future__ import annotations

import datetime as dt
import re
from typing import NewType

from completion_schemas.errors import InvalidEventError

UnixNanos = NewType("UnixNanos", int)
"""Nanoseconds since 1970-01-01T00:00:00Z, within a signed 64-bit integer (years 1678 to 2262)."""

INT64 = range(-(2**63), 2**63)

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_SECOND = 10**9
# protobuf's Timestamp.FromJsonString takes ten times as long (strptime), and
# every event that carries a deadline is read twice on its way.
_RFC3339 = re.compile(
    r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)", re.ASCII
)


def unix_nanos(when: dt.datetime) -> UnixNanos:
    """Return an aware datetime as nanoseconds since the epoch, exactly (no float in between)."""
    since = when - _EPOCH
    return UnixNanos((since.days * 86_400 + since.seconds) * _SECOND + since.microseconds * 1_000)


def rfc3339_nanos(name: str, text: str) -> UnixNanos:
    """Return an RFC 3339 time as nanoseconds.

    Raises:
        InvalidEventError: it is none, or out of range; the message says which `name` it is.
    """
    match = _RFC3339.fullmatch(text)
    try:
        if not match:
            raise ValueError  # noqa: TRY301 - one place says what is wrong
        whole, fraction, offset = match.groups()
        nanos = unix_nanos(dt.datetime.fromisoformat(whole + offset))
    except (ValueError, OverflowError):
        raise InvalidEventError(
            f"{name} is not an RFC 3339 time such as 2026-01-31T12:00:00Z"
        ) from None
    nanos = UnixNanos(nanos + int((fraction or "0").ljust(9, "0")))
    if nanos not in INT64:
        raise InvalidEventError(f"{name} must lie between the years 1678 and 2262")
    return nanos


def nanos_rfc3339(nanos: UnixNanos) -> str:
    """Return the time as proto3's canonical JSON spells it: UTC, `Z`, 0, 3, 6 or 9 fractional digits."""
    seconds, fraction = divmod(nanos, _SECOND)
    text = (_EPOCH + dt.timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S")
    if fraction:
        digits = f"{fraction:09}"
        for zeros in ("000000", "000"):
            if digits.endswith(zeros):
                digits = digits.removesuffix(zeros)
                break
        text = f"{text}.{digits}"
    return text + "Z"
