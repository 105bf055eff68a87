"""aiokafka's traps (DESIGN.md): what it does in silence that would lose or double events.

Each test needs the handling that it is about: without it, it fails. Traps that
have a test elsewhere are in `relay/PITFALLS.md`. "Held" is as in
`test_promises.py`: an event that waits for an activity which nobody runs yet.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import itertools
import os
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.consumer.fetcher import Fetcher
from aiokafka.errors import KafkaConnectionError, NoOffsetForPartitionError
from aiokafka.structs import ConsumerRecord, OffsetAndMetadata, RecordMetadata, TopicPartition
from tests.integration.relay.members import Members
from tests.integration.relay.process import get
from tests.integration.relay.test_promises import (
    committed,
    emit_to,
    fetched,
    held_activity,
    metric,
    places,
    under_way,
)
from tests.integration.relay.waiting import Scene, completed, event, relay
from tests.support import LARGER_TOPIC_BYTES, Topics, consume_all, create_topics, eventually

import completion_relay.journal
import completion_relay.membership
import completion_relay.settings
from completion_relay.clock import SystemClock
from completion_relay.consumer import Consumer
from completion_relay.entry import Entry
from completion_relay.journal import Journal, LostPartitionError
from completion_relay.ledger import PartitionLedger
from completion_relay.observe import Observer
from completion_relay.offset_map import decode
from completion_relay.takeover import Takeover
from completion_schemas.dispositions import Disposition
from completion_schemas.record import KafkaRecord


@pytest.fixture
def held(scene: Scene) -> Scene:
    """The scene with a task queue that nobody polls: its `worker()` lets the held events go."""
    return dataclasses.replace(scene, task_queue=f"{scene.task_queue}-held")


async def applied(scene: Scene, *, partition: int) -> RecordMetadata:
    """Return the position of an event that has been applied."""
    _, reference = await scene.waiting()
    at = await emit_to(scene, partition, event(reference, completed()))
    assert (await scene.decided(at)).disposition is Disposition.APPLIED
    return at


class Polls:
    """White-box: how often each consumer has been polled to the end."""

    def __init__(self) -> None:
        self.of: dict[AIOKafkaConsumer, int] = {}


@pytest.fixture
def polls(monkeypatch: pytest.MonkeyPatch) -> Polls:
    seen = Polls()

    class Counting(AIOKafkaConsumer):  # type: ignore[misc]
        async def getmany(self, **how: Any) -> dict[TopicPartition, list[ConsumerRecord]]:
            batches: dict[TopicPartition, list[ConsumerRecord]] = await super().getmany(**how)
            seen.of[self] = seen.of.get(self, 0) + 1
            return batches

    monkeypatch.setattr(completion_relay.membership, "AIOKafkaConsumer", Counting)
    return seen


async def test_a_position_that_is_not_set_yet_costs_no_other_partition_its_records(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """White-box: a poll drains one partition, then raises for another which has no position.

    That one error does not end the membership: the listener has not come to the partition yet.
    """
    dropped: list[TopicPartition] = []

    class Dropping(AIOKafkaConsumer):  # type: ignore[misc]
        async def getmany(self, **how: Any) -> dict[TopicPartition, list[ConsumerRecord]]:
            batches: dict[TopicPartition, list[ConsumerRecord]] = await super().getmany(**how)
            if batches and not dropped:
                dropped.extend(batches)
                raise NoOffsetForPartitionError(*batches)
            return batches

    monkeypatch.setattr(completion_relay.membership, "AIOKafkaConsumer", Dropping)
    async with relay(scene.settings()):
        positions = [await applied(scene, partition=0)]
    assert [partition.partition for partition in dropped] == [0]
    assert places(await scene.audit()) == places(positions)


@pytest.mark.usefixtures("nobody_gives_way")
async def test_a_partition_that_was_full_is_paused_again_after_a_rebalance(
    scene: Scene, held: Scene, members: Members
) -> None:
    """Pauses are forgotten by aiokafka; the window of three is used up by what it delivers again."""
    handle, reference = await held_activity(held)
    full = {TopicPartition(scene.topics.completions, 0)}
    undecided = f'completion_relay_uncommitted{{partition="0",topic="{scene.topics.completions}"}}'
    settings = scene.settings(relay={"window": 3, "drain_timeout": 0.1, "early_timeout": 60.0})

    async with relay(settings) as http:
        positions = [await emit_to(scene, 0, event(reference, completed())) for _ in range(3)]
        await eventually(lambda: members.paused == full, what="a paused partition")
        members.rejoin()
        await members.assigned(2)

        async def has_them_again() -> bool:
            return await metric(http, undecided) == 3 and members.paused == full

        await eventually(has_them_again, what="a partition that is paused again")
        positions.append(await emit_to(scene, 0, event(reference, completed())))
        # What comes later on another partition is decided, so the fourth was passed over.
        positions.append(await applied(scene, partition=1))
        assert (await metric(http, undecided), await fetched(http, scene, 0)) == (3, 0)
        assert members.paused == full
        async with held.worker():
            await handle.result()
            for at in positions:
                await scene.decided(at)
    assert places(await scene.audit()) == places(positions)


async def test_what_is_delivered_again_after_a_rebalance_is_decided_once(
    scene: Scene, held: Scene, members: Members
) -> None:
    """The held event is left undecided, the one behind it is settled: both are delivered again."""
    handle, reference = await held_activity(held)
    settings = scene.settings(relay={"drain_timeout": 0.1, "early_timeout": 60.0})
    async with relay(settings) as http:
        first = await emit_to(scene, 0, event(reference, completed(b'"held"')))
        second = await applied(scene, partition=0)
        members.rejoin()
        await members.assigned(2)
        third = await applied(scene, partition=0)
        assert await committed(scene) == {0: first.offset}
        await under_way(http, 1)  # the first one, not a second time beside itself
        async with held.worker():
            assert await handle.result() == "held"
            await scene.decided(first)
    assert places(await scene.audit()) == places([first, second, third])
    assert await committed(scene) == {0: third.offset + 1}


async def test_what_was_settled_ahead_is_known_to_the_next_relay(scene: Scene, held: Scene) -> None:
    """It stands in the metadata of the commit, which aiokafka's `committed()` leaves out."""
    handle, reference = await held_activity(held)
    settings = scene.settings(relay={"drain_timeout": 0.1, "early_timeout": 60.0})
    async with relay(settings):
        first = await emit_to(scene, 0, event(reference, completed()))
        second = await applied(scene, partition=0)
    assert await committed(scene) == {0: first.offset}
    async with relay(settings), held.worker():
        await handle.result()
        await scene.decided(first)
        third = await applied(scene, partition=0)
    assert places(await scene.audit()) == places([first, second, third])


