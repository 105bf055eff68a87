"""What becomes of a partition's records: one transaction, again after a failure, never twice, never as another's.

The producer here is a script of what Kafka does to transactions; on real brokers the
same is shown by tests/integration/relay/test_promises.py, test_parking.py and tests/chaos.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiokafka.errors import KafkaError, MessageSizeTooLargeError, ProducerFenced
from aiokafka.structs import OffsetAndMetadata, TopicPartition
from tests.support import eventually
from tests.unit.relay.fakes import ManualClock

import completion_relay.journal
from completion_relay.entry import Entry
from completion_relay.journal import Journal, LostPartitionError
from completion_relay.ledger import PartitionLedger
from completion_relay.offset_map import decode
from completion_schemas.record import KafkaRecord

PARTITION = TopicPartition("completions", 3)
PLENTY = 60.0
"""Seconds that no test needs."""
SOON = 0.0
NEVER = 3_600.0
"""An interval that no test lives to see."""
HALF_A_WINDOW = 50
"""Bytes; the records 10 to 19 have one each."""


class Batch:
    """As aiokafka's builder, with room for two records."""

    def __init__(self) -> None:
        self.records: list[bytes] = []

    def append(self, *, value: bytes, **_: object) -> object:
        if len(self.records) == 2:
            return None
        self.records.append(value)
        return object()

    def close(self) -> None:
        pass


@dataclass
class Kafka:
    """What is durable, and what it is going to do to commits."""

    committed: OffsetAndMetadata | None = None
    topics: dict[str, list[bytes]] = field(default_factory=dict)
    commits: list[str] = field(default_factory=list)
    """What each commit comes to: `ok`, `fails`, `answer lost`, `fenced`; `ok` when there is none."""
    refuses: list[str] = field(default_factory=list)
    """Topics that do not take the next batch."""
    largest: dict[str, int] = field(default_factory=dict)
    """Bytes that a topic takes at most, where it has such a limit."""
    happened: list[str] = field(default_factory=list)
    owner: object = None
    before_commit: Callable[[], Awaitable[None]] | None = None

    async def read_committed(self) -> OffsetAndMetadata | None:
        self.happened.append("read")
        return self.committed

    def producer(self, **_: object) -> Producer:
        return Producer(self)


class Producer:
    """A transactional producer, as far as the journal knows it."""

    def __init__(self, kafka: Kafka) -> None:
        self._kafka = kafka
        self._sent: list[tuple[str, Batch]] = []
        self.offsets: dict[TopicPartition, OffsetAndMetadata] = {}
        self.is_stopped = False

    async def start(self) -> None:
        self._kafka.happened.append("fence")
        self._kafka.owner = self

    async def stop(self) -> None:
        self.is_stopped = True

    async def begin_transaction(self) -> None:
        self._sent, self.offsets = [], {}

    def create_batch(self) -> Batch:
        return Batch()

    async def partitions_for(self, _: str) -> set[int]:
        return {0, 1, 2, 3}

    async def send_batch(self, batch: Batch, topic: str, *, partition: int) -> asyncio.Future[Any]:
        assert partition == PARTITION.partition
        sent: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if topic in self._kafka.refuses:
            self._kafka.refuses.remove(topic)
            sent.set_exception(KafkaError("not authorized"))
        elif max(map(len, batch.records)) > self._kafka.largest.get(topic, 1_000):
            sent.set_exception(MessageSizeTooLargeError())
        else:
            self._sent.append((topic, batch))
            sent.set_result(None)
        return sent

    async def send_offsets_to_transaction(
        self, offsets: dict[TopicPartition, OffsetAndMetadata], group: str
    ) -> None:
        assert group == "g"
        self.offsets = offsets

    async def commit_transaction(self) -> None:
        kafka = self._kafka
        if kafka.before_commit is not None:
            await kafka.before_commit()
        comes_to = kafka.commits.pop(0) if kafka.commits else "ok"
        if comes_to == "fenced" or kafka.owner is not self:
            raise ProducerFenced
        if comes_to == "fails":
            raise KafkaError("the coordinator has moved")
        for topic, batch in self._sent:
            kafka.topics.setdefault(topic, []).extend(batch.records)
        kafka.committed = self.offsets[PARTITION]
        if comes_to == "answer lost":
            raise KafkaError("connection lost")


