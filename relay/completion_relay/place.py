"""Room `pipeline`: where an event waits, and what ends its waiting there. Touches `bell.py` alone.

A partition that is given up must be given up soon: the group waits for it, and so
does whoever stops the relay. So what only waits is let go, undecided; whoever has
the partition next is given it again, with all that came behind it.
"""

from __future__ import annotations

from completion_relay.bell import Bell, Timers, Waiter


class LetGoError(Exception):
    """The partition is given up, and the event that waited there is left to whoever has it next.

    Nothing that comes behind it in its lane may be begun: it would overtake it.
    """


class Place:
    """One partition's, during one assignment."""

    __slots__ = ("closing", "crowded")

    def __init__(self) -> None:
        self.crowded = Bell()
        """Set while the window is full: what waits then holds up others."""
        self.closing = Bell()
        """Set once the partition is given up, for good: its next assignment has another place."""

    def let_go_if_closing(self) -> None:
        """Ask before each wait.

        Raises:
            LetGoError: the partition is given up.
        """
        if self.closing.is_set():
            raise LetGoError

    async def pause(self, clock: Timers, seconds: float) -> None:
        """Wait so long, unless the partition is given up.

        Args:
            clock: Time.
            seconds: How long.

        Raises:
            LetGoError: it is.
        """
        await Waiter().wait(clock, seconds, self.closing)
        self.let_go_if_closing()