@dataclasses.dataclass
class Told:
    """What the journals of a test said."""

    wrote_: int = 0
    failed_: list[BaseException] = dataclasses.field(default_factory=list)
    held_: str = ""
    lost_: asyncio.Event = dataclasses.field(default_factory=asyncio.Event)

    def wrote(self, _partition: TopicPartition, _seconds: float) -> None:
        self.wrote_ += 1

    def failed(self, _partition: TopicPartition, error: BaseException) -> None:
        self.failed_.append(error)

    def holds(self, _partition: TopicPartition, what: str) -> None:
        self.held_ = what

    def lost(self, _partition: TopicPartition, _error: LostPartitionError) -> None:
        self.lost_.set()

    def closed(self, _partition: TopicPartition) -> None:
        pass


@dataclasses.dataclass
class Owner:
    """A journal of partition 0, and how far the group had come when it took the partition."""

    journal: Journal
    found: OffsetAndMetadata | None
    told: Told
    topics: Topics

    def decide(self, offset: int) -> asyncio.Event:
        """Have a record decided; return what is set when that is durable."""
        durable = asyncio.Event()
        record = KafkaRecord(None, b"decided %d" % offset, ())
        self.journal.add(Entry(offset, ((self.topics.audit, record),), durable.set))
        return durable


@contextlib.asynccontextmanager
async def owner(kafka: str, topics: Topics, *, begin: int) -> AsyncIterator[Owner]:
    """Take partition 0 of the completions, and be about to decide three records from `begin` on."""
    partition = TopicPartition(topics.completions, 0)
    told = Told()
    async with AIOKafkaConsumer(
        bootstrap_servers=kafka, group_id=topics.completions, enable_auto_commit=False
    ) as reader:

        async def read() -> OffsetAndMetadata | None:
            offset = (await reader._coordinator.fetch_committed_offsets([partition])).get(partition)
            return None if offset is None or offset.offset < 0 else offset

        journal = Journal(
            {"bootstrap_servers": kafka},
            group=topics.completions,
            partition=partition,
            interval=0.01,
            clock=SystemClock(),
            committed=read,
            observer=told,
        )
        found = await journal.open()
        ledger = PartitionLedger(epoch=1, window=10, window_bytes=10**9, begin=begin)
        for offset in range(begin, begin + 3):
            ledger.receive(offset, size=1, at=0.0)
        journal.begin(ledger)
        try:
            yield Owner(journal, found, told, topics)
        finally:
            await journal.close(within=1.0)


async def written(kafka: str, topics: Topics) -> list[bytes | None]:
    """Return what the audit topic holds for a reader of committed records."""
    return [record.value for record in await consume_all(kafka, topics.audit)]


