"""Room `pipeline`: waiting for whichever of several things comes first. Touches asyncio and nothing else.

`asyncio.wait` needs a task for each thing that is waited for. In an outage every
event of every window waits for four; a future each is what that may cost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol


class Cancels(Protocol):
    """A timer that is running."""

    def cancel(self) -> None:
        """Stop it; harmless when it has run out."""


class Timers(Protocol):
    """What is needed of a clock."""

    def timer(self, seconds: float, ring: Callable[[], None]) -> Cancels:
        """Call `ring` after so many seconds, unless it is cancelled before."""


class Waiter:
    """One that waits, and whom anybody may wake."""

    __slots__ = ("_future",)

    def __init__(self) -> None:
        self._future: asyncio.Future[None] | None = None

    def wake(self) -> None:
        """End its wait, if it waits."""
        if self._future is not None and not self._future.done():
            self._future.set_result(None)

    async def wait(self, clock: Timers, seconds: float | None, *bells: Bell) -> None:
        """Wait until it is woken, a bell rings or the time is over; at once where a bell is set.

        Args:
            clock: Time.
            seconds: At most so long; None: for ever.
            bells: What else ends it.
        """
        if any(bell.is_set() for bell in bells):
            return
        self._future = asyncio.get_running_loop().create_future()
        timer = None if seconds is None else clock.timer(seconds, self.wake)
        for bell in bells:
            bell.waiters.add(self)
        try:
            await self._future
        finally:
            self._future = None
            for bell in bells:
                bell.waiters.discard(self)
            if timer is not None:
                timer.cancel()


class Bell:
    """Set or not, as `asyncio.Event` is; whoever waits for it is woken when it is set."""

    __slots__ = ("_is_set", "waiters")

    def __init__(self) -> None:
        self._is_set = False
        self.waiters: set[Waiter] = set()
        """Those who wait for it now."""

    def is_set(self) -> bool:
        """Whether it is set."""
        return self._is_set

    def set(self) -> None:
        """Set it and wake everybody who waits for it."""
        self._is_set = True
        self.ring()

    def clear(self) -> None:
        """Set it back."""
        self._is_set = False

    def ring(self) -> None:
        """Wake everybody who waits for it now, without setting it."""
        for waiter in self.waiters:
            waiter.wake()
