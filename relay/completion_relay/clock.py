"""Room `observe`: time, as something that is handed in. Touches the system's clocks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Protocol

from completion_relay.bell import Cancels
from completion_schemas.events import UnixNanos


class Clock(Protocol):
    """What the shell needs of time."""

    def now(self) -> UnixNanos:
        """Return the time of day."""

    def monotonic(self) -> float:
        """Return seconds from an arbitrary point; never goes back."""

    async def sleep(self, seconds: float) -> None:
        """Wait."""

    def timer(self, seconds: float, ring: Callable[[], None]) -> Cancels:
        """Call `ring` after so many seconds, unless it is cancelled before."""


class SystemClock:
    """The machine's."""

    def now(self) -> UnixNanos:
        """Return the time of day."""
        return UnixNanos(time.time_ns())

    def monotonic(self) -> float:
        """Return seconds from an arbitrary point; never goes back."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)

    def timer(self, seconds: float, ring: Callable[[], None]) -> Cancels:
        """Call `ring` after so many seconds, unless it is cancelled before."""
        return asyncio.get_running_loop().call_later(seconds, ring)
