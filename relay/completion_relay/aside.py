"""Room `journal`: what is too large for the topic it belongs on, held so that it holds up nobody (promise 5).

Such a topic is set wrong (`check` says so), and only its owner can mend it. Until
then the record stays undecided, readiness says so, and what comes after it goes on
until the partition's window is full. One of those held is tried again each ten
seconds: a try ends a transaction and costs the partition one. Touches the clock.
"""

from __future__ import annotations

from collections.abc import Callable

from completion_relay.bell import Cancels
from completion_relay.clock import Clock
from completion_relay.entry import Entry

_SECONDS = 10.0


class Aside:
    """One partition's, during one assignment."""

    def __init__(
        self, clock: Clock, *, again: Callable[[Entry], None], tell: Callable[[str], None]
    ) -> None:
        """Hold nothing.

        Args:
            clock: Time.
            again: Takes what is to be tried again.
            tell: Told what is held and why, whenever that changes; an empty text: nothing is.
        """
        self._clock = clock
        self._again = again
        self._tell = tell
        self._held: dict[int, Entry] = {}
        self._tried: set[int] = set()
        """Offsets of those that are being tried again."""
        self._refused: dict[str, int] = {}
        """Bytes of the smallest value that each topic refused."""
        self._timer: Cancels | None = None
        self._is_closed = False

    def is_as_large(self, entry: Entry) -> bool:
        """Whether it is as large as what its topic refused."""
        return any(least <= entry.largest(topic) for topic, least in self._refused.items())

    def is_tried(self, entry: Entry) -> bool:
        """Whether it was held, and is being tried again."""
        return entry.offset in self._tried

    def hold(self, entry: Entry, *, refused_by: str | None = None) -> None:
        """Hold it until it is tried again.

        Args:
            entry: What was too large, or would be.
            refused_by: The topic that said so.
        """
        self._tried.discard(entry.offset)
        self._held[entry.offset] = entry
        if refused_by is not None:
            size = entry.largest(refused_by)
            self._refused[refused_by] = min(size, self._refused.get(refused_by, size))
        topics = " and ".join(f"topic {topic}" for topic in sorted(self._refused))
        self._tell(
            f"{len(self._held) + len(self._tried)} too large for {topics}: raise its "
            "max.message.bytes to that of the events' topic, and more"
        )
        if self._timer is None and not self._is_closed:
            self._timer = self._clock.timer(_SECONDS, self._try_one)

    def written(self, entry: Entry) -> None:
        """It is durable; if it was held, the others are tried too."""
        if entry.offset not in self._tried:
            return
        self._tried.discard(entry.offset)
        self._refused.clear()
        while self._held:
            self._try_first()
        if not self._tried:
            self._tell("")

    def close(self) -> None:
        """Try nothing again: whoever has the partition next is given these records again."""
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()

    def _try_one(self) -> None:
        self._timer = None
        if self._held:
            self._timer = self._clock.timer(_SECONDS, self._try_one)
            if not self._tried:  # while Kafka is away nothing comes of the first
                self._try_first()

    def _try_first(self) -> None:
        offset = next(iter(self._held))
        self._tried.add(offset)
        self._again(self._held.pop(offset))