async def test_whoever_had_a_partition_before_can_neither_write_nor_commit(
    kafka_address: str, topics: Topics
) -> None:
    """A relay that was frozen wakes up: its commit would move the group's offset back."""
    async with owner(kafka_address, topics, begin=0) as frozen:
        await frozen.decide(0).wait()
        async with owner(kafka_address, topics, begin=1) as now:
            assert now.found is not None
            assert now.found.offset == 1
            await now.decide(1).wait()
            await now.decide(2).wait()
            late = frozen.decide(1)
            await asyncio.wait_for(frozen.told.lost_.wait(), 30)
            assert not late.is_set()
    async with owner(kafka_address, topics, begin=3) as after:
        assert after.found is not None
        assert after.found.offset == 3
    assert await written(kafka_address, topics) == [b"decided 0", b"decided 1", b"decided 2"]


async def test_what_a_topic_refuses_is_not_settled_and_what_came_with_it_is(
    kafka_address: str, topics: Topics
) -> None:
    """By itself, aiokafka would commit the transaction without the dead letter or parked record."""
    async with owner(kafka_address, topics, begin=0) as one:
        too_large = KafkaRecord(None, os.urandom(LARGER_TOPIC_BYTES), ())
        one.journal.add(Entry(0, ((topics.parked, too_large),), lambda: None))
        beside = one.decide(1)
        await asyncio.wait_for(beside.wait(), 60)
        held = await eventually(lambda: one.told.held_, what="what is put aside")
        assert topics.parked in held
    assert await written(kafka_address, topics) == [b"decided 1"]
    async with owner(kafka_address, topics, begin=0) as after:
        assert after.found is not None
        assert after.found.offset == 0
        assert decode(0, after.found.metadata) == [range(1, 2)]


