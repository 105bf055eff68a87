"""Room `pipeline`: where an event waits, and what ends its waiting there. Touches `bell.py` and `told.py`.

A partition that is given up must be given up soon: the group waits for it, and so
does whoever stops the relay. So what only waits is let go, undecided; whoever has
the partition next is given it again, with all that came behind it. And an event
that waits is one that an operator may speak of: it heeds that at once.
"""

from __future__ import annotations

from collections.abc import Callable

from completion_relay.bell import Bell, Timers, Waiter
from completion_relay.decision import Decision, Former, Park
from completion_relay.identity import RecordMark
from completion_relay.told import Instructions
from completion_relay.verdict import Status
from completion_schemas.audit import Call


class LetGoError(Exception):
    """The partition is given up, and the event that waited there is left to whoever has it next.

    Nothing that comes behind it in its lane may be begun: it would overtake it.
    """


class ToldError(Exception):
    """An operator has said what is to become of the event that waited there."""

    def __init__(self, outcome: Decision | Park) -> None:
        """Carry what becomes of it, its tries included."""
        super().__init__(outcome)
        self.outcome = outcome


class Place:
    """One partition's, during one assignment."""

    __slots__ = ("closing", "crowded", "instructions")

    def __init__(self, instructions: Instructions | None = None) -> None:
        """Begin with room, for as long as it takes.

        Args:
            instructions: What operators say of its events; shared by the two of a number.
        """
        self.crowded = Bell()
        """Set while the window is full: what waits then holds up others."""
        self.closing = Bell()
        """Set once the partition is given up, for good: its next assignment has another place."""
        self.instructions = Instructions() if instructions is None else instructions
        """What operators have said of its events."""

    def let_go_if_closing(self) -> None:
        """Ask before each wait.

        Raises:
            LetGoError: the partition is given up.
        """
        if self.closing.is_set():
            raise LetGoError

    def heed(
        self,
        mark: RecordMark,
        former: Former,
        *,
        status: Status | None = None,
        calls: tuple[Call, ...] = (),
    ) -> None:
        """Ask before an event is begun, and before each wait of its.

        Args:
            mark: The event's.
            former: What came of the tries so far.
            status: The answer to the last of them.
            calls: These calls, for the audit trail.

        Raises:
            ToldError: an operator has said what is to become of it.
        """
        told = self.instructions.of(mark)
        if told is not None:
            raise ToldError(told.instruction.obeyed(former, status=status, calls=calls))

    async def pause(
        self, clock: Timers, seconds: float, heed: Callable[[], None] = lambda: None, *bells: Bell
    ) -> None:
        """Wait so long, unless the partition is given up, or an operator ends the wait.

        Args:
            clock: Time.
            seconds: How long.
            heed: Raises if an operator does, or whoever rings one of the bells.
            bells: When to ask that again.

        Raises:
            LetGoError: it is given up.
        """
        over = Bell()
        timer = clock.timer(seconds, over.set)
        try:
            while True:
                self.let_go_if_closing()
                heed()
                if over.is_set():
                    return
                await Waiter().wait(clock, None, over, self.closing, self.instructions.news, *bells)
        finally:
            timer.cancel()
