"""Room `journal`: what is too large for the topic it belongs on, held so that it holds up nobody (promise 5).

Such a topic is set wrong (`check` says so), and only its owner can mend it. Until
then the record stays undecided, readiness says so, and what comes after it goes on
until the partition's window is full. One of those held is tried again each ten
seconds: a try ends a transaction and costs the partition one.

An event that was to be parked is not decided, and may be by now. So all of these go
back to where they came from each ten seconds, and may come again as what they were:
one of them is then tried on the topic, the others are held. Touches the clock.
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
            again: Takes what is to be tried on its topic again.
            tell: Told what is undecided for its size, whenever that changes; an empty text: nothing
                is.
        """
        self._clock = clock
        self._again = again
        self._tell = tell
        self._too_large: dict[int, str] = {}
        """The topic for which each offset was too large: those held, and those tried again."""
        self._held: dict[int, Entry] = {}
        self._tried: set[int] = set()
        """Offsets of those whose topic is tried again."""
        self._copy: int | None = None
        """Of the undone ones, the offset of that whose topic is tried if it comes to that again."""
        self._refused: dict[str, int] = {}
        """Bytes of the smallest record that each topic refused."""
        self._timer: Cancels | None = None
        self._is_closed = False

    def is_as_large(self, entry: Entry) -> bool:
        """Whether it is as large as what its topic refused."""
        return self._refuses(entry) is not None

    def is_tried(self, entry: Entry) -> bool:
        """Whether its topic was too small for it, and is to be tried again."""
        return entry.offset in self._tried or entry.offset == self._copy

    def hold(self, entry: Entry, *, refused_by: str | None = None) -> None:
        """Hold it until it is tried again.

        Args:
            entry: What was too large, or would be.
            refused_by: The topic that said so.
        """
        offset = entry.offset
        self._tried.discard(offset)
        if offset == self._copy:
            self._copy = None
        self._held[offset] = entry
        if refused_by is not None:
            size = entry.largest(refused_by)
            self._refused[refused_by] = min(size, self._refused.get(refused_by, size))
        topic = refused_by or self._refuses(entry)
        assert topic is not None  # noqa: S101 - it `is_as_large`
        if self._too_large.get(offset) != topic:
            self._too_large[offset] = topic
            self._say()
        if self._timer is None and not self._is_closed:
            self._timer = self._clock.timer(_SECONDS, self._try_again)

    def written(self, entry: Entry) -> None:
        """It is durable; if it was too large and its topic took it, the others are tried too."""
        topic = self._too_large.pop(entry.offset, None)
        if topic is None:
            return
        self._tried.discard(entry.offset)
        if entry.offset == self._copy:
            self._copy = None
        # What is decided meanwhile leaves nothing on the topic that it was to be parked on.
        if entry.largest(topic) >= 0:
            self._refused.clear()
            for held in tuple(self._held.values()):
                self._try(held)
        elif not self._too_large:
            self._refused.clear()  # nobody is left to find out that a topic was mended
        self._say()

    def close(self) -> None:
        """Try nothing again: whoever has the partition next is given these records again."""
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()

    def _refuses(self, entry: Entry) -> str | None:
        for topic, least in self._refused.items():
            if least <= entry.largest(topic):
                return topic
        return None

    def _say(self) -> None:
        topics = " and ".join(f"topic {topic}" for topic in sorted({*self._too_large.values()}))
        self._tell(
            f"{len(self._too_large)} too large for {topics}: raise its max.message.bytes to that "
            "of the events' topic, and more"
            if topics
            else ""
        )

    def _try_again(self) -> None:
        self._timer = None
        if not self._too_large:
            return
        self._timer = self._clock.timer(_SECONDS, self._try_again)
        undone = [entry for entry in self._held.values() if entry.again is not None]
        if undone:
            self._copy = undone[0].offset
        for entry in undone:
            self._try(entry)
        if self._held and not self._tried:  # while Kafka is away nothing comes of the first
            self._try(next(iter(self._held.values())))

    def _try(self, entry: Entry) -> None:
        del self._held[entry.offset]
        if entry.again is not None:
            entry.again()
        else:
            self._tried.add(entry.offset)
            self._again(entry)
