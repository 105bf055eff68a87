"""What a replay sends, and what it writes down of it, on a Kafka in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import InvalidProducerEpoch, MessageSizeTooLargeError
from aiokafka.structs import OffsetAndMetadata
from tests.unit.relay.trails import MemoryTrail

from completion_relay.replay import sender as room
from completion_relay.replay.again import Changes, Kept
from completion_relay.replay.checkpoint import ReplayError, read_progress
from completion_relay.replay.headers import Position
from completion_relay.replay.progress import Mark, read_mark
from completion_relay.replay.reading import Order, Reading
from completion_relay.replay.selection import Selection, Span
from completion_relay.replay.sender import Sender
from completion_relay.replay.sending import Result, send
from completion_relay.replay.source import Batch
from completion_relay.settings import Settings
from completion_schemas.record import KafkaRecord
from completion_schemas.times import UnixNanos

TOPIC = "completions"


class Topic:
    """A topic in memory: the values of each partition, from offset 0."""

    topic: str | None = TOPIC

    def __init__(self, values: Sequence[Sequence[bytes]]) -> None:
        self.values = [list(of) for of in values]
        self.begin = 0

    async def range(self, since: UnixNanos | None, until: UnixNanos | None) -> dict[int, Span]:
        del since, until
        return {number: Span(self.begin, len(of)) for number, of in enumerate(self.values)}

    async def there(self, spans: Mapping[int, Span]) -> dict[int, Span]:
        return dict(spans)

    async def read(self, spans: Mapping[int, Sequence[Span]]) -> AsyncGenerator[Batch, None]:
        for number, of in spans.items():
            for span in of:
                for offset in range(span.begin, span.end):
                    record = KafkaRecord(b"k", self.values[number][offset], ())
                    place = Position(TOPIC, number, offset)
                    kept = Kept(place, 2_000, record, (number, offset))
                    yield Batch([kept], {number: offset + 1})


class _Builder:
    def __init__(self) -> None:
        self.values: list[bytes] = []

    def append(self, *, value: bytes, **_: Any) -> object:
        self.values.append(value)
        return self

    def close(self) -> None:
        pass


class Kafka:
    """What is committed."""

    def __init__(self, partitions: int) -> None:
        self.partitions = partitions
        self.sent: list[bytes] = []
        self.offsets: dict[TopicPartition, OffsetAndMetadata] = {}
        self.written: list[set[int]] = []
        """Of which partitions each transaction wrote the progress."""
        self.owner: object = None

    def producer(self, **_: Any) -> _Producer:
        return _Producer(self)

    @property
    def marks(self) -> dict[int, Mark]:
        found = {at.partition: read_mark(*of) for at, of in self.offsets.items()}
        return {number: mark for number, mark in found.items() if mark is not None}


class _Producer:
    """As much of aiokafka's as a replay uses; one that starts fences the one before."""

    def __init__(self, kafka: Kafka) -> None:
        self._kafka = kafka

    async def start(self) -> None:
        self._kafka.owner = self

    async def stop(self) -> None:
        pass

    async def partitions_for(self, topic: str) -> set[int]:
        del topic
        return set(range(self._kafka.partitions))

    async def begin_transaction(self) -> None:
        self._values: list[bytes] = []

    def create_batch(self) -> _Builder:
        return _Builder()

    async def send_batch(
        self, built: _Builder, topic: str, *, partition: int
    ) -> asyncio.Future[None]:
        del topic, partition
        outcome = asyncio.get_running_loop().create_future()
        if b"large" in built.values:
            outcome.set_exception(MessageSizeTooLargeError())
        else:
            self._values += built.values
            outcome.set_result(None)
        return outcome

    async def send_offsets_to_transaction(
        self, offsets: Mapping[TopicPartition, OffsetAndMetadata], group: str
    ) -> None:
        del group
        self._offsets = offsets

    async def commit_transaction(self) -> None:
        if self._kafka.owner is not self:
            raise InvalidProducerEpoch
        self._kafka.sent += self._values
        self._kafka.offsets |= self._offsets
        self._kafka.written.append({at.partition for at in self._offsets})


class Run(Reading):
    """One run of a replay, whose progress is in that Kafka."""

    kafka: Kafka

    async def progress(self) -> dict[int, Mark]:
        return self.kafka.marks


@pytest.fixture
def kafka(monkeypatch: pytest.MonkeyPatch) -> Kafka:
    kafka = Kafka(2)
    monkeypatch.setattr(room, "AIOKafkaProducer", kafka.producer)
    return kafka


async def planned(kafka: Kafka, topic: Topic, *, since: int = 1) -> Run:
    """Return a run that has found out how far it has come, and could send."""
    order = Order(
        selection=Selection(since=UnixNanos(since)), changes=Changes(TOPIC), digest="d", name="n"
    )
    run = Run(order, Settings(), {}, topic, MemoryTrail())
    run.kafka = kafka
    await run._find_out()
    await run.prepare()
    return run


async def sent_by(run: Run, *, is_followed: bool = False) -> Result:
    result = Result()
    await send(run, result, rate=None, parked=None, is_followed=is_followed)
    return result


async def test_what_its_topic_did_not_take_is_not_waited_for(kafka: Kafka) -> None:
    run = await planned(kafka, Topic([[b"a", b"large", b"b"], []]))
    result = await sent_by(run, is_followed=True)
    assert (result.sent, kafka.sent) == (2, [b"a", b"b"])
    assert [treated.kept.at for treated in result.too_large] == [(0, 1)]
    assert result.origins == {Position(TOPIC, 0, 0), Position(TOPIC, 0, 2)}


