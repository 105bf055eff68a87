"""What a poll does beside a takeover. White-box: on a real broker both are a matter of milliseconds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import CorruptRecordException, KafkaTimeoutError
from aiokafka.structs import ConsumerRecord, TopicPartition
from tests.unit.relay.fakes import ManualClock, fetched

from completion_relay.assigned import Assigned
from completion_relay.consumer import Consumer
from completion_relay.health import Health
from completion_relay.intake import ENOUGH
from completion_relay.journal import Journal
from completion_relay.ledger import PartitionLedger
from completion_relay.observe import Observer
from completion_relay.odd_headers import UnreadableBatchError
from completion_relay.parking import Order
from completion_relay.pipeline import Pipeline
from completion_relay.settings import KafkaSettings, RelaySettings, TopicSettings
from completion_relay.takeover import Takeover

PARTITION = TopicPartition("completions", 3)
WELL = TopicPartition("completions", 4)
DAMAGED = UnreadableBatchError(PARTITION, 5, CorruptRecordException("Invalid CRC"))
A_POLL_TAKES = KafkaSettings.model_construct(rebalance_timeout_ms=20, session_timeout_ms=10)
"""At most 40 ms, which no broker would agree to."""


class Member:
    """A consumer of aiokafka's: what its next poll brings, and where it was set to."""

    def __init__(self) -> None:
        self.brings: Callable[[], dict[TopicPartition, list[ConsumerRecord[Any, Any]]]] | None = (
            None
        )
        self.sought: dict[TopicPartition, int] = {}
        self.asked = 0
        self.stopped: set[TopicPartition] = set()
        never = asyncio.get_running_loop().create_future()
        self._fetcher = SimpleNamespace(_fetch_task=never)
        self._client = SimpleNamespace(_sync_task=never)

    async def getmany(self, **_: object) -> dict[TopicPartition, list[ConsumerRecord[Any, Any]]]:
        self.asked += 1
        if self.brings is None:
            await asyncio.Event().wait()
        assert self.brings is not None
        return self.brings()

    def seek(self, partition: TopicPartition, offset: int) -> None:
        self.sought[partition] = offset

    def assignment(self) -> set[TopicPartition]:
        return {PARTITION}

    def paused(self) -> set[TopicPartition]:
        return self.stopped

    def pause(self, *partitions: TopicPartition) -> None:
        self.stopped = self.stopped | set(partitions)

    def resume(self, *partitions: TopicPartition) -> None:
        self.stopped = self.stopped - set(partitions)

    def highwater(self, _: TopicPartition) -> int:
        return 100


class Polls:
    """A member of the group that polls when it is told to."""

    def __init__(self) -> None:
        self.member = Member()
        self.room = 100
        self.is_away = False
        self.clock = ManualClock()
        self.health = Health()
        self.consumer = Consumer(
            {},
            topics=TopicSettings(),
            kafka=A_POLL_TAKES,
            relay=RelaySettings(),
            pipeline=cast("Pipeline", None),
            is_away=lambda: self.is_away,
            room=lambda: self.room,
            observer=Observer(namespaces=("orders",), health=self.health),
            clock=self.clock,
        )
        self.consumer._consumer = cast("AIOKafkaConsumer[Any, Any]", self.member)
        self.consumer._over = asyncio.get_running_loop().create_future()
        self.stopping = asyncio.create_task(asyncio.Event().wait())

    @property
    def unreadable(self) -> list[str]:
        """What readiness says of batches that cannot be read."""
        return [part for part in self.health.problems if part.startswith("reading ")]

    async def poll(self) -> None:
        await self.consumer._poll(self.stopping)

    def held(self, begin: int) -> Assigned:
        ledger = PartitionLedger(epoch=1, window=10, window_bytes=10**9, begin=begin)
        return Assigned(PARTITION, ledger, cast("Journal", None), Order())


@pytest.fixture
async def polls() -> AsyncIterator[Polls]:
    there = Polls()
    yield there
    there.stopping.cancel()


async def test_a_poll_that_has_no_answer_ends_the_membership(polls: Polls) -> None:
    with pytest.raises(TimeoutError, match="no answer to a poll"):
        await polls.poll()


