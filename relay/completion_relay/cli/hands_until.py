"""Room `cli`: for how long `park` takes an event out of the way. Touches nothing; the time now is given."""

from __future__ import annotations

from completion_relay.cli.times import (
    TimeError,
    parse_deadline,
    parse_duration,
    show_duration,
    show_time,
)
from completion_relay.instruction import LONGEST
from completion_schemas.times import UnixNanos


class For:
    """An event is to be parked for some time, which begins when it is said: a look may take longer.

    Args:
        text: How long.

    Raises:
        TimeError: it is no length of time, or none for which an event can be parked.
    """

    def __init__(self, text: str) -> None:
        self._length = parse_duration("--for", text)
        if not 0 < self._length <= LONGEST:
            raise TimeError(
                f"--for {text!r}: an event can be parked for 1s at least, 7 days at most"
            )

    def __str__(self) -> str:
        return f"for {show_duration(self._length)}"

    def at(self, now: UnixNanos) -> UnixNanos:
        """Return when that ends if it is said now."""
        return UnixNanos(now + self._length)


class Until:
    """An event is to be parked until a time.

    Args:
        text: When.
        now: The present.

    Raises:
        TimeError: it is no time, or past.
    """

    def __init__(self, text: str, now: UnixNanos) -> None:
        self._text = text
        self._when = parse_deadline("--until", text, now)

    def __str__(self) -> str:
        return f"until {show_time(self._when)}"

    def at(self, now: UnixNanos) -> UnixNanos:
        """Return the same time.

        Raises:
            TimeError: it is past by now, or too far ahead.
        """
        if self._when <= now:
            raise TimeError(
                f"--until {self._text!r} came before it could be said: give a later time, or --for"
            )
        if self._when > now + LONGEST:
            raise TimeError(
                f"--until {self._text!r}: an event can be parked for 7 days at most: give a time before"
            )
        return self._when
