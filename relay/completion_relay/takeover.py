"""Room `consumer`: takes the partitions that this member was assigned. Touches aiokafka.

In this order, for each: take it from whoever had it (the journal's producer),
read how far he had come, set the position there. And, before anything of it is
decided, find out what of it is parked, and what operators have said of it. A
partition that no broker leads is left for later: the others do not wait for it.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaTimeoutError
from aiokafka.structs import OffsetAndMetadata, TopicPartition

from completion_relay.assigned import Assigned, Start, reached_by, start_of
from completion_relay.clock import Clock
from completion_relay.copies import fingerprint
from completion_relay.first_of import heed_cancellation, to_its_end
from completion_relay.journal import Journal, LostPartitionError, close_journals
from completion_relay.kafka_probe import KafkaProbe
from completion_relay.ledger import PartitionLedger
from completion_relay.membership import FETCH_BYTES, end_member
from completion_relay.observe import Observer
from completion_relay.odd_headers import UnreadableBatchError, read_odd_headers
from completion_relay.parking import Order, ParkedRecordError, read_ticket, without_ticket
from completion_relay.place import Place
from completion_relay.settings import KafkaSettings, RelaySettings, TopicSettings
from completion_relay.silence import End, NoAnswer
from completion_relay.told import Instructions
from completion_relay.unreadable import Unreadable

_POLL_MS = 200
_ANSWER_SECONDS = 10.0
_ASK_AGAIN_SECONDS = 0.5
_SURE_SECONDS = 10.0
"""For so long it has to be told that a partition ends before what was committed. A broker that was suspended
tells the end that it knew, until it learns that it leads no more; believed at once, all of the partition would
be decided again."""
_SILENCE_SECONDS = 30.0
"""Without a step forward in what is parked; aiokafka only brings nothing when Kafka is away."""


@dataclass(frozen=True, slots=True)
class _Shared:
    """What the two partitions of a number have together."""

    order: Order = field(default_factory=Order)
    instructions: Instructions = field(default_factory=Instructions)


class _Watch:
    """What happens to the journals of one member."""

    def __init__(self, observer: Observer, lost: Callable[[LostPartitionError], None]) -> None:
        self._observer = observer
        self._lost = lost

    def wrote(self, partition: TopicPartition, seconds: float) -> None:
        self._observer.metrics.audit_seconds.observe(seconds)
        self._observer.well(_writing_for(partition))

    def failed(self, partition: TopicPartition, error: BaseException) -> None:
        self._observer.problem(_writing_for(partition), f"{type(error).__name__}: {error}")

    def holds(self, partition: TopicPartition, what: str) -> None:
        if what:
            self._observer.problem(_held_of(partition), what)
        else:
            self._observer.well(_held_of(partition))

    def lost(self, partition: TopicPartition, error: LostPartitionError) -> None:
        self._observer.stage("partition lost", partition=partition.partition, reason=str(error))
        self._lost(error)

    def closed(self, partition: TopicPartition) -> None:
        # Whoever has it next knows whether it can be written for.
        self._observer.well(_writing_for(partition))
        self._observer.well(_held_of(partition))


class Takeover:
    """Takes partitions for one member."""

    def __init__(
        self,
        options: dict[str, Any],
        *,
        topics: TopicSettings,
        kafka: KafkaSettings,
        relay: RelaySettings,
        observer: Observer,
        lost: Callable[[LostPartitionError], None],
        unreadable: Unreadable,
        clock: Clock,
    ) -> None:
        """Take nothing yet.

        Args:
            options: What aiokafka takes to connect.
            topics: Of the events, and of those that wait elsewhere.
            kafka: The group.
            relay: Window and intervals.
            observer: Told of what an operator must know.
            lost: Called when a partition has turned out to be another member's.
            unreadable: Told of what is parked and cannot be read.
            clock: Time.
        """
        self._options = options
        self._topics = topics
        self._kafka = kafka
        self._relay = relay
        self._observer = observer
        self._watch = _Watch(observer, lost)
        self._unreadable = unreadable
        self._clock = clock

    async def take(
        self, consumer: AIOKafkaConsumer, partitions: set[TopicPartition], *, epoch: int
    ) -> tuple[dict[TopicPartition, Assigned], set[TopicPartition]]:
        """Take the partitions and set the consumer's positions.

        Returns:
            What is taken, and what is left for later, as it was: no broker tells where it ends, or
            what is parked of it cannot be read; or so it is with the one of the same number on the
            other topic.

        Raises:
            KafkaError: Kafka does not let us; what was taken is given back.
            TimeoutError: Kafka does not answer.
        """
        journals = {tp: self._journal(consumer, tp) for tp in partitions}
        try:
            committed = await _opened(journals)
            # Not before: until then whoever had them may have written, and parked, some more.
            ends, begins = await self._bounds(partitions)
            give_up = self._clock.monotonic() + _SURE_SECONDS
            while _is_beyond(committed, ends) and self._clock.monotonic() < give_up:
                await self._clock.sleep(_ASK_AGAIN_SECONDS)
                ends, begins = await self._bounds(partitions)
            heed_cancellation()  # the probe's own way of ending may swallow it
            left = _left(partitions, ends, begins)
            starts = {
                tp: start_of(offset, beginning=begins[tp], end=ends[tp])
                for tp, offset in committed.items()
                if tp not in left
            }
            shared = None
            while shared is None:
                try:
                    shared = await self._parked(starts, ends)
                except UnreadableBatchError as error:
                    # From the beginning without it: what the poll had of the others is gone (facts C).
                    self._unreadable.found(error)
                    left |= {tp for tp in partitions if tp.partition == error.partition.partition}
                    starts = {tp: start for tp, start in starts.items() if tp not in left}
            self._unreadable.well(starts)
            await close_journals(journals[tp] for tp in left)
        except BaseException:
            await to_its_end(close_journals(journals.values()))  # nobody else knows of them
            raise
        for partition, start in starts.items():
            if start.problem is not None:
                self._observer.jumped(partition.topic, partition.partition, start.problem)
            if start.deleted is not None:
                self._observer.passed_over(partition.topic, partition.partition, start.deleted)
            consumer.seek(partition, start.offset)
        taken = {
            partition: self._assigned(partition, start, journals[partition], shared, epoch)
            for partition, start in starts.items()
        }
        return taken, left

    async def without_leader(self, partitions: set[TopicPartition]) -> set[TopicPartition]:
        """Return those of the partitions that cannot be taken now; nobody's producer is touched.

        Raises:
            KafkaTimeoutError: no broker answers at all.
        """
        return _left(partitions, *await self._bounds(partitions))

    def _assigned(
        self,
        partition: TopicPartition,
        start: Start,
        journal: Journal,
        shared: defaultdict[int, _Shared],
        epoch: int,
    ) -> Assigned:
        ledger = PartitionLedger(
            epoch=epoch,
            window=self._relay.window,
            window_bytes=self._relay.window_bytes,
            begin=start.offset,
            settled_ahead=start.settled_ahead,
        )
        journal.begin(ledger)
        # The parked partition of the same number holds what was parked of it.
        both = shared[partition.partition]
        if partition.topic == self._topics.completions:
            both.instructions.events = ledger
        place = Place(both.instructions)
        return Assigned(partition, ledger, journal, both.order, place=place)

    def _journal(self, consumer: AIOKafkaConsumer, partition: TopicPartition) -> Journal:
        coordinator = consumer._coordinator  # noqa: SLF001 - committed() drops the metadata

        async def committed() -> OffsetAndMetadata | None:
            found = await coordinator.fetch_committed_offsets([partition])
            offset = found.get(partition)
            return None if offset is None or offset.offset < 0 else offset

        return Journal(
            self._options,
            group=self._kafka.group_id,
            partition=partition,
            interval=self._relay.commit_interval,
            clock=self._clock,
            committed=committed,
            observer=self._watch,
        )

    async def _bounds(
        self, partitions: Collection[TopicPartition]
    ) -> tuple[dict[TopicPartition, int], dict[TopicPartition, int]]:
        """Return where the partitions end and begin, of those of which a broker tells.

        Not by aiokafka's own questions: where one partition has no leader these tell of none, and
        ask again until their time is over (facts C).

        Raises:
            KafkaTimeoutError: no broker answers at all.
        """
        if not partitions:
            return {}, {}
        probe = KafkaProbe(self._options)
        give_up = self._clock.monotonic() + _ANSWER_SECONDS
        try:
            while True:
                if await probe.topics(within=_ANSWER_SECONDS) is None:
                    raise KafkaTimeoutError("no broker tells which topics there are")
                ends = await probe.ends(partitions, within=_ANSWER_SECONDS)
                begins = await probe.beginnings(partitions, within=_ANSWER_SECONDS)
                # A leader that has just changed is no leader for a moment, and told as an error.
                is_clear = not any(
                    isinstance(at, NoAnswer) for at in (*ends.values(), *begins.values())
                )
                if is_clear or self._clock.monotonic() > give_up:
                    return _known(ends), _known(begins)
                await self._clock.sleep(_ASK_AGAIN_SECONDS)
        finally:
            await probe.stop()

    async def _parked(
        self, starts: dict[TopicPartition, Start], ends: dict[TopicPartition, int]
    ) -> defaultdict[int, _Shared]:
        """Return what is parked of each partition, and what was said of it, by its number."""
        shared: defaultdict[int, _Shared] = defaultdict(_Shared)
        unread = {
            partition
            for partition, start in starts.items()
            if partition.topic == self._topics.parked and start.offset < ends[partition]
        }
        if not unread:
            return shared
        read_odd_headers()
        reader = AIOKafkaConsumer(
            **self._options,
            isolation_level="read_committed",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            max_partition_fetch_bytes=FETCH_BYTES,
        )
        try:
            await reader.start()
            reader.assign(unread)
            for partition in unread:
                reader.seek(partition, starts[partition].offset)
            before, since = {tp: starts[tp].offset for tp in unread}, self._clock.monotonic()
            while unread:
                heed_cancellation()
                batches = await reader.getmany(*unread, timeout_ms=_POLL_MS)
                for partition, records in batches.items():
                    ahead = starts[partition].settled_ahead
                    for record in records:
                        if not any(record.offset in settled for settled in ahead):
                            self._note(shared[partition.partition], record, starts, ends)
                # The position, not a record's offset: a transaction's markers have offsets too.
                now = {tp: await reader.position(tp) for tp in unread}
                unread = {tp for tp, position in now.items() if position < ends[tp]}
                if now != before:
                    before, since = {tp: now[tp] for tp in unread}, self._clock.monotonic()
                elif self._clock.monotonic() - since > _SILENCE_SECONDS:
                    raise TimeoutError(f"nothing of what is parked for {_SILENCE_SECONDS:g} s")
        finally:
            await end_member(reader)
        return shared

    def _note(
        self,
        both: _Shared,
        record: Any,
        starts: Mapping[TopicPartition, Start],
        ends: Mapping[TopicPartition, int],
    ) -> None:
        of, number = self._topics.completions, record.partition
        if both.instructions.hear(record.value, record.headers, of=of, number=number):
            return
        try:
            ticket = read_ticket(record.headers, of=of)
        except ParkedRecordError:
            return  # is refused when it is its turn
        is_new = both.order.park(ticket.key, ticket.offset)
        events = TopicPartition(of, number)
        if ticket.partition != number or events not in starts:
            return  # another member has them, of a version that shares them out otherwise
        is_to_come = starts[events].is_to_come(ticket.offset, end=ends[events])
        if is_to_come or not is_new:
            what = fingerprint(record.key, record.value, without_ticket(record.headers))
            both.order.copies.note(
                ticket.offset, at=record.offset, what=what, is_to_come=is_to_come
            )


def _writing_for(partition: TopicPartition) -> str:
    return f"writing for {partition.topic}/{partition.partition}"


def _held_of(partition: TopicPartition) -> str:
    return f"records of {partition.topic}/{partition.partition}"


async def _opened(
    journals: Mapping[TopicPartition, Journal],
) -> dict[TopicPartition, OffsetAndMetadata | None]:
    """Take the partitions from whoever had them; return what is committed."""
    outcomes = await asyncio.gather(
        *(journal.open() for journal in journals.values()), return_exceptions=True
    )
    # All of them first: one that went on opening after the others failed would
    # take its partition from whoever has it by then.
    return {
        partition: _unless_failed(outcome)
        for partition, outcome in zip(journals, outcomes, strict=True)
    }


def _left(
    partitions: set[TopicPartition],
    ends: Mapping[TopicPartition, int],
    begins: Mapping[TopicPartition, int],
) -> set[TopicPartition]:
    unknown = {tp.partition for tp in partitions if tp not in ends or tp not in begins}
    return {tp for tp in partitions if tp.partition in unknown}


def _is_beyond(
    committed: Mapping[TopicPartition, OffsetAndMetadata | None], ends: Mapping[TopicPartition, int]
) -> bool:
    return any(
        offset is not None and tp in ends and reached_by(offset) > ends[tp]
        for tp, offset in committed.items()
    )


def _known(ends: Mapping[TopicPartition, End]) -> dict[TopicPartition, int]:
    return {partition: end for partition, end in ends.items() if isinstance(end, int)}


def _unless_failed(outcome: OffsetAndMetadata | BaseException | None) -> OffsetAndMetadata | None:
    if isinstance(outcome, BaseException):
        raise outcome
    return outcome
