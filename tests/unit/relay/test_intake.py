# ruff: noqa: ARG002 - as the real ones are called
"""Which fetched records are begun when."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, cast

import pytest
from aiokafka.structs import TopicPartition
from tests.unit.relay.fakes import VirtualClock, fetched

from completion_relay.assigned import Assigned
from completion_relay.decision import Delivery
from completion_relay.intake import ENOUGH, ENOUGH_BYTES, Intake, TopicWasResetError
from completion_relay.journal import Journal
from completion_relay.lanes import Lane
from completion_relay.ledger import PartitionLedger
from completion_relay.parking import Order
from completion_relay.work import Workshop

PLENTY = 60.0
"""Seconds that no test needs."""


class HeldWork:
    """Work that goes on until it is let go; a lane of its own for every record."""

    def __init__(self, shop: HeldWorkshop, delivery: Delivery) -> None:
        self._shop = shop
        self.lane = (delivery.partition, delivery.offset)

    async def __call__(self, lane: Lane) -> None:
        self._shop.begun.append(self.lane)
        self._shop.news.set()
        await self._shop.gates.setdefault(self.lane, asyncio.Event()).wait()


class HeldWorkshop:
    """Knows what was begun, and lets it go."""

    def __init__(self) -> None:
        self.begun: list[tuple[int, int]] = []
        self.gates: dict[tuple[int, int], asyncio.Event] = {}
        self.news = asyncio.Event()

    def work_for(self, delivery: Delivery, held: Assigned) -> HeldWork:
        return HeldWork(self, delivery)

    async def until_begun(self, count: int) -> None:
        async with asyncio.timeout(PLENTY):
            while len(self.begun) < count:
                self.news.clear()
                await self.news.wait()


class Case:
    """An intake, with as much room as the test says."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.shop = HeldWorkshop()
        self.errors: list[TopicWasResetError] = []
        self.intake = Intake(
            cast("Workshop", self.shop),
            room=lambda: self.room - len(self.intake.lanes) + self.intake.lanes.starting,
            on_error=self.errors.append,
            clock=VirtualClock(),
        )

    def fetched(
        self,
        partition: int,
        offsets: Iterable[int],
        *,
        window: int = 1_000,
        window_bytes: int = 10**9,
        value: bytes = b"v",
    ) -> Assigned:
        held = Assigned(
            TopicPartition("completions", partition),
            PartitionLedger(epoch=1, window=window, window_bytes=window_bytes, begin=0),
            cast("Journal", None),
            Order(),
        )
        self.intake.take(held, fetched(offsets, partition=partition, value=value))
        return held

    async def ends(self, lane: tuple[int, int]) -> None:
        """Let one record's work end, and the loop come to what follows from that."""
        self.shop.gates.setdefault(lane, asyncio.Event()).set()
        before = len(self.shop.begun)
        await self.shop.until_begun(before + 1)


@pytest.fixture
async def cases() -> Any:
    made: list[Case] = []

    def case(room: int) -> Case:
        made.append(Case(room))
        return made[-1]

    yield case
    for one in made:
        one.intake.forget()
        await one.intake.lanes.drain(0.0)


async def test_no_more_is_begun_than_there_is_room_for(cases: Any) -> None:
    case = cases(2)
    held = case.fetched(0, range(5))
    case.intake.begin()
    await case.shop.until_begun(2)
    assert case.shop.begun == [(0, 0), (0, 1)]
    assert (held.ledger.undecided, len(held.fetched)) == (2, 3)


async def test_what_ends_makes_room_for_the_next_by_itself(cases: Any) -> None:
    case = cases(1)
    case.fetched(0, range(3))
    case.intake.begin()
    await case.shop.until_begun(1)
    await case.ends((0, 0))
    assert case.shop.begun == [(0, 0), (0, 1)]


async def test_what_only_queues_keeps_back_nobody_until_the_next_poll(cases: Any) -> None:
    """Events of a sick namespace leave the room that they were given for those of others."""
    case = cases(2)
    case.fetched(0, range(9))
    # All that has begun only queues, so there is room for two again.
    case.intake._room = lambda: 2 + case.intake.lanes.starting
    case.intake.begin()
    await case.shop.until_begun(9)


async def test_the_partitions_take_turns(cases: Any) -> None:
    case = cases(4)
    case.fetched(0, range(9))
    case.fetched(1, range(9))
    case.intake.begin()
    await case.shop.until_begun(4)
    assert case.shop.begun == [(0, 0), (1, 0), (0, 1), (1, 1)]


