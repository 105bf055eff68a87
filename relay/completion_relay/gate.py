"""Room `pipeline`: holds events back while a cluster of Temporal is away, and asks when it is back.

The shell around `weather.py`: makes its probes, one at a time, and wakes those
who wait. Touches asyncio.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Protocol

from completion_relay.bell import Bell
from completion_relay.clock import Clock
from completion_relay.verdict import Answer, Sign, frontend_answered
from completion_relay.weather import State, Weather
from completion_schemas.events import UnixNanos


class Forecasts(Protocol):
    """Who is told of the weather."""

    def probed(self, answer: Answer) -> None:
        """The cluster, which may be away, was asked something, and this came back."""

    def away(self, detail: str) -> None:
        """The cluster is away as a whole."""

    def back(self) -> None:
        """It is back."""


class WeatherGate:
    """One cluster's: open, or no event makes a call."""

    def __init__(
        self,
        *,
        probe: Callable[[], Awaitable[Answer]],
        wait_after: Callable[[int], float],
        observer: Forecasts,
        clock: Clock,
    ) -> None:
        """Be open.

        Args:
            probe: Asks the cluster something that has to do with no event, such as
                `DescribeNamespace`; returns what it answered and never raises.
            wait_after: The seconds to wait after so many probes, with jitter.
            observer: Told when the cluster is away, and when it is back.
            clock: Time.
        """
        self._probe = probe
        self._wait_after = wait_after
        self._observer = observer
        self._clock = clock
        self._weather = Weather()
        self.opened = Bell()
        """Rings when events may make calls again."""
        self.turned_away = Bell()
        """Rings when the cluster turns out to be away."""
        self._probing: asyncio.Task[None] | None = None
        self._when_away: list[Callable[[], None]] = []
        self._when_open: list[Callable[[], None]] = []
        self.is_closed = False
        """Whether no event may make a call now; true also for the moment of a doubt."""
        self.is_away = False
        """Whether the cluster is away as a whole: the probe said so too. Then no records are taken."""
        self.returns = 0
        """How often it came back from being away."""
        self.back_at: UnixNanos | None = None
        """When it did the last time; None: it has not been away."""
        self.returned = Bell()
        """Rings each time it does."""

    def when_away(self, call: Callable[[], None]) -> None:
        """Have something called each time the cluster turns out to be away."""
        self._when_away.append(call)

    def when_open(self, call: Callable[[], None]) -> None:
        """Have something called each time events may make calls again."""
        self._when_open.append(call)

    def noted(self, event: Hashable, sign: Sign) -> None:
        """Take note of the answer to a call on an event's behalf.

        Args:
            event: Which; several failures of one are no outage.
            sign: What the answer says, of a completion or of a look.
        """
        if sign is not Sign.FAILING:
            self.answered()
        elif self._weather.failed(event, now=self._clock.monotonic()):
            self.is_closed = True
            if self._probing is None:
                self._probing = asyncio.create_task(self._probe_until_answered())

    def answered(self) -> None:
        """Take note of a definite answer."""
        if self._weather.is_uneasy and self._weather.answered():
            self._open()

    def close(self) -> None:
        """Stop probing; for the end of the relay."""
        if self._probing is not None:
            self._probing.cancel()
            self._probing = None

    async def _probe_until_answered(self) -> None:
        tries = 0
        try:
            while self.is_closed:
                answer = await self._probe()
                self._observer.probed(answer)
                is_definite = frontend_answered(answer)
                if self._weather.probed(definite=is_definite, now=self._clock.monotonic()):
                    self._open()
                if not self.is_closed:
                    return
                if self._weather.state is State.AWAY and not is_definite:
                    self._be_away(f"{answer.status}: {answer.message}")
                tries += 1
                await self._clock.sleep(self._wait_after(tries))
        except Exception:
            # A defect of ours must not hold the events back for ever.
            self._weather.answered()
            self._open()
            raise
        finally:
            if self._probing is asyncio.current_task():
                self._probing = None

    def _be_away(self, detail: str) -> None:
        if self.is_away:
            return
        self.is_away = True
        self._observer.away(detail)
        for call in self._when_away:
            call()
        self.turned_away.ring()

    def _open(self) -> None:
        self.is_closed = False
        if self._probing is not asyncio.current_task():
            self.close()  # or the next doubt would wait for the end of its backoff
        if self.is_away:
            self.is_away = False
            self.returns += 1
            self.back_at = self._clock.now()
            self._observer.back()
            self.returned.ring()
        # After a mere doubt too: who would have given in meanwhile had nobody to gain by it.
        for call in self._when_open:
            call()
        self.opened.ring()
