"""Room `pipeline`: an operator's instruction, from its record to its settling. Touches the clock.

Its record is settled once what it asked for is durable, or once it is known that
nothing can come of it: so whoever dies in between, the next relay heeds it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable
from functools import partial
from typing import Final

from completion_relay.assigned import Assigned
from completion_relay.bell import Waiter
from completion_relay.clock import Clock
from completion_relay.decision import Delivery
from completion_relay.entry import Entry
from completion_relay.instruction import Instruction
from completion_relay.lanes import Lane
from completion_relay.observe import Observer
from completion_relay.steady import into_the_journal
from completion_relay.told import Told

_ASK_SECONDS: Final = 1.0
"""How often to ask whether its event was decided without it: nobody tells that of an ordinary event."""

Ends = Callable[[int], Awaitable[int | None]]
"""Returns where the events' partition of a number ends by now; None: Kafka does not say."""


class Heeding:
    """What is to be done for one instruction; called with its lane."""

    def __init__(
        self,
        instruction: Instruction,
        delivery: Delivery,
        held: Assigned,
        *,
        ends: Ends,
        again_after: float,
        wait_after: Callable[[int], float],
        observer: Observer,
        clock: Clock,
    ) -> None:
        """Begin nothing.

        Args:
            instruction: What was said.
            delivery: Its record.
            held: The partition of that.
            ends: Asks where the events' partition ends.
            again_after: Seconds after which it is written anew, so that what came behind it on the
                parked topic does not wait for it.
            wait_after: Returns the seconds to wait after so many defects.
            observer: Told what came of it.
            clock: Time.
        """
        self._instruction = instruction
        self._delivery = delivery
        self._held = held
        self._ends = ends
        self._again_after = again_after
        self._wait_after = wait_after
        self._observer = observer
        self._clock = clock
        self._is_there = False
        """Whether the events' partition is known to go as far as its event."""

    @property
    def lane(self) -> Hashable:
        """One of its own: it waits for another lane's work."""
        return ("operator", self._delivery.position)

    async def __call__(self, lane: Lane) -> None:  # noqa: ARG002 - each work is given its lane
        """See that it is heeded, then settle its record.

        Raises:
            LetGoError: the partition was given up before that.
        """
        await into_the_journal(
            self._entry,
            self._held,
            self._delivery.position,
            wait_after=self._wait_after,
            observer=self._observer,
            clock=self._clock,
        )

    async def _entry(self) -> Entry:
        instructions, clock = self._held.place.instructions, self._clock
        told = instructions.tell(self._instruction)
        ends_at = clock.monotonic() + self._again_after
        while not told.over.is_set():
            self._held.place.let_go_if_closing()
            problem = await self._problem()
            if problem and not told.is_claimed:
                told.end(problem)
                break
            left = ends_at - clock.monotonic()
            if left <= 0:
                record = (self._delivery.topic, self._delivery.record)
                return Entry(self._delivery.offset, (record,), _nothing)
            await self._rest(told, min(left, _ASK_SECONDS))
        instructions.forget(told)
        told_of = partial(self._observer.heeded, self._instruction, told.outcome)
        return Entry(self._delivery.offset, (), told_of)

    async def _rest(self, told: Told, seconds: float) -> None:
        await Waiter().wait(self._clock, seconds, told.over, self._held.place.closing)

    async def _problem(self) -> str:
        """Return why nothing can come of it; empty: its event is undecided."""
        offset, events = self._instruction.offset, self._held.place.instructions.events
        if events is None:
            return ""  # another member has them, of a version that shares them out otherwise
        if events.is_settled(offset):
            return "" if self._held.order.has(offset) else "too late: the event is decided"
        if not self._is_there and offset >= events.next_offset:
            end = await self._ends(self._instruction.partition)
            if end is not None and offset >= end:
                return f"refused: there is no such event, the partition ends at {end}"
            self._is_there = end is not None
        return ""


def _nothing() -> None:
    """What is written anew is not over."""
