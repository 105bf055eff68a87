"""Room `consumer`: which partitions take records now, and who is told that one is full. Touches aiokafka."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from aiokafka import AIOKafkaConsumer
from aiokafka.structs import TopicPartition

from completion_relay.assigned import Assigned
from completion_relay.observe import Observer

_HEARD = 50
"""Records of one parked partition that are fetched and not begun, while no event is taken."""
_HEARD_BYTES = 4 * 1024 * 1024
"""Of those records, or 50 of the largest were 200 MB a partition. Not less: an instruction behind more
than that is not heard before there is room again."""


class Room:
    """One member's."""

    def __init__(self, parked: str, observer: Observer) -> None:
        """Pause nothing yet.

        Args:
            parked: The topic on which operators' instructions come, too.
            observer: Told how many partitions are full.
        """
        self._parked = parked
        self._observer = observer

    def make(
        self,
        consumer: AIOKafkaConsumer,
        held: Mapping[TopicPartition, Assigned],
        *,
        stop: bool,
        left_alone: Collection[TopicPartition] = (),
    ) -> None:
        """Pause what is full or not taken yet and go on with what is not; asked before every poll.

        Every one, because aiokafka forgets pauses when it rebalances.

        Args:
            consumer: Whose partitions they are.
            held: What is held of them.
            stop: Whether no event is to be taken. An instruction may be what helps: so a little of the
                parked topic is fetched all the same, and not begun.
            left_alone: Of which nothing is to be fetched, whatever there is.
        """
        assigned = consumer.assignment()
        # What is not taken has no position of its own yet: its records would be of no use.
        to_pause = {
            tp for tp in assigned if tp not in held or held[tp].ledger.is_full or tp in left_alone
        }
        if stop:
            to_pause |= {tp for tp in assigned - to_pause if not self._is_heard(held[tp])}
        paused = consumer.paused()
        if to_pause - paused:
            consumer.pause(*(to_pause - paused))
        if paused - to_pause:
            consumer.resume(*(paused - to_pause))

    def _is_heard(self, held: Assigned) -> bool:
        fetched = held.fetched
        return (
            held.partition.topic == self._parked
            and len(fetched) < _HEARD
            and fetched.bytes < _HEARD_BYTES
        )

    def tell(self, held: Iterable[Assigned]) -> None:
        """Tell those who wait where it is full, and the metric."""
        full = 0
        for one in held:
            full += one.ledger.is_full
            one.crowd(is_crowded=one.ledger.is_full)
        self._observer.metrics.paused.labels("window full").set(full)