class Watch:
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.errors: list[BaseException] = []
        self.held = ""
        self.news = asyncio.Event()

    def wrote(self, partition: TopicPartition, seconds: float) -> None:
        assert partition == PARTITION
        assert seconds >= 0
        self._note("wrote")

    def failed(self, partition: TopicPartition, error: BaseException) -> None:
        assert partition == PARTITION
        self.errors.append(error)
        self._note("failed")

    def holds(self, partition: TopicPartition, what: str) -> None:
        assert partition == PARTITION
        self.held = what
        self._note("holds" if what else "holds nothing")

    def lost(self, partition: TopicPartition, error: LostPartitionError) -> None:
        assert partition == PARTITION
        self.errors.append(error)
        self._note("lost")

    def closed(self, partition: TopicPartition) -> None:
        assert partition == PARTITION
        self._note("closed")

    def _note(self, what: str) -> None:
        self.told.append(what)
        self.news.set()

    async def until(self, *told: str) -> None:
        """Wait until it was told all of that, in that order, and nothing else."""
        try:
            async with asyncio.timeout(PLENTY):
                while self.told != list(told):
                    self.news.clear()
                    await self.news.wait()
        except TimeoutError:
            raise AssertionError(f"expected {told}, was told {self.told}") from None


@dataclass
class Stage:
    """A journal that writes, with its ledger."""

    kafka: Kafka
    watch: Watch
    clock: ManualClock
    journal: Journal
    ledger: PartitionLedger
    durable: list[int] = field(default_factory=list)
    done_again: list[int] = field(default_factory=list)
    decided_by_now: set[int] = field(default_factory=set)

    def add_letter(self, offset: int, size: int) -> None:
        """Add what a dead letter of that size leaves behind."""
        letter, audit = KafkaRecord(None, bytes(size), ()), KafkaRecord(None, b"%d" % offset, ())
        self.journal.add(
            Entry(offset, (("dlq", letter), ("audit", audit)), lambda: self.durable.append(offset))
        )

    def add_copy(self, offset: int, size: int) -> None:
        """Add what an event leaves behind that is to be parked; again each time that is undone."""

        def again() -> None:
            self.done_again.append(offset)
            if offset in self.decided_by_now:
                self.add(offset)
            else:
                self.add_copy(offset, size)

        record = KafkaRecord(None, bytes(size), ())
        told = lambda: self.durable.append(offset)  # noqa: E731 - as the others
        self.journal.add(Entry(offset, (("parked", record),), told, again))

    @contextlib.asynccontextmanager
    async def time_flies(self) -> AsyncIterator[None]:
        """Let a second pass whenever somebody waits for that."""

        async def fly() -> None:
            while True:
                await self.clock.until_pending(1)
                self.clock.advance(1.0)
                await asyncio.sleep(0)  # another timer may be pending: then nothing else would run

        flying = asyncio.create_task(fly())
        try:
            yield
        finally:
            flying.cancel()

    def add(self, *offsets: int, topic: str = "audit") -> None:
        for offset in offsets:
            record = KafkaRecord(None, b"%d" % offset, ())
            self.journal.add(
                Entry(offset, ((topic, record),), lambda at=offset: self.durable.append(at))  # type: ignore[misc]
            )


Opens = Callable[..., Awaitable[Stage]]


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Opens:
    """Return what opens a journal of the records 10 to 19."""

    async def opened(kafka: Kafka, *, interval: float = SOON) -> Stage:
        monkeypatch.setattr(completion_relay.journal, "AIOKafkaProducer", kafka.producer)
        watch, clock = Watch(), ManualClock()
        journal = Journal(
            {},
            group="g",
            partition=PARTITION,
            interval=interval,
            clock=clock,
            committed=kafka.read_committed,
            observer=watch,
        )
        await journal.open()
        ledger = PartitionLedger(epoch=1, window=100, window_bytes=2 * HALF_A_WINDOW, begin=10)
        for offset in range(10, 20):
            ledger.receive(offset, size=1, at=0.0)
        journal.begin(ledger)
        return Stage(kafka, watch, clock, journal, ledger)

    return opened


async def test_the_committed_offset_is_read_only_when_nobody_else_can_move_it(
    opened: Opens,
) -> None:
    kafka = Kafka(OffsetAndMetadata(10, ""))
    stage = await opened(kafka)
    assert kafka.happened == ["fence", "read"]
    await stage.journal.close(within=PLENTY)


async def test_records_and_offset_are_written_together(opened: Opens) -> None:
    kafka = Kafka(OffsetAndMetadata(10, ""))
    stage = await opened(kafka)
    stage.add(10, 11, 12)
    await stage.watch.until("wrote")
    assert kafka.topics == {"audit": [b"10", b"11", b"12"]}
    assert kafka.committed == OffsetAndMetadata(13, "")
    assert stage.durable == [10, 11, 12]
    await stage.journal.close(within=PLENTY)