async def test_a_run_that_planned_another_range_than_the_one_that_has_begun_since_skips_nothing(
    kafka: Kafka,
) -> None:
    """`--from 1h`, typed again half a minute later while the first run still plans."""
    topic = Topic([[b"a", b"b", b"c", b"d"], []])
    first = await planned(kafka, topic, since=1)
    topic.begin = 2  # where the later hour begins
    later = await planned(kafka, topic, since=31)
    await begun(first, kafka)
    owner = kafka.owner
    with pytest.raises(ReplayError, match=r"has begun since .* type the same command again"):
        await sent_by(later)
    assert (kafka.sent, kafka.owner) == ([], owner), "the first run goes on"

    again = await planned(kafka, topic, since=61)
    await sent_by(again)
    assert kafka.sent == [b"a", b"b", b"c", b"d"]


async def test_a_run_that_begins_while_a_later_one_opens_is_not_overlooked(
    kafka: Kafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic = Topic([[b"a", b"b"], []])
    first = await planned(kafka, topic, since=1)
    topic.begin = 1
    later = await planned(kafka, topic, since=31)

    async def start(producer: _Producer) -> None:
        await begun(first, kafka)
        kafka.owner = producer

    monkeypatch.setattr(_Producer, "start", start)
    with pytest.raises(ReplayError, match=r"has begun since .* this one has ended it"):
        await sent_by(later)


async def test_a_run_of_the_same_range_goes_on_in_place_of_the_one_that_has_begun_since(
    kafka: Kafka,
) -> None:
    topic = Topic([[b"a", b"b"], [b"c"]])
    first, later = await planned(kafka, topic), await planned(kafka, topic)
    await begun(first, kafka)
    kafka.offsets |= offsets_of({0: kafka.marks[0].at(1, sent=1)})
    assert (await sent_by(later)).sent == 2
    assert kafka.sent == [b"b", b"c"]


async def test_without_a_time_a_later_run_takes_what_has_come_since_the_first_one_began(
    kafka: Kafka,
) -> None:
    topic = Topic([[b"a"], [b"b"]])
    first = await planned(kafka, topic)
    topic.values[0].append(b"c")
    later = await planned(kafka, topic)
    await begun(first, kafka)
    await sent_by(later)
    assert kafka.sent == [b"a", b"c", b"b"]
    assert (await planned(kafka, topic)).is_done


async def test_each_transaction_writes_the_progress_of_all_partitions(kafka: Kafka) -> None:
    """Kafka forgets that of each partition so long after it was written last, and not that of the group."""
    run = await planned(kafka, Topic([[b"a", b"b"], [b"c"]]))
    await sent_by(run)
    assert kafka.written
    assert all(numbers == {0, 1} for numbers in kafka.written)


async def test_progress_of_which_kafka_has_forgotten_a_part_is_refused(kafka: Kafka) -> None:
    """What is not there would be taken for nothing to do, or for nothing done."""
    topic = Topic([[b"a", b"b"], [b"c"]])
    await sent_by(await planned(kafka, topic))
    for numbers, is_refused in (({0, 1}, False), ({0}, True), ({1}, True), (set[int](), False)):
        left = {at: of for at, of in kafka.offsets.items() if at.partition in numbers}
        said = await refused(left)
        assert ("has forgotten how far" in said) is is_refused, numbers
    assert await refused(offsets_of({0: Mark("d", Span(0, 9), 5)})) == "", "of an earlier version"
    assert "in the partitions 0 of" in await refused(offsets_of({1: Mark("d", Span(0, 9), 5)}))


async def refused(offsets: Mapping[TopicPartition, OffsetAndMetadata]) -> str:
    """Return why progress cannot be read that is in these offsets; empty: it can."""

    async def list_consumer_group_offsets(group: str) -> Mapping[TopicPartition, OffsetAndMetadata]:
        assert group == "completion-replay-n"
        return offsets

    admin = SimpleNamespace(
        client=SimpleNamespace(list_consumer_group_offsets=list_consumer_group_offsets)
    )
    try:
        await read_progress(cast("Any", admin), "n", TOPIC, digest="d")
    except ReplayError as error:
        return str(error)
    return ""


async def test_a_run_that_kafka_has_ended_says_both_reasons_and_what_to_type(kafka: Kafka) -> None:
    """Kafka says the same to one that another has taken the place of, and to one that was suspended."""
    run = await planned(kafka, Topic([[b"a"], []]))
    sender = Sender({}, "n", run.order.changes, TOPIC, dict(run.marks))
    await sender.open()
    kafka.owner = None
    with pytest.raises(ReplayError) as ended:
        await sender.begin(run.marks)
    assert "another run of it has begun" in str(ended.value)
    assert "or it stood still for 10 s with a transaction open" in str(ended.value)
    assert "type the same command again: it goes on where this one stopped" in str(ended.value)


async def begun(run: Run, kafka: Kafka) -> None:
    """Write down a run's range, and no more."""
    kafka.owner = run
    kafka.offsets |= offsets_of(run.marks)


def offsets_of(marks: Mapping[int, Mark]) -> dict[TopicPartition, OffsetAndMetadata]:
    return {
        TopicPartition(TOPIC, number): OffsetAndMetadata(mark.reached, mark.metadata)
        for number, mark in marks.items()
    }