async def test_a_partition_that_is_full_keeps_back_no_other(cases: Any) -> None:
    case = cases(9)
    full = case.fetched(0, range(5), window=2)
    case.fetched(1, range(3))
    case.intake.begin()
    await case.shop.until_begun(5)
    assert sorted(case.shop.begun) == [(0, 0), (0, 1), (1, 0), (1, 1), (1, 2)]
    assert len(full.fetched) == 3


async def test_no_more_is_begun_of_a_partition_than_its_window_has_bytes_and_all_in_the_end(
    cases: Any,
) -> None:
    """Three of 10 bytes reach the 25; the last one, of 31, is taken where two of 10 are undecided."""
    case = cases(99)
    held = case.fetched(0, range(6), window_bytes=25, value=bytes(9))
    case.intake.take(held, fetched([6], value=bytes(30)))
    case.intake.begin()
    for begun, settled in ((3, 0), (4, 1), (5, 2), (6, 3), (7, 4)):
        await case.shop.until_begun(begun)
        assert case.shop.begun == [(0, offset) for offset in range(begun)]
        held.ledger.settle(settled)
        case.intake.begin()
    assert (len(held.fetched), held.fetched.bytes) == (0, 0)


async def test_one_event_that_is_larger_than_the_window_is_begun(cases: Any) -> None:
    case = cases(99)
    case.fetched(0, range(2), window_bytes=25, value=bytes(100))
    case.intake.begin()
    await case.shop.until_begun(1)
    assert case.shop.begun == [(0, 0)]


async def test_a_partition_that_was_full_is_gone_on_with(cases: Any) -> None:
    case = cases(9)
    held = case.fetched(0, range(2), window=1)
    case.intake.begin()
    await case.shop.until_begun(1)
    held.ledger.settle(0)
    await case.ends((0, 0))
    assert case.shop.begun == [(0, 0), (0, 1)]


async def test_what_a_former_owner_settled_is_not_begun(cases: Any) -> None:
    case = cases(9)
    held = Assigned(
        TopicPartition("completions", 0),
        PartitionLedger(
            epoch=1, window=9, window_bytes=10**9, begin=0, settled_ahead=[range(1, 3)]
        ),
        cast("Journal", None),
        Order(),
    )
    case.intake.take(held, fetched(range(4)))
    case.intake.begin()
    await case.shop.until_begun(2)
    assert case.shop.begun == [(0, 0), (0, 3)]


async def test_a_record_that_was_delivered_before_is_an_error_and_ends_the_intake(
    cases: Any,
) -> None:
    """The topic was made anew: these are other records under the same offsets."""
    case = cases(9)
    held = case.fetched(0, [5])
    case.intake.take(held, fetched([3, 6]))
    case.intake.begin()
    await case.shop.until_begun(1)
    assert [str(error) for error in case.errors] == ["TopicWasResetError: completions/0/3"]
    case.intake.begin()
    assert case.shop.begun == [(0, 5)]


async def test_what_is_forgotten_is_not_begun(cases: Any) -> None:
    case = cases(1)
    case.fetched(0, range(3))
    case.intake.begin()
    await case.shop.until_begun(1)
    case.intake.forget()
    case.room = 9
    case.intake.begin()
    assert len(case.intake.lanes) == 1


async def test_enough_is_told_by_what_is_fetched_and_not_begun(cases: Any) -> None:
    case = cases(1)
    case.fetched(0, range(ENOUGH))
    assert case.intake.has_enough
    case.intake.begin()
    assert not case.intake.has_enough


async def test_large_records_are_enough_by_their_bytes(cases: Any) -> None:
    case = cases(1)
    held = case.fetched(0, range(8), value=bytes(ENOUGH_BYTES // 8 - 1))
    assert (held.fetched.bytes, case.intake.has_enough) == (ENOUGH_BYTES, True)
    case.intake.begin()
    assert not case.intake.has_enough


async def test_what_full_partitions_hold_is_no_reason_to_fetch_nothing_of_the_others(
    cases: Any,
) -> None:
    case = cases(9)
    full = [case.fetched(partition, range(ENOUGH), window=1) for partition in range(2)]
    case.intake.begin()
    await case.shop.until_begun(2)
    assert [len(held.fetched) for held in full] == [ENOUGH - 1, ENOUGH - 1]
    assert not case.intake.has_enough
    case.fetched(2, range(ENOUGH))
    assert case.intake.has_enough


async def test_work_that_is_cancelled_before_it_began_takes_no_room(cases: Any) -> None:
    case = cases(3)
    case.fetched(0, range(3))
    case.intake.begin()
    assert case.intake.lanes.starting == 3
    case.intake.forget()
    tasks = set(case.intake.lanes._tasks)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    assert (case.intake.lanes.starting, len(case.intake.lanes), case.shop.begun) == (0, 0, [])