async def test_what_is_settled_ahead_is_written_beside_the_offset(opened: Opens) -> None:
    kafka = Kafka(OffsetAndMetadata(10, ""))
    stage = await opened(kafka)
    stage.add(10, 12)
    await stage.watch.until("wrote")
    assert kafka.committed is not None
    assert kafka.committed.offset == 11
    assert decode(11, kafka.committed.metadata) == [range(12, 13)]
    await stage.journal.close(within=PLENTY)


async def test_whoever_is_fenced_has_lost_the_partition_and_takes_it_no_more(
    opened: Opens,
) -> None:
    kafka = Kafka(OffsetAndMetadata(10, ""), commits=["fenced"])
    stage = await opened(kafka)
    stage.add(10)
    await stage.watch.until("lost")
    assert kafka.happened == ["fence", "read"]
    assert (kafka.topics, stage.durable) == ({}, [])
    await stage.journal.close(within=PLENTY)
    assert kafka.happened == ["fence", "read"]


async def test_a_batch_that_failed_is_written_again_with_a_new_producer(opened: Opens) -> None:
    kafka = Kafka(OffsetAndMetadata(10, ""), commits=["fails"])
    stage = await opened(kafka)
    first = kafka.owner
    stage.add(10)
    await stage.watch.until("failed")
    await stage.clock.until_pending(1)
    stage.add(11)
    stage.clock.advance(1.0)
    await stage.watch.until("failed", "wrote", "wrote")
    assert kafka.topics == {"audit": [b"10", b"11"]}
    assert kafka.committed == OffsetAndMetadata(12, "")
    assert stage.durable == [10, 11]
    assert isinstance(first, Producer)
    assert first.is_stopped
    assert first is not kafka.owner
    await stage.journal.close(within=PLENTY)


@pytest.mark.parametrize("before", [None, OffsetAndMetadata(10, "")])
async def test_a_commit_whose_answer_was_lost_is_not_made_again(
    opened: Opens, before: OffsetAndMetadata | None
) -> None:
    kafka = Kafka(before, commits=["answer lost"])
    stage = await opened(kafka)
    stage.add(10)
    await stage.watch.until("failed")
    await stage.clock.until_pending(1)
    stage.clock.advance(1.0)
    await stage.watch.until("failed", "wrote")
    assert kafka.topics == {"audit": [b"10"]}
    assert stage.durable == [10]
    await stage.journal.close(within=PLENTY)


async def test_a_commit_that_another_made_ends_it(opened: Opens) -> None:
    kafka = Kafka(OffsetAndMetadata(10, ""), commits=["fails"])
    stage = await opened(kafka)
    stage.add(10)
    await stage.watch.until("failed")
    await stage.clock.until_pending(1)
    kafka.committed = OffsetAndMetadata(15, "")
    stage.clock.advance(1.0)
    await stage.watch.until("failed", "lost")
    assert (kafka.topics, stage.durable) == ({}, [])
    await stage.journal.close(within=PLENTY)


async def test_a_topic_that_refuses_a_record_is_named_and_nothing_is_committed(
    opened: Opens,
) -> None:
    """By itself, aiokafka would commit the transaction without the batch."""
    kafka = Kafka(OffsetAndMetadata(10, ""), refuses=["audit"])
    stage = await opened(kafka)
    stage.add(10)
    await stage.watch.until("failed")
    assert "audit" in str(stage.watch.errors[0])
    assert kafka.committed == OffsetAndMetadata(10, "")
    await stage.clock.until_pending(1)
    stage.clock.advance(1.0)
    await stage.watch.until("failed", "wrote")
    assert kafka.topics == {"audit": [b"10"]}
    await stage.journal.close(within=PLENTY)


async def test_what_is_too_large_for_its_topic_is_put_aside_and_the_rest_goes_on(
    opened: Opens,
) -> None:
    kafka = Kafka(OffsetAndMetadata(10, ""), largest={"dlq": 100})
    stage = await opened(kafka)
    stage.add(10)
    stage.add_letter(11, 101)
    stage.add(12)
    async with stage.time_flies():
        await eventually(lambda: stage.watch.held, what="something held")
        stage.add_letter(13, 100)
        await eventually(lambda: 13 in stage.durable, what="what came later")
    assert stage.durable == [10, 12, 13]
    assert "1 too large for topic dlq" in stage.watch.held
    assert kafka.topics == {"audit": [b"10", b"12", b"13"], "dlq": [bytes(100)]}
    assert kafka.committed is not None
    assert kafka.committed.offset == 11
    assert decode(11, kafka.committed.metadata) == [range(12, 14)]
    await stage.journal.close(within=PLENTY)


