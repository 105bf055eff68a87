"""Room `parking`: records that are there more than once, by their position. Core: touches nothing.

Whoever parks a record settles it where it was, in one transaction. But once a group's offsets are lost, or
set back, a record that was parked is read where it was first, too, and all its copies are on the parked topic.
The last of these counts, for it knows the most: what has been tried, and what an operator said. (An event
that was parked, and skipped there, was applied by its first record's side.)
"""

from __future__ import annotations

from completion_schemas.record import Headers, KafkaRecord


class Copies:
    """Those of the events of one partition, as they were found when it was taken."""

    __slots__ = ("_last",)

    def __init__(self) -> None:
        """Know of none."""
        self._last: dict[int, tuple[int, int]] = {}

    def note(self, first: int, *, at: int, what: int) -> None:
        """Take note of a copy whose event is there more than once.

        Args:
            first: The offset where its event was first.
            at: The copy's own, on the parked topic: later than those noted before.
            what: Its `fingerprint`.
        """
        self._last[first] = (at, what)

    def has(self, first: int) -> bool:
        """Whether the event of that offset is there more than once."""
        return first in self._last

    def has_later(self, first: int, record: KafkaRecord, *, at: int | None) -> bool:
        """Whether another copy counts instead of a record.

        Args:
            first: The offset where its event was first.
            record: What is there: of a topic that was made anew it may be something else.
            at: The copy's offset on the parked topic; None: it is the first record itself.
        """
        last = self._last.get(first)
        if last is None or (at is not None and at >= last[0]):
            return False
        return fingerprint(record.key, record.value, record.headers) == last[1]


def fingerprint(key: bytes | None, value: bytes | None, headers: Headers) -> int:
    """Return a number by which this process knows the same record again."""
    return hash((key, value, tuple(headers)))