async def test_the_group_does_not_wait_for_a_takeover(
    polls: Polls, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Aiokafka sends no heartbeat until the listener returns; where much is parked, that is long."""
    taking, is_ended = asyncio.Event(), asyncio.Event()

    async def for_ever(*_: object, **__: object) -> None:
        taking.set()
        try:
            await asyncio.Event().wait()
        finally:
            is_ended.set()

    monkeypatch.setattr(Takeover, "take", for_ever)
    await polls.consumer.on_partitions_assigned({PARTITION})
    await taking.wait()
    # Nothing of it is fetched meanwhile, nor looked for.
    assert (polls.member.stopped, polls.member.sought) == ({PARTITION}, {PARTITION: 0})
    polls.member.brings = dict
    await polls.poll()
    assert polls.member.stopped == {PARTITION}
    await polls.consumer.on_partitions_revoked({PARTITION})
    assert is_ended.is_set()


async def test_a_member_that_has_ended_takes_nothing(polls: Polls) -> None:
    """Its listener may be called all the same, and nobody would give the partitions back."""
    polls.consumer._over.cancel()
    await polls.consumer.on_partitions_assigned({PARTITION})
    assert polls.consumer._taking is None


async def test_what_was_fetched_before_a_takeover_had_set_the_position_is_fetched_again(
    polls: Polls,
) -> None:
    """By itself, aiokafka begins at what it takes for the committed offset while the listener is at work."""
    held = polls.held(begin=17)

    def brings() -> dict[TopicPartition, list[ConsumerRecord[Any, Any]]]:
        polls.consumer._assigned = {PARTITION: held}
        return {PARTITION: [cast("ConsumerRecord[Any, Any]", None)]}

    polls.member.brings = brings
    await polls.poll()
    assert polls.member.sought == {PARTITION: 17}
    assert held.ledger.next_offset == 17


async def test_a_member_that_has_enough_to_do_polls_all_the_same_with_all_paused(
    polls: Polls,
) -> None:
    """One that does not is thrown out of the group, and never learns of it (facts C)."""
    polls.room = 0
    held = polls.held(begin=0)
    polls.consumer._assigned = {PARTITION: held}
    polls.consumer._intake.take(held, fetched(range(ENOUGH)))
    polls.member.brings = dict
    await polls.poll()
    assert polls.member.asked == 0
    polls.clock.advance(1.0)
    await polls.poll()
    assert polls.member.asked == 1
    assert polls.member.stopped == {PARTITION}


async def test_a_batch_that_cannot_be_read_is_named_by_the_member_that_has_its_partition(
    polls: Polls,
) -> None:
    """One that has lost it meanwhile would name it for as long as it lives."""

    def brings() -> dict[TopicPartition, list[ConsumerRecord[Any, Any]]]:
        raise DAMAGED

    polls.member.brings = brings
    await polls.poll()
    assert polls.unreadable == []
    polls.consumer._assigned = {PARTITION: polls.held(begin=5)}
    await polls.poll()
    assert polls.unreadable == ["reading completions/3"]


async def test_what_cannot_be_read_is_nothing_to_a_member_that_gives_it_up(polls: Polls) -> None:
    """Whoever has it next says so. Nor what it had not taken yet, for what is parked of it."""
    polls.consumer._unreadable.found(DAMAGED)
    await polls.consumer.on_partitions_revoked({PARTITION})
    assert polls.unreadable == []


class Takes:
    """White-box: a takeover that leaves all for later; how often it was asked to, and what Kafka was asked of."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.times = 0
        self.asked: list[set[TopicPartition]] = []
        self.is_away = False

        async def take(
            _: Takeover, __: object, partitions: set[TopicPartition], **___: object
        ) -> tuple[dict[TopicPartition, Assigned], set[TopicPartition]]:
            self.times += 1
            return {}, partitions

        async def without_leader(
            _: Takeover, partitions: set[TopicPartition]
        ) -> set[TopicPartition]:
            self.asked.append(partitions)
            if self.is_away:
                raise KafkaTimeoutError("no broker")
            return set()

        monkeypatch.setattr(Takeover, "take", take)
        monkeypatch.setattr(Takeover, "without_leader", without_leader)


async def test_what_cannot_be_read_is_taken_no_sooner_than_it_is_read_again(
    polls: Polls, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each takeover fences and opens its producers, and reads all that is parked."""
    takes = Takes(monkeypatch)
    polls.consumer._unreadable.found(DAMAGED)
    await polls.consumer.on_partitions_assigned({PARTITION, WELL})
    for _ in range(3):
        await polls.clock.until_pending(1)
        polls.clock.advance(5.0)
    await polls.clock.until_pending(1)
    assert takes.asked == [{WELL}] * 3
    assert takes.times == 4
    polls.clock.advance(60.0)
    await polls.clock.until_pending(1)
    assert takes.asked[-1] == {PARTITION, WELL}
    await polls.consumer.on_partitions_revoked({PARTITION, WELL})


async def test_an_outage_while_something_is_left_for_later_takes_nothing_that_is_held(
    polls: Polls, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is decided waits in its journal then, and is not given back."""
    takes = Takes(monkeypatch)
    takes.is_away = True
    await polls.consumer.on_partitions_assigned({PARTITION})
    await polls.clock.until_pending(1)
    polls.clock.advance(5.0)
    await polls.clock.until_pending(1)
    assert (len(takes.asked), takes.times) == (1, 1)
    takes.is_away = False
    polls.clock.advance(5.0)
    await polls.clock.until_pending(1)
    assert takes.times == 2
    assert not polls.consumer._over.done()
    await polls.consumer.on_partitions_revoked({PARTITION})


async def test_while_temporal_is_away_nothing_is_fetched_and_the_member_polls(polls: Polls) -> None:
    polls.consumer._assigned = {PARTITION: polls.held(begin=0)}
    polls.member.brings = dict
    polls.is_away = True
    await polls.poll()
    assert (polls.member.asked, polls.member.stopped) == (1, {PARTITION})
    polls.is_away = False
    await polls.poll()
    assert polls.member.stopped == set()
