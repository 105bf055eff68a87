"""Room `journal`: what one settled record leaves behind. Core: touches nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from completion_schemas.record import KafkaRecord


@dataclass(frozen=True, slots=True)
class Entry:
    """What one settled record leaves behind."""

    offset: int
    """Of the record, in the journal's partition."""
    records: tuple[tuple[str, KafkaRecord], ...]
    """What to write, with the topic of each."""
    on_durable: Callable[[], None]
    """Called once it is durable."""
    again: Callable[[], None] | None = None
    """Has what led to it done again, and whatever comes of that added in its place: for a record that
    is not decided, and leaves behind only that it waits. None: it stays as it is."""

    @property
    def size(self) -> int:
        """Bytes of all records."""
        return sum(record.size for _, record in self.records)

    def largest(self, topic: str) -> int:
        """Return the bytes of the largest record for a topic; -1: there is none."""
        return max((record.size for to, record in self.records if to == topic), default=-1)
