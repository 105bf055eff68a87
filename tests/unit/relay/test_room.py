"""Which partitions take records: none that is full, and in an outage only what an operator may have to say."""

from __future__ import annotations

from typing import Any, cast

import pytest
from aiokafka.structs import TopicPartition
from tests.unit.relay.fakes import fetched
from tests.unit.relay.workbench import PARTITION, TOPICS, Bench

from completion_relay.assigned import Assigned
from completion_relay.ledger import PartitionLedger
from completion_relay.room import Room

EVENTS = TopicPartition(TOPICS.completions, PARTITION)
PARKED = TopicPartition(TOPICS.parked, PARTITION)


class Pausing:
    """Knows what is paused, as aiokafka's consumer does."""

    def __init__(self) -> None:
        self._paused: set[TopicPartition] = set()

    def assignment(self) -> set[TopicPartition]:
        return {EVENTS, PARKED}

    def paused(self) -> set[TopicPartition]:
        return set(self._paused)

    def pause(self, *partitions: TopicPartition) -> None:
        self._paused |= set(partitions)

    def resume(self, *partitions: TopicPartition) -> None:
        self._paused -= set(partitions)

    def rebalance(self) -> None:
        """Be given the same partitions anew: none of them is paused any more, without a word."""
        self._paused.clear()


class Rooms:
    """A member with the two partitions of a number."""

    def __init__(self, *, window: int = 1) -> None:
        bench = Bench()
        self.consumer = Pausing()
        self.held: dict[TopicPartition, Assigned] = {}
        for partition in (EVENTS, PARKED):
            bench.ledgers[partition.topic] = PartitionLedger(
                epoch=1, window=window, window_bytes=10, begin=0
            )
            self.held[partition] = bench.held(partition.topic)
        self._room = Room(TOPICS.parked, bench.observer)

    def paused(self, *, stop: bool = False) -> set[TopicPartition]:
        self._room.make(cast("Any", self.consumer), self.held, stop=stop)
        return self.consumer.paused()

    def is_crowded(self, partition: TopicPartition) -> bool:
        """Tell all of them, and return whether what waits in this one knows that it holds up others."""
        self._room.tell(self.held.values())
        return self.held[partition].place.crowded.is_set()


def test_a_partition_that_is_full_is_paused_until_there_is_room() -> None:
    rooms = Rooms()
    assert rooms.paused() == set()
    ledger = rooms.held[EVENTS].ledger
    ledger.receive(0, size=1, at=0.0)
    assert rooms.paused() == {EVENTS}
    ledger.settle(0)
    assert rooms.paused() == set()


def test_a_partition_that_is_not_taken_yet_stays_paused() -> None:
    """It stands at no position of the group's: what it brought would be of no use, or out of range."""
    rooms = Rooms()
    held = rooms.held.pop(EVENTS)
    assert rooms.paused() == {EVENTS}
    assert rooms.paused(stop=True) == {EVENTS}
    rooms.held[EVENTS] = held
    assert rooms.paused() == set()


def test_a_partition_whose_bytes_are_used_up_is_paused_and_what_waits_there_is_told() -> None:
    rooms = Rooms(window=1_000)
    held = rooms.held[EVENTS]
    held.ledger.receive(0, size=9, at=0.0)
    assert rooms.paused() == set()
    assert not rooms.is_crowded(EVENTS)
    held.ledger.receive(1, size=1, at=0.0)
    assert rooms.paused() == {EVENTS}
    assert rooms.is_crowded(EVENTS)


@pytest.mark.parametrize("why", ["full", "outage"])
def test_what_a_rebalance_has_let_go_is_paused_again(why: str) -> None:
    rooms = Rooms()
    if why == "full":
        rooms.held[EVENTS].ledger.receive(0, size=1, at=0.0)
    assert rooms.paused(stop=why == "outage") == {EVENTS}
    rooms.consumer.rebalance()
    assert rooms.consumer.paused() == set()
    assert rooms.paused(stop=why == "outage") == {EVENTS}


def test_in_an_outage_no_event_is_taken_and_operators_are_heard() -> None:
    rooms = Rooms()
    assert rooms.paused(stop=True) == {EVENTS}
    assert rooms.paused() == set()


def test_in_an_outage_little_of_the_parked_topic_is_fetched() -> None:
    rooms = Rooms()
    rooms.held[PARKED].fetched.extend(fetched(range(1_000)))
    assert rooms.paused(stop=True) == {EVENTS, PARKED}


def test_in_an_outage_few_large_events_of_the_parked_topic_are_enough() -> None:
    rooms = Rooms()
    rooms.held[PARKED].fetched.extend(fetched([0], value=bytes(4 * 1024 * 1024)))
    assert rooms.paused(stop=True) == {EVENTS, PARKED}


def test_in_an_outage_a_full_parked_partition_stays_paused() -> None:
    rooms = Rooms()
    rooms.held[PARKED].ledger.receive(0, size=1, at=0.0)
    assert rooms.paused(stop=True) == {EVENTS, PARKED}