async def test_what_was_put_aside_is_written_once_its_topic_takes_it(opened: Opens) -> None:
    kafka = Kafka(OffsetAndMetadata(10, ""), largest={"dlq": 100})
    stage = await opened(kafka)
    for offset in (10, 12, 13, 15):
        stage.add_letter(offset, 100 + offset)
    stage.add(11, 14, 16)
    async with stage.time_flies():
        await eventually(lambda: "4 too large" in stage.watch.held, what="four held")
        kafka.largest.clear()
        await eventually(lambda: len(stage.durable) == 7, what="all of it")
        await eventually(lambda: not stage.watch.held, what="nothing held")
    assert sorted(kafka.topics["audit"]) == [b"%d" % offset for offset in range(10, 17)]
    assert sorted(map(len, kafka.topics["dlq"])) == [110, 112, 113, 115]
    assert kafka.committed == OffsetAndMetadata(17, "")
    await stage.journal.close(within=PLENTY)


async def test_many_that_are_too_large_cost_few_transactions(opened: Opens) -> None:
    """Each refused one takes the partition anew; what is as large as a refused one is not tried."""
    kafka = Kafka(OffsetAndMetadata(10, ""), largest={"dlq": 100})
    stage = await opened(kafka)
    for offset in range(10, 20):
        stage.add_letter(offset, 90 if offset % 2 else 200 + offset)
    await eventually(lambda: "5 too large" in stage.watch.held, what="five held")
    await eventually(lambda: len(stage.durable) == 5, what="the others")
    assert sorted(map(len, kafka.topics["dlq"])) == [90] * 5
    assert kafka.happened.count("fence") <= 5
    await stage.journal.close(within=PLENTY)


async def test_what_is_put_aside_is_left_to_whoever_is_next(opened: Opens) -> None:
    kafka = Kafka(OffsetAndMetadata(10, ""), largest={"dlq": 100})
    stage = await opened(kafka)
    stage.add_letter(10, 101)
    async with stage.time_flies():
        await eventually(lambda: stage.watch.held, what="something held")
        await stage.journal.close(within=PLENTY)
    assert stage.clock.pending == []
    assert kafka.committed == OffsetAndMetadata(10, "")
    assert stage.ledger.undecided == 10


async def test_what_its_parked_topic_does_not_take_is_tried_again_until_it_is_decided(
    opened: Opens,
) -> None:
    """It costs one transaction each time, however many there are, and none is settled before."""
    kafka = Kafka(OffsetAndMetadata(10, ""), largest={"parked": 100})
    stage = await opened(kafka)
    for offset in (10, 11, 12):
        stage.add_copy(offset, 200)
    async with stage.time_flies():
        await eventually(lambda: "3 too large for topic parked" in stage.watch.held, what="held")
        fences = kafka.happened.count("fence")
        await eventually(lambda: len(stage.done_again) >= 9, what="three rounds")
        assert kafka.happened.count("fence") <= fences + len(stage.done_again) // 3
        assert stage.ledger.undecided == 10
        assert "3 too large" in stage.watch.held
        stage.decided_by_now |= {10, 12}
        await eventually(lambda: len(stage.durable) == 2, what="those that are decided")
        assert "1 too large" in stage.watch.held
        stage.decided_by_now.add(11)
        await eventually(lambda: not stage.watch.held, what="nothing held")
    assert sorted(kafka.topics["audit"]) == [b"10", b"11", b"12"]
    assert "parked" not in kafka.topics
    assert kafka.committed == OffsetAndMetadata(13, "")
    await stage.journal.close(within=PLENTY)


async def test_what_is_not_decided_is_parked_once_its_topic_takes_it(opened: Opens) -> None:
    kafka = Kafka(OffsetAndMetadata(10, ""), largest={"parked": 100})
    stage = await opened(kafka)
    for offset in (10, 11, 12):
        stage.add_copy(offset, 200)
    async with stage.time_flies():
        await eventually(lambda: "3 too large" in stage.watch.held, what="three held")
        kafka.largest.clear()
        await eventually(lambda: not stage.watch.held, what="nothing held")
    assert sorted(stage.durable) == [10, 11, 12]
    assert kafka.topics == {"parked": [bytes(200)] * 3}
    assert kafka.committed == OffsetAndMetadata(13, "")
    await stage.journal.close(within=PLENTY)


