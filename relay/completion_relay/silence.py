"""Room `consumer`: which partitions bring nothing although they have something. Touches nothing of Kafka.

aiokafka tells nobody that a partition has no leader, or that its fetches are
answered with an error: it logs it, and polls bring only what the others have. So
the probe asks, on connections of its own, where each partition ends, and that is
compared with how far it has been read, whatever the cause may be.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from aiokafka.structs import TopicPartition

from completion_relay.clock import Clock
from completion_relay.observe import Observer

_PATIENCE_SECONDS: Final = 30.0
"""A leader that dies is replaced within ten seconds or so (Kafka's `broker.session.timeout.ms` is 9 s):
that is not yet a matter for a person."""


@dataclass(frozen=True, slots=True)
class NoLeader:
    """No broker leads the partition: all that had it are away, or it is being given one."""


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """It could not be told where the partition ends."""

    why: str


End: TypeAlias = int | NoLeader | NoAnswer
"""The offset that a reader of committed records comes to; or why it is not known."""


@dataclass(frozen=True, slots=True)
class Reading:
    """How far a partition has been read."""

    position: int | None
    """The offset that is fetched next; None: not set yet. Passes a transaction's markers too."""
    has_some: bool
    """Whether something was fetched that nobody has taken yet."""
    is_paused: bool


@dataclass(frozen=True, slots=True)
class _Seen:
    at: float
    end: End
    position: int | None
    is_counted: bool
    seconds: float
    """For how long it has brought nothing, as far as more was wanted of it."""


class Silence:
    """Names the partitions of this member that are silent, until they are not."""

    def __init__(self, observer: Observer, clock: Clock) -> None:
        """Know of no partition yet.

        Args:
            observer: Told which partitions bring nothing.
            clock: Time.
        """
        self._observer = observer
        self._clock = clock
        self._seen: dict[TopicPartition, _Seen] = {}

    def end_of(self, partition: TopicPartition) -> int | None:
        """Return where a partition ended when that was asked last; None: it is not known."""
        seen = self._seen.get(partition)
        return seen.end if seen and isinstance(seen.end, int) else None

    def look(
        self, ends: Mapping[TopicPartition, End], readings: Mapping[TopicPartition, Reading]
    ) -> None:
        """Judge the partitions of which both are known; what was known of others is forgotten."""
        known = ends.keys() & readings.keys()
        for gone in self._seen.keys() - known:
            del self._seen[gone]
            self._observer.well(_part(gone))
        now = self._clock.monotonic()
        for partition in known:
            before = self._seen.get(partition)
            seen = _seen(before, ends[partition], readings[partition], now)
            self._seen[partition] = seen
            if problem := _problem(before, seen):
                self._observer.problem(_part(partition), problem)
            else:
                self._observer.well(_part(partition))


def _seen(before: _Seen | None, end: End, reading: Reading, now: float) -> _Seen:
    has_all = isinstance(end, int) and (reading.position is None or reading.position >= end)
    is_well = has_all or reading.has_some
    # What is paused brings nothing because nothing is wanted: that time does not count.
    is_counted = not is_well and not (isinstance(end, int) and reading.is_paused)
    seconds = 0.0
    if before and not is_well and before.position == reading.position:
        seconds = before.seconds + (now - before.at if before.is_counted and is_counted else 0.0)
    return _Seen(now, end, reading.position, is_counted, seconds)


def _problem(before: _Seen | None, seen: _Seen) -> str | None:
    if isinstance(seen.end, NoLeader):
        # Twice in a row: while one is elected there is none for a moment.
        is_sure = before is not None and isinstance(before.end, NoLeader)
        return "no broker leads it" if is_sure else None
    if seen.seconds < _PATIENCE_SECONDS:
        return None
    if isinstance(seen.end, NoAnswer):
        return f"not told for {seen.seconds:.0f} s where it ends: {seen.end.why}"
    return (
        f"nothing has come for {seen.seconds:.0f} s: read up to {seen.position}, ends at {seen.end}"
    )


def _part(partition: TopicPartition) -> str:
    return f"fetching {partition.topic}/{partition.partition}"
