"""Room `demo`: what is known of the scene right now. Touches nothing; a screen is told of news."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field

from completion_relay.demo.judge import once_each
from completion_relay.demo.script import HANDED_OFF, SLOTS
from completion_schemas.audit import AuditRecord

_REMEMBERED = 200


@dataclass(slots=True)
class Board:
    """Everything that a screen shows while the scene is played."""

    on_news: Callable[[str], None] = lambda _: None
    """Given each line of `news` as it comes."""
    waiting: int = 0
    """Activities that wait to be completed."""
    free_slots: int = 0
    """Of the callers' worker's activity slots."""
    peak_waiting: int = 0
    """Most activities that waited while all slots were free."""
    expected: int = 0
    """Records that should be decided in the end."""
    trail: list[AuditRecord] = field(default_factory=list)
    relays: dict[str, str] = field(default_factory=dict)
    """What is to be said of each."""
    news: deque[str] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))
    suspended: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once all activities wait, or some do not wait any more."""
    started: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        """Since the demo began."""
        return time.monotonic() - self.started

    @property
    def decided(self) -> int:
        """Records that have been decided."""
        return len(once_each(self.trail))

    @property
    def dispositions(self) -> Counter[str]:
        """How they were decided."""
        return Counter(str(record.disposition) for record in once_each(self.trail))

    def decided_by(self, relay: str) -> int:
        """Return how many records a relay has decided."""
        return sum(record.relay_id == relay for record in once_each(self.trail))

    def say(self, text: str) -> None:
        """Tell a piece of news."""
        line = f"{self.seconds:5.1f} s  {text}"
        self.news.append(line)
        self.on_news(line)

    def look(self, *, waiting: int, free_slots: int) -> None:
        """Note what was seen at one moment."""
        self.waiting, self.free_slots = waiting, free_slots
        if free_slots == SLOTS:
            self.peak_waiting = max(self.peak_waiting, waiting)
        if self.peak_waiting >= HANDED_OFF or self.trail:
            self.suspended.set()