async def test_what_comes_during_a_transaction_is_not_settled_by_it(opened: Opens) -> None:
    """Its offset would be committed without its audit record."""
    kafka = Kafka(OffsetAndMetadata(10, ""))
    is_committing, go_on = asyncio.Event(), asyncio.Event()

    async def before_commit() -> None:
        is_committing.set()
        await go_on.wait()

    kafka.before_commit = before_commit
    stage = await opened(kafka)
    stage.add(10)
    async with asyncio.timeout(PLENTY):
        await is_committing.wait()
    stage.add(11)
    assert isinstance(kafka.owner, Producer)
    assert kafka.owner.offsets == {PARTITION: OffsetAndMetadata(11, "")}
    kafka.before_commit = None
    kafka.commits = ["ok", "fenced"]
    go_on.set()
    await stage.watch.until("wrote", "lost")
    assert kafka.committed == OffsetAndMetadata(11, "")
    assert stage.durable == [10]
    await stage.journal.close(within=PLENTY)


async def test_what_gathers_is_written_in_one_transaction(opened: Opens) -> None:
    kafka = Kafka(OffsetAndMetadata(10, ""))
    stage = await opened(kafka, interval=NEVER)
    stage.add(10, 11)
    stage.add(12, topic="parked")
    await stage.journal.close(within=PLENTY)
    assert stage.watch.told == ["wrote", "closed"]
    assert kafka.topics == {"audit": [b"10", b"11"], "parked": [b"12"]}


async def test_large_records_are_written_when_they_take_half_of_the_window(opened: Opens) -> None:
    """Else a partition would take no more of them in an interval than a window has room for."""
    kafka = Kafka(OffsetAndMetadata(10, ""))
    stage = await opened(kafka, interval=NEVER)
    stage.ledger.receive(20, size=HALF_A_WINDOW - 1, at=0.0)
    stage.add(20, 10)
    await stage.watch.until("wrote")
    assert stage.durable == [20, 10]
    await stage.journal.close(within=PLENTY)


async def test_a_close_writes_what_is_there_and_disconnects(
    opened: Opens, monkeypatch: pytest.MonkeyPatch
) -> None:
    kafka = Kafka(OffsetAndMetadata(10, ""))
    stage = await opened(kafka, interval=NEVER)
    gathers, gather = asyncio.Event(), stage.journal._gather

    async def told() -> None:
        gathers.set()
        await gather()

    monkeypatch.setattr(stage.journal, "_gather", told)
    stage.add(10)
    async with asyncio.timeout(PLENTY):
        await gathers.wait()
    await stage.journal.close(within=PLENTY)
    assert kafka.committed == OffsetAndMetadata(11, "")
    assert stage.durable == [10]
    assert isinstance(kafka.owner, Producer)
    assert kafka.owner.is_stopped


async def test_a_close_does_not_wait_for_a_kafka_that_says_nothing(opened: Opens) -> None:
    kafka = Kafka(OffsetAndMetadata(10, ""), before_commit=asyncio.Event().wait)  # type: ignore[arg-type]
    stage = await opened(kafka)
    stage.add(10)
    async with asyncio.timeout(PLENTY):
        await stage.journal.close(within=0.0)
    assert stage.durable == []
    assert isinstance(kafka.owner, Producer)
    assert kafka.owner.is_stopped


async def test_a_close_does_not_try_for_ever(opened: Opens) -> None:
    kafka = Kafka(OffsetAndMetadata(10, ""), commits=["fails"] * 1_000)
    stage = await opened(kafka, interval=NEVER)
    stage.add(10)
    async with asyncio.timeout(PLENTY):
        await stage.journal.close(within=PLENTY)
    # Not "lost": a membership that ended for that would cut the others' rebalance short.
    assert stage.watch.told == ["failed", "closed"]


async def test_a_defect_gives_the_partition_up_and_does_not_stand_still(
    opened: Opens, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def defect(*_: object) -> set[int]:
        raise RuntimeError("a defect")

    monkeypatch.setattr(Producer, "partitions_for", defect)
    stage = await opened(Kafka(OffsetAndMetadata(10, "")))
    stage.add(10)
    await stage.watch.until("failed", "lost")
    assert "a defect" in str(stage.watch.errors[-1])
    await stage.journal.close(within=PLENTY)
