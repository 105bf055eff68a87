"""Room `observe`: how far behind each partition of this member is. Touches prometheus-client.

Collected when somebody asks: setting four gauges a partition at every poll would
cost as much as an event does, and a partition that went would keep its last value.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping

from aiokafka.structs import TopicPartition
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from completion_relay.assigned import Assigned
from completion_relay.clock import Clock
from completion_relay.observe import Observer
from completion_relay.silence import Reading
from completion_relay.status_page import PartitionState, Waits

_EVERY_SECONDS = 0.25
"""How often at most it is looked for what is stuck."""

_LABELS = ("topic", "partition")


class Lag(Collector):
    """The gauges of the assigned partitions, and what of them is stuck."""

    def __init__(
        self,
        observer: Observer,
        clock: Clock,
        *,
        stuck_after: float,
        parked: str,
        assigned: Callable[[], Collection[Assigned]],
        end_of: Callable[[TopicPartition], int | None],
        readings: Callable[[], Mapping[TopicPartition, Reading]],
    ) -> None:
        """Measure nothing yet.

        Args:
            observer: Has the registry, and is told what is stuck.
            clock: Time.
            stuck_after: Seconds for which one record may be undecided.
            parked: The topic of the parked events.
            assigned: Returns the partitions of this member.
            end_of: Returns the offset of a partition's next record; None: not known.
            readings: Returns how far the partitions have been read.
        """
        self._observer = observer
        self._clock = clock
        self._stuck_after = stuck_after
        self._parked = parked
        self._assigned = assigned
        self._end_of = end_of
        self._readings = readings
        self._next = 0.0
        observer.metrics.registry.register(self)

    def collect(self) -> Iterator[Metric]:
        """Yield what /metrics shows."""
        uncommitted = GaugeMetricFamily(
            "completion_relay_uncommitted", "Records received and not decided.", labels=_LABELS
        )
        age = GaugeMetricFamily(
            "completion_relay_uncommitted_age_seconds",
            "Age of the oldest record received and not decided.",
            labels=_LABELS,
        )
        lag = GaugeMetricFamily(
            "completion_relay_consumer_lag",
            "Offsets from the oldest record that is not decided, received or not, to the end of the "
            "partition.",
            labels=_LABELS,
        )
        parked = GaugeMetricFamily(
            "completion_relay_parked_waiting",
            "Events of the partition that are parked and not decided.",
            labels=_LABELS,
        )
        now, readings = self._clock.monotonic(), self._readings()
        for held in self._assigned():
            labels = (held.partition.topic, str(held.partition.partition))
            uncommitted.add_metric(labels, held.ledger.undecided)
            age.add_metric(labels, held.age(now))
            if held.partition.topic == self._parked:
                # The events' own partition shares the order: it would count them twice.
                parked.add_metric(labels, len(held.order))
            end = self._end_of(held.partition)
            if end is not None:
                lag.add_metric(labels, max(0, end - _next_of(held, readings)))
        yield from (uncommitted, age, lag, parked)

    def partitions(self) -> list[PartitionState]:
        """Return the state of each partition of this member, for /status."""
        now = self._clock.monotonic()
        return [
            PartitionState(
                topic=held.partition.topic,
                partition=held.partition.partition,
                undecided=held.ledger.undecided,
                fetched=len(held.fetched),
                oldest=held.oldest,
                age_seconds=round(held.age(now), 3),
                parked_waiting=len(held.order) if held.partition.topic == self._parked else 0,
                is_full=held.ledger.is_full,
            )
            for held in self._by_place()
        ]

    def oldest(self, count: int) -> list[Waits]:
        """Return so many of the undecided records at most, the one that was received first at the top."""
        now = self._clock.monotonic()
        waits = [
            Waits(
                topic=held.partition.topic,
                partition=held.partition.partition,
                offset=offset,
                age_seconds=round(now - since, 3),
            )
            for held in self._by_place()
            for offset, since in held.ledger.first_undecided(count)
        ]
        return sorted(waits, key=lambda wait: -wait.age_seconds)[:count]

    def _by_place(self) -> list[Assigned]:
        return sorted(self._assigned(), key=lambda held: held.partition)

    def look(self) -> None:
        """Tell the observer what is stuck, unless it was told a moment ago."""
        now = self._clock.monotonic()
        if now < self._next:
            return
        self._next = now + _EVERY_SECONDS
        stuck = [
            f"{held.partition.partition}/{held.oldest} for {held.age(now):.0f} s"
            for held in self._assigned()
            if held.age(now) > self._stuck_after
        ]
        if stuck:
            self._observer.problem("stuck", f"undecided (partition/offset): {', '.join(stuck)}")
        else:
            self._observer.well("stuck")


def _next_of(held: Assigned, readings: Mapping[TopicPartition, Reading]) -> int:
    """Return the offset from which on something may be undecided."""
    reading = readings.get(held.partition)
    is_drained = not held.ledger.undecided and not held.fetched
    if not is_drained or reading is None or reading.position is None:
        return held.oldest
    # The last record may have a transaction's marker behind it, as each parked one has: that is no lag,
    # and the position has passed it.
    return max(held.oldest, reading.position)
