"""Room `verdict`: how much may go to a namespace at once, and how fast. Core: touches nothing.

`ConcurrencyLimit` is the arithmetic of additive increase and multiplicative
decrease (TCP's, RFC 5681): Temporal says neither how much it takes nor how much
others give it, so what it refuses, and how long it takes, must tell. `Pace` is
the rate that an operator set. Both are told the time, in seconds of any clock.
"""

from __future__ import annotations

_DECREASE = 0.7
"""What is left of the limit after a decrease. A half, as TCP has it, empties the pipe of a server
that refuses a few calls in a thousand, which is what Temporal's rate limits do."""

_SLOW = 4.0
"""How many times the least latency counts as slow."""

_NEVER_SLOW = 1.0
"""Latency in seconds that never counts as slow. The relay measures its own event loop with it, and
a full one adds tens of milliseconds to calls that Temporal answers at once. And calls that queue in a small
server take long because they are many: 64 at once took 0.4 s each on a development server that completes
150 a second, and at 0.25 s the limit fell to 9 calls, with a quarter less completions (the bench's part b)."""

_SMOOTHING = 0.1
"""Weight of one call's latency: a single slow call is no sign, ten of them are."""

_AGE = 300.0
"""Seconds after which the least latency begins to be forgotten: a Temporal that moved further away
is not slow for ever."""

_BURST = 0.1
"""Seconds' worth of calls that may come at once under a rate: timers are coarse, and a pace of
1,000 a second that is kept call by call would wake the loop as often."""


class ConcurrencyLimit:
    """How many calls may be under way at once, by what became of those before.

    Starts at the maximum: a healthy Temporal is given all there is from the
    first second on, and a sick one says so within a round trip.
    """

    __slots__ = (
        "_decreased_at",
        "_latency",
        "_least",
        "_least_before",
        "_least_until",
        "_limit",
        "calls",
        "maximum",
    )

    def __init__(self, *, maximum: int) -> None:
        """Begin.

        Args:
            maximum: Never more calls than these; at least 1.
        """
        self.maximum = maximum
        self.calls = maximum
        """The limit now: 1 to `maximum`."""
        self._limit = float(maximum)
        self._decreased_at = float("-inf")
        self._latency = 0.0
        self._least = self._least_before = float("inf")
        self._least_until = float("-inf")

    def answered(self, *, started: float, ended: float, in_flight: int) -> None:
        """A call came through.

        Args:
            started: When it was made.
            ended: When its answer came.
            in_flight: Calls under way when it came, this one included.
        """
        seconds = ended - started
        if ended >= self._least_until:
            self._least_before, self._least = self._least, seconds
            self._least_until = ended + _AGE
        elif seconds < self._least:
            self._least = seconds
        self._latency = latency = self._latency + (seconds - self._latency) * _SMOOTHING
        if latency > _NEVER_SLOW and latency > _SLOW * min(self._least, self._least_before):
            self._decrease(started=started, now=ended)
        elif self.calls < self.maximum and 2 * in_flight >= self.calls:
            # A limit that is not used must not grow: nobody knows whether it would hold.
            self._set(self._limit + 1.0 / self._limit)

    def refused(self, *, started: float, now: float) -> bool:
        """A call was refused because there are too many, or had no answer in its time.

        Args:
            started: When it was made.
            now: When that was known.

        Returns:
            Whether the refusal counts: one that is known when the limit was just decreased for a
            call of the same round trip says nothing new.
        """
        return self._decrease(started=started, now=now)

    def restart(self, calls: int, *, now: float) -> None:
        """Go on with at most so many calls: what was known of the server is of before its outage."""
        self._latency = 0.0
        self._decreased_at = now
        self._set(min(self._limit, calls))

    def _decrease(self, *, started: float, now: float) -> bool:
        if started <= self._decreased_at:
            return False
        self._decreased_at = now
        # What is measured from here on is the smaller limit's.
        self._latency = 0.0
        self._set(self._limit * _DECREASE)
        return True

    def _set(self, limit: float) -> None:
        self._limit = min(max(limit, 1.0), float(self.maximum))
        self.calls = int(self._limit)


class Pace:
    """So many calls a second, as a leaky bucket (the generic cell rate algorithm, ITU-T I.371).

    In any `t` seconds at most `rate * (t + 0.1) + 1` calls are let through.
    """

    __slots__ = ("_interval", "_next_at")

    def __init__(self, rate: float) -> None:
        """Begin with nothing let through.

        Args:
            rate: Calls a second.
        """
        self._interval = 1.0 / rate
        self._next_at = float("-inf")

    def wait(self, now: float) -> float:
        """Let a call through and return 0, or return the seconds until one may go."""
        early = self._next_at - _BURST - now
        if early > 0:
            return early
        self._next_at = max(self._next_at, now) + self._interval
        return 0.0
