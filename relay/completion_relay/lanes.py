"""Room `pipeline`: events of one activity in order, different activities side by side.

A lane is a queue with one task that works it off and goes away when it is
empty, or when one of its events is let go. Touches asyncio, `bell.py`, `first_of.py` and `place.py`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable
from functools import partial

from completion_relay.bell import Bell
from completion_relay.first_of import heed_cancellation
from completion_relay.place import LetGoError

Work = Callable[["Lane"], Awaitable[None]]
"""Given its lane. Raises `LetGoError` and nothing else: what cannot be done now is waited for."""


class OvertakenError(Exception):
    """A later event of the activity is here already."""


class Lane:
    """What waits behind the work that is under way."""

    __slots__ = ("_key", "_lanes", "_longer", "_waiting", "is_begun")

    def __init__(self, lanes: Lanes, key: Hashable, work: Work) -> None:
        self._lanes = lanes
        self._key = key
        self._waiting = deque([work])
        self._longer: Bell | None = None
        self.is_begun = False
        """Whether the event loop has come to it."""

    def __len__(self) -> int:
        """How much waits."""
        return len(self._waiting)

    def append(self, work: Work) -> None:
        """Add work to the end."""
        self._waiting.append(work)
        if self._longer is not None:
            self._longer.ring()

    @property
    def longer(self) -> Bell:
        """Rings when work is added."""
        # Few ask: one for each lane is memory that an event would pay.
        if self._longer is None:
            self._longer = Bell()
        return self._longer

    def only_the_last(self) -> None:
        """Ask before each wait and each call of what only says something while nothing follows it.

        Raises:
            OvertakenError: something does.
        """
        if self._waiting:
            raise OvertakenError

    def again(self, work: Work) -> None:
        """Have work done once more, in a new lane of the same key where this one has ended."""
        self._lanes.submit(self._key, work)

    async def work_off(self) -> None:
        """Do one after the other until nothing waits.

        Raises:
            LetGoError: one was let go, and what came behind it is left as it is.
            CancelledError: the same, of one that was cancelled, also where it had something to say first.
        """
        while self._waiting:
            await self._waiting.popleft()(self)
            heed_cancellation()


class Lanes:
    """Work in order within a lane, lanes side by side."""

    def __init__(self, on_end: Callable[[], None] = lambda: None) -> None:
        """Begin nothing.

        Args:
            on_end: Called each time a lane has ended.
        """
        self._lanes: dict[Hashable, Lane] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._on_end = on_end
        self._let_go = 0
        self.starting = 0
        """Lanes that have work and have not begun it: the event loop has not come to them."""

    def __len__(self) -> int:
        """How many lanes are at work."""
        return len(self._tasks)

    def submit(self, key: Hashable, work: Work) -> bool:
        """Add work to the end of a lane; True where it is the first there."""
        lane = self._lanes.get(key)
        if lane is not None:
            lane.append(work)
            return False
        lane = self._lanes[key] = Lane(self, key, work)
        task = asyncio.create_task(self._work_off(key, lane))
        self._tasks.add(task)
        task.add_done_callback(partial(self._ended, key, lane))
        self.starting += 1
        return True

    def _ended(self, key: Hashable, lane: Lane, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not lane.is_begun:  # cancelled before its first step: nothing of it has run
            self.starting -= 1
            del self._lanes[key]
        self._on_end()

    async def _work_off(self, key: Hashable, lane: Lane) -> None:
        self.starting -= 1
        lane.is_begun = True
        try:
            await lane.work_off()
        except LetGoError:
            self._let_go += 1
        finally:
            del self._lanes[key]

    async def drain(self, within: float) -> bool:
        """Wait until all lanes have ended; False if some of their work is left undone.

        The lanes that have not after `within` seconds are cancelled. What they
        held, and what was let go, is not settled, so it is delivered again; of one whose
        call may still land a parked copy is in the journal when this returns.
        """
        tasks = set(self._tasks)
        if not tasks:
            return True
        let_go_before = self._let_go
        _, late = await asyncio.wait(tasks, timeout=within)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late)
        return not late and self._let_go == let_go_before
