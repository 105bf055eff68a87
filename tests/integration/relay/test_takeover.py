"""Partitions are taken one owner after the other, and whatever ends a takeover leaves nothing behind."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.errors import KafkaConnectionError
from aiokafka.structs import OffsetAndMetadata, TopicPartition
from tests.integration.relay.members import Members
from tests.integration.relay.test_promises import emit_to
from tests.integration.relay.waiting import Scene, completed, event, relay, unready_relay
from tests.support import produce

import completion_relay.consumer
import completion_relay.takeover
from completion_relay.journal import Journal
from completion_relay.kafka_probe import KafkaProbe
from completion_relay.lanes import Lanes
from completion_relay.membership import end_member
from completion_relay.service import Relay
from completion_relay.silence import End, NoLeader
from completion_relay.takeover import Takeover
from completion_schemas.dispositions import Disposition

_TURNS = 20
"""Of the event loop: more than a relay needs to drain that has nothing to do."""
_BEATS_OF_A_SESSION = 4
"""A session is three heartbeats long."""


@pytest.fixture
def journals(monkeypatch: pytest.MonkeyPatch) -> list[Journal]:
    """Every journal that is made from now on."""
    made: list[Journal] = []

    class Counted(Journal):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            made.append(self)

    monkeypatch.setattr(completion_relay.takeover, "Journal", Counted)
    return made


def still_open(journals: list[Journal]) -> list[Journal]:
    """Return the journals whose producer or task goes on."""

    def is_open(journal: Journal) -> bool:
        producer: AIOKafkaProducer | None = journal._producer
        writing = journal._writing
        return (producer is not None and not producer._closed) or (
            writing is not None and not writing.done()
        )

    return [journal for journal in journals if is_open(journal)]


@pytest.mark.parametrize("is_heard", [True, False], ids=["told to end", "that does not hear of it"])
async def test_a_stop_during_a_takeover_leaves_no_producer_behind(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, journals: list[Journal], *, is_heard: bool
) -> None:
    """White-box: with what is parked read and the producers open; aiokafka's own ways of ending swallow it."""
    reading, stop = asyncio.Event(), asyncio.Event()
    original = Takeover._parked

    async def slow(self: Takeover, *given: Any) -> Any:
        result = await original(self, *given)
        reading.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if is_heard:
                raise
        return result

    monkeypatch.setattr(Takeover, "_parked", slow)
    running = asyncio.create_task(Relay(scene.settings()).run(stop, on_ready=lambda _: None))
    async with asyncio.timeout(30):
        await reading.wait()
        stop.set()
        await running
    assert journals
    assert still_open(journals) == []


async def test_a_takeover_that_takes_longer_than_a_session_is_finished(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, members: Members
) -> None:
    """Each would be followed by another one: with a million parked nothing was decided any more."""
    beats, is_alive = itertools.count(1), asyncio.Event()
    beat, read = GroupCoordinator._do_heartbeat, Takeover._parked

    async def counted(self: GroupCoordinator) -> bool:
        is_well: bool = await beat(self)
        if is_well and next(beats) == _BEATS_OF_A_SESSION:
            is_alive.set()
        return is_well

    async def slow(self: Takeover, *given: Any) -> Any:
        result = await read(self, *given)
        await is_alive.wait()
        return result

    monkeypatch.setattr(GroupCoordinator, "_do_heartbeat", counted)
    monkeypatch.setattr(Takeover, "_parked", slow)
    async with relay(scene.settings(kafka={"session_timeout_ms": 6_000})):
        await emit_and_wait(scene, 1)
    assert len(members.assignments) == 1


async def test_a_takeover_that_fails_for_one_partition_waits_for_the_others_and_gives_all_back(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, journals: list[Journal]
) -> None:
    """One that went on would fence whoever has its partition by then; then it is tried again."""
    original = Journal.open
    finished: list[TopicPartition] = []
    open_when_failed: list[int] = []

    async def one_fails(self: Journal) -> OffsetAndMetadata | None:
        first = self is journals[0]
        if first and not finished:
            raise KafkaConnectionError("away for a moment")
        result = await original(self)
        finished.append(self._partition)
        return result

    original_close = Journal.close

    async def close(self: Journal, **options: Any) -> None:
        open_when_failed.append(len(finished))
        await original_close(self, **options)

    monkeypatch.setattr(Journal, "open", one_fails)
    monkeypatch.setattr(Journal, "close", close)
    async with relay(scene.settings()):
        _, reference = await scene.waiting()
        at = await scene.emit(event(reference, completed()))
        assert (await scene.decided(at)).disposition is Disposition.APPLIED
    in_a_takeover = 8  # four partitions of two topics
    assert open_when_failed[0] == in_a_takeover - 1
    assert len(journals) == 2 * in_a_takeover
    assert still_open(journals) == []


async def test_a_stop_while_a_takeover_that_failed_gives_back_leaves_no_producer_behind(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, journals: list[Journal]
) -> None:
    """They were closed beside the end of the relay, which did not wait for them."""
    original, stop = Journal.close, asyncio.Event()

    async def fails(*_: object) -> None:
        raise KafkaConnectionError("away for a moment")

    async def close(self: Journal, **options: Any) -> None:
        stop.set()
        await asyncio.wait_for(draining.wait(), 30)
        for _ in range(_TURNS):
            await asyncio.sleep(0)
        await original(self, **options)

    draining = asyncio.Event()
    drain = Lanes.drain
    open_when_it_left: list[list[Journal]] = []

    async def left(consumer: AIOKafkaConsumer[Any, Any]) -> None:
        open_when_it_left.append(still_open(journals))
        await end_member(consumer)

    async def drained(self: Lanes, within: float) -> bool:
        draining.set()
        return await drain(self, within)

    monkeypatch.setattr(Takeover, "_parked", fails)
    monkeypatch.setattr(Journal, "close", close)
    monkeypatch.setattr(Lanes, "drain", drained)
    monkeypatch.setattr(completion_relay.consumer, "end_member", left)
    async with asyncio.timeout(60):
        await Relay(scene.settings()).run(stop, on_ready=lambda _: None)
    assert journals
    assert open_when_it_left == [[]]


