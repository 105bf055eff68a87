"""Room `pipeline`: so many at once, and who is next. Touches asyncio through `bell.py` alone.

A plain semaphore's waiters hear nothing until it is their turn: 48,000 looks held up
a stop for a quarter of a minute, and two thousand were made of a cluster that was away.
"""

from __future__ import annotations

import abc
from collections import OrderedDict

from completion_relay.bell import Waiter


class Ticket(Waiter):
    """A place in a queue for permits."""

    __slots__ = ("is_admitted",)

    def __init__(self) -> None:
        super().__init__()
        self.is_admitted = False
        """Whether it holds a permit by now."""


class Admits(abc.ABC):
    """Who has permits to give: whoever asks first is in first."""

    def __init__(self) -> None:
        """Nobody is in, and nobody waits."""
        self.in_flight = 0
        """How many are in."""
        self._queue: OrderedDict[Ticket, None] = OrderedDict()

    @property
    def queued(self) -> int:
        """How many wait for their turn."""
        return len(self._queue)

    def try_enter(self) -> bool:
        """Take a permit if there is one and nobody waits for it."""
        if self._queue or not self._has_room():
            return False
        self.in_flight += 1
        return True

    def queue(self) -> Ticket:
        """Take a place at the end of the queue."""
        ticket = Ticket()
        self._queue[ticket] = None
        self._admit()
        return ticket

    def withdraw(self, ticket: Ticket) -> None:
        """Give a place in the queue back, and the permit if it has come to one."""
        if ticket.is_admitted:
            self.leave()
        else:
            del self._queue[ticket]

    def leave(self) -> None:
        """Give a permit back: the next one has it."""
        self.in_flight -= 1
        if self._queue:
            self._admit()

    @abc.abstractmethod
    def _has_room(self) -> bool:
        """Whether there is a permit to give now."""

    def _admit(self) -> None:
        while self._queue and self._has_room():
            ticket, _ = self._queue.popitem(last=False)
            self.in_flight += 1
            ticket.is_admitted = True
            ticket.wake()


class Permits(Admits):
    """A fixed number of permits."""

    def __init__(self, count: int) -> None:
        """Let everybody in, up to so many.

        Args:
            count: How many may be in at once.
        """
        super().__init__()
        self._count = count

    def _has_room(self) -> bool:
        return self.in_flight < self._count