async def test_a_commit_that_hangs_is_given_up_and_made_again(
    kafka_address: str, topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    """White-box: aiokafka repeats it without end when there is no coordinator."""
    monkeypatch.setattr(completion_relay.journal, "_TRANSACTION_SECONDS", 1.0)
    hanging = itertools.chain([True], itertools.repeat(False))
    original = AIOKafkaProducer.send_offsets_to_transaction

    async def once_for_ever(self: AIOKafkaProducer, *given: Any) -> None:
        if next(hanging):
            # The next one may take its time, on a machine that stands still.
            monkeypatch.setattr(completion_relay.journal, "_TRANSACTION_SECONDS", 60.0)
            await asyncio.Event().wait()
        await original(self, *given)

    monkeypatch.setattr(AIOKafkaProducer, "send_offsets_to_transaction", once_for_ever)
    async with owner(kafka_address, topics, begin=0) as one:
        await asyncio.wait_for(one.decide(0).wait(), 60)
        assert {type(error) for error in one.told.failed_} == {TimeoutError}
    assert await written(kafka_address, topics) == [b"decided 0"]


async def test_a_poll_that_never_returns_is_given_up(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """White-box: `getmany` waits for an assignment for ever, whatever its time-out."""
    hung: list[AIOKafkaConsumer] = []

    class Hanging(AIOKafkaConsumer):  # type: ignore[misc]
        async def getmany(self, **how: Any) -> dict[TopicPartition, list[ConsumerRecord]]:
            if not hung:
                hung.append(self)
            if self in hung:
                await asyncio.Event().wait()
            return await super().getmany(**how)  # type: ignore[no-any-return]

    monkeypatch.setattr(completion_relay.membership, "AIOKafkaConsumer", Hanging)
    # A poll has as long as a rebalance, and this test does not wait for more than it must.
    monkeypatch.setattr(completion_relay.settings, "CLOSING_SECONDS", 0.0)
    settings = scene.settings(
        kafka={"session_timeout_ms": 6_000, "rebalance_timeout_ms": 5_000},
        relay={"drain_timeout": 1.0},
    )
    async with relay(settings):
        await applied(scene, partition=0)
    assert len(hung) == 1


async def test_a_fetcher_that_has_died_is_noticed_and_a_new_member_goes_on(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """White-box: a defect ends aiokafka's fetcher, and polls bring nothing any more, without a word."""
    dying = asyncio.Event()
    original = Fetcher._get_actions_per_node

    def trips(self: Fetcher, assignment: Any) -> Any:
        if dying.is_set():
            dying.clear()
            raise AssertionError("as it does for a second error of one partition")
        return original(self, assignment)

    monkeypatch.setattr(Fetcher, "_get_actions_per_node", trips)
    async with relay(scene.settings()) as http:
        await applied(scene, partition=0)
        dying.set()

        async def is_named() -> bool:
            return "fetcher has ended" in (await get(f"http://{http}/readyz"))[1]

        await eventually(is_named, what="readiness that names the fetcher")
        await applied(scene, partition=0)
    assert not dying.is_set()


async def test_a_member_without_partitions_is_polled_and_takes_over(
    scene: Scene, members: Members, polls: Polls
) -> None:
    """One that is not polled leaves the group in the end, and nobody tells it of errors."""
    topics = Topics.unique()
    await create_topics(scene.kafka, dataclasses.astuple(topics), partitions=1)
    scene = dataclasses.replace(scene, topics=topics)
    async with contextlib.AsyncExitStack() as one, contextlib.AsyncExitStack() as other:
        await one.enter_async_context(relay(scene.settings()))
        first = members.assignments[0][0]
        await other.enter_async_context(relay(scene.settings()))

        def idle() -> Consumer | None:
            latest = dict(members.assignments)
            without = [member for member, given in latest.items() if not given]
            return without[0] if len(latest) == 2 and without else None

        member = await eventually(idle, timeout=60, what="a member without partitions")
        consumer = member._consumer
        before = polls.of.get(consumer, 0)
        await eventually(lambda: polls.of.get(consumer, 0) >= before + 3, what="polls")
        await applied(scene, partition=0)
        await (other if member is first else one).aclose()
        await applied(scene, partition=0)
    assert polls.of[consumer] > before


@pytest.mark.usefixtures("nobody_gives_way")
async def test_a_member_whose_partitions_are_all_paused_is_polled(
    scene: Scene, held: Scene, members: Members, polls: Polls
) -> None:
    activities = [await held_activity(held) for _ in range(4)]
    full = {TopicPartition(scene.topics.completions, number) for number in range(4)}
    settings = scene.settings(
        relay={"window": 1, "early_timeout": 60.0, "drain_timeout": 0.1, "stuck_after": 0.5}
    )
    async with relay(settings) as http:
        for partition, (_, reference) in enumerate(activities):
            await emit_to(scene, partition, event(reference, completed()))

        await eventually(lambda: members.paused == full, what="four paused partitions")
        before = sum(polls.of.values())
        await eventually(lambda: sum(polls.of.values()) >= before + 3, what="polls")
        assert members.paused == full

        async def says_so() -> bool:
            return "stuck" in (await get(f"http://{http}/readyz"))[1]

        await eventually(says_so, what="readiness that says what is stuck")


async def test_a_takeover_that_fails_ends_the_membership_and_is_tried_anew(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """White-box: nobody waits for it, and the member would do nothing for ever."""
    by: list[AIOKafkaConsumer] = []
    original = Takeover.take

    async def fails_once(
        self: Takeover, consumer: AIOKafkaConsumer, *given: Any, **how: Any
    ) -> Any:
        by.append(consumer)
        if len(by) == 1:
            raise KafkaConnectionError("no coordinator")
        return await original(self, consumer, *given, **how)

    monkeypatch.setattr(Takeover, "take", fails_once)
    async with relay(scene.settings()):
        await applied(scene, partition=0)
    assert by[0] is not by[-1]


async def test_a_group_that_is_new_begins_with_the_oldest_event(scene: Scene) -> None:
    """The default of aiokafka is `latest`."""
    _, reference = await scene.waiting()
    at = await emit_to(scene, 0, event(reference, completed()))
    async with relay(scene.settings()):
        assert (await scene.decided(at)).disposition is Disposition.APPLIED


async def test_events_that_kafka_deleted_are_told_and_the_oldest_there_is_comes_next(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By itself aiokafka would go to the end, or the beginning, with a line at INFO."""
    told: list[str] = []

    def passed_over(_self: Observer, topic: str, partition: int, deleted: str) -> None:
        told.append(f"{topic}/{partition}: {deleted}")

    monkeypatch.setattr(Observer, "passed_over", passed_over)
    async with relay(scene.settings()):
        first = await applied(scene, partition=0)
    waiting = [await scene.waiting() for _ in range(2)]
    gone, kept = [
        await emit_to(scene, 0, event(reference, completed())) for _, reference in waiting
    ]
    partition = TopicPartition(scene.topics.completions, 0)
    admin = AIOKafkaAdminClient(bootstrap_servers=scene.kafka)
    await admin.start()
    try:
        await admin.delete_records({partition: RecordsToDelete(before_offset=kept.offset)})
    finally:
        await admin.close()
    async with relay(scene.settings()):
        await scene.decided(kept)
    assert places(await scene.audit()) == places([first, kept])
    (deleted,) = told
    assert deleted.startswith(
        f"{scene.topics.completions}/0: records {gone.offset} to {gone.offset}, or transaction markers"
    )
