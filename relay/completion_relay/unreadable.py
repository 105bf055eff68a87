"""Room `consumer`: partitions with a batch that cannot be read, and how long they are left alone. Touches nothing.

aiokafka's error comes out of every poll, whichever partition it is of: all of them stood still behind one
damaged batch, and the group shared itself out anew each second.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from aiokafka.structs import TopicPartition

from completion_relay.clock import Clock
from completion_relay.observe import Observer
from completion_relay.odd_headers import UnreadableBatchError

_AGAIN_SECONDS: Final = 60.0
"""Another replica may have it whole, once it leads."""


class Unreadable:
    """One member's."""

    def __init__(self, observer: Observer, clock: Clock) -> None:
        """Know of none.

        Args:
            observer: Told which they are.
            clock: Time.
        """
        self._observer = observer
        self._clock = clock
        self._again_at: dict[TopicPartition, float] = {}

    def found(self, error: UnreadableBatchError) -> None:
        """Leave its partition alone for a minute."""
        self._again_at[error.partition] = self._clock.monotonic() + _AGAIN_SECONDS
        self._observer.problem(_part(error.partition), str(error))

    def left_alone(self) -> set[TopicPartition]:
        """Return the partitions of which nothing is to be fetched now."""
        if not self._again_at:
            return set()
        now = self._clock.monotonic()
        return {partition for partition, at in self._again_at.items() if now < at}

    def with_their_pairs(self, partitions: set[TopicPartition]) -> set[TopicPartition]:
        """Return which of the partitions are left alone, or have the number of one that is."""
        numbers = {partition.partition for partition in self.left_alone()}
        return {partition for partition in partitions if partition.partition in numbers}

    def well(self, partitions: Iterable[TopicPartition]) -> None:
        """They have brought something."""
        for partition in self._again_at.keys() & set(partitions):
            del self._again_at[partition]
            self._observer.well(_part(partition))

    def forget(self) -> None:
        """They may be another member's from now on."""
        self.well(list(self._again_at))


def _part(partition: TopicPartition) -> str:
    return f"reading {partition.topic}/{partition.partition}"