async def test_a_takeover_told_to_end_while_it_asks_for_the_ends_goes_no_further(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, journals: list[Journal]
) -> None:
    """A connection's way of ending swallows it; what is parked may take minutes to read."""
    asking, stop = asyncio.Event(), asyncio.Event()
    read: list[object] = []
    original = Takeover._bounds

    async def bounds(self: Takeover, partitions: Any) -> Any:
        found = await original(self, partitions)
        asking.set()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        return found

    original_parked = Takeover._parked

    async def parked(self: Takeover, *given: Any) -> Any:
        read.append(given)
        return await original_parked(self, *given)

    monkeypatch.setattr(Takeover, "_bounds", bounds)
    monkeypatch.setattr(Takeover, "_parked", parked)
    running = asyncio.create_task(Relay(scene.settings()).run(stop, on_ready=lambda _: None))
    async with asyncio.timeout(30):
        await asking.wait()
        stop.set()
        await running
    assert read == []
    assert still_open(journals) == []


async def test_a_takeover_told_to_end_while_it_reads_what_is_parked_reads_no_further(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """White-box: a poll of aiokafka's that keeps the cancellation for itself, and brings nothing."""
    await produce(scene.kafka, scene.topics.parked, b"?", partition=0)
    polling, stop = asyncio.Event(), asyncio.Event()
    polls = itertools.count(1)
    original = AIOKafkaConsumer.getmany

    async def getmany(self: Any, *partitions: Any, **options: Any) -> Any:
        if not partitions:
            return await original(self, **options)
        assert next(polls) == 1, "it reads on"
        polling.set()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        return {}

    monkeypatch.setattr(AIOKafkaConsumer, "getmany", getmany)
    running = asyncio.create_task(Relay(scene.settings()).run(stop, on_ready=lambda _: None))
    async with asyncio.timeout(30):
        await polling.wait()
        stop.set()
        await running
    assert next(polls) == 2


@pytest.fixture
def leaderless(monkeypatch: pytest.MonkeyPatch) -> set[int]:
    """The numbers of the events' partitions that no broker leads, and looks that come soon."""
    numbers: set[int] = set()
    original = KafkaProbe.ends

    async def ends(self: KafkaProbe, partitions: Any, **how: Any) -> dict[TopicPartition, End]:
        found = await original(self, partitions, **how)
        return {
            at: NoLeader() if at.partition in numbers and "." not in at.topic else end
            for at, end in found.items()
        }

    monkeypatch.setattr(KafkaProbe, "ends", ends)
    monkeypatch.setattr(completion_relay.consumer, "_RETAKE_SECONDS", 0.1)
    return numbers


async def emit_and_wait(scene: Scene, partition: int) -> None:
    _, reference = await scene.waiting()
    at = await emit_to(scene, partition, event(reference, completed()))
    assert (await scene.decided(at)).disposition is Disposition.APPLIED


async def test_what_no_broker_leads_is_left_for_later_and_the_others_are_taken(
    scene: Scene, leaderless: set[int], journals: list[Journal]
) -> None:
    """Both of that number: what is parked of it is not known, or where to read on."""
    leaderless.add(0)
    async with unready_relay(scene.settings()):
        await emit_and_wait(scene, 1)
        held = {journal._partition for journal in still_open(journals)}
        assert {at.partition for at in held} == {1, 2, 3}
        leaderless.clear()
        await emit_and_wait(scene, 0)
        await emit_and_wait(scene, 1)
    assert still_open(journals) == []


async def test_a_stop_while_a_partition_is_taken_later_leaves_no_producer_behind(
    scene: Scene, leaderless: set[int], journals: list[Journal], monkeypatch: pytest.MonkeyPatch
) -> None:
    """White-box. Nor may it take the partition from whoever has it by then."""
    leaderless.add(0)
    original, again = Takeover._parked, asyncio.Event()

    async def parked(self: Takeover, starts: Any, ends: Any) -> Any:
        if len(starts) == 2:  # what was left, and its producers have begun
            again.set()
            await asyncio.Event().wait()
        leaderless.clear()
        return await original(self, starts, ends)

    monkeypatch.setattr(Takeover, "_parked", parked)
    stop = asyncio.Event()
    running = asyncio.create_task(Relay(scene.settings()).run(stop, on_ready=lambda _: None))
    async with asyncio.timeout(30):
        await again.wait()
        stop.set()
        await running
    assert still_open(journals) == []


async def test_a_defect_in_a_takeover_ends_the_relay_and_is_not_swallowed(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Swallowed by aiokafka, it would leave a member that has partitions and reads none."""

    async def defect(*_: object, **__: object) -> None:
        raise RuntimeError("a defect")

    monkeypatch.setattr(Takeover, "take", defect)
    with pytest.raises(RuntimeError, match="a defect"):
        async with asyncio.timeout(30):
            await Relay(scene.settings()).run(asyncio.Event(), on_ready=lambda _: None)
