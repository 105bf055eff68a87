"""Room `consumer`: poll, pause, rebalance. Touches aiokafka.

aiokafka 0.14 has traps that lose events (facts C); each is handled where its
comment stands. Its rebalances are eager: every one takes all partitions away,
forgets pauses and starts again from the committed offsets. What is committed is
the journal's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener
from aiokafka.errors import (
    InvalidSessionTimeoutError,
    KafkaError,
    KafkaTimeoutError,
    NoOffsetForPartitionError,
)
from aiokafka.structs import ConsumerRecord, TopicPartition

from completion_relay.assigned import Assigned
from completion_relay.clock import Clock
from completion_relay.first_of import first_of
from completion_relay.intake import ENOUGH, Intake
from completion_relay.journal import close_journals
from completion_relay.lag import Lag
from completion_relay.load import ConfigurationError
from completion_relay.membership import check_member, end_member, end_of, new_member, readings_of
from completion_relay.observe import Observer
from completion_relay.odd_headers import UnreadableBatchError
from completion_relay.pipeline import Pipeline
from completion_relay.room import Room
from completion_relay.settings import KafkaSettings, RelaySettings, TopicSettings
from completion_relay.silence import End, Reading, Silence
from completion_relay.takeover import Takeover
from completion_relay.unreadable import Unreadable
from completion_relay.work import Workshop

_POLL_MS = 200
_BUSY_SECONDS = 0.005
_POLL_AT_LEAST_SECONDS = 0.5
"""A member that does not poll is thrown out, and never learns that it was (facts C)."""
_REJOIN_SECONDS = 1.0
_RETAKE_SECONDS = 5.0
"""Between two looks whether a partition that no broker led has a leader."""


class Consumer(ConsumerRebalanceListener):  # type: ignore[misc]
    """One member of the group: what it was given, in lanes, and how far it may commit."""

    def __init__(
        self,
        options: dict[str, Any],
        *,
        topics: TopicSettings,
        kafka: KafkaSettings,
        relay: RelaySettings,
        pipeline: Pipeline,
        is_away: Callable[[], bool],
        room: Callable[[], int],
        introduction: bytes = b"",
        observer: Observer,
        clock: Clock,
    ) -> None:
        """Connect to nothing yet.

        Args:
            options: What aiokafka takes to connect.
            topics: Of the completion events, and of those that are parked.
            kafka: Group and time-outs.
            relay: Window and waits.
            pipeline: What a record goes through.
            is_away: Whether Temporal is away as a whole: then no records are taken.
            room: Returns how many calls more Temporal may be given now.
            introduction: What the member says of itself in the group.
            observer: Told of what happens.
            clock: Time.
        """
        self._kafka = kafka
        self._topics = topics
        self._relay = relay
        self._is_away = is_away
        self._new_member = partial(new_member, options, kafka, introduction=introduction)
        self._observer = observer
        self._clock = clock
        self._workshop = Workshop(pipeline, topics, relay, observer, clock, ends=self._ends)
        self._room = Room(topics.parked, observer)
        self._intake = Intake(self._workshop, room=room, on_error=self._end, clock=clock)
        self._unreadable = Unreadable(observer, clock)
        self._takeover = Takeover(
            options,
            topics=topics,
            kafka=kafka,
            relay=relay,
            observer=observer,
            lost=self._end,
            unreadable=self._unreadable,
            clock=clock,
        )
        self._silence = Silence(observer, clock)
        self.lag = Lag(
            observer,
            clock,
            stuck_after=relay.stuck_after,
            parked=topics.parked,
            assigned=lambda: list(self._assigned.values()),
            end_of=self._end_of,
            readings=self.readings,
        )
        self._consumer: AIOKafkaConsumer = None
        self._assigned: dict[TopicPartition, Assigned] = {}
        self._over: asyncio.Future[None]
        """Raises when the membership has to end: a partition was lost, or could not be taken."""
        self._giving_up: asyncio.Task[bool] | None = None
        self._taking: asyncio.Task[None] | None = None
        self._polled_at = 0.0
        self._epoch = 0

    def readings(self) -> dict[TopicPartition, Reading]:
        """Return how far the partitions are read that this member has, or is about to take."""
        return {} if self._consumer is None else readings_of(self._consumer)

    def compare(self, ends: Mapping[TopicPartition, End]) -> None:
        """Tell which partitions bring nothing, by where they end; of none where Kafka is away."""
        self._silence.look(ends, self.readings())

    async def run(self, stop: asyncio.Event) -> None:
        """Be a member of the group until `stop` is set; then drain, commit and leave.

        Whatever aiokafka comes across ends the membership and begins a new one,
        from the committed offsets: it may have advanced one partition's position
        before another raised, and then drops the first one's records (facts C,
        simulated); and some errors of the group leave it waiting for ever.

        Raises:
            ConfigurationError: the broker refuses a setting for good.
        """
        while not stop.is_set():
            try:
                await self._be_member(stop)
            except InvalidSessionTimeoutError:
                raise ConfigurationError(
                    f"setting kafka.session_timeout_ms = {self._kafka.session_timeout_ms}: the "
                    "broker refuses it: give one between its group.min.session.timeout.ms and "
                    "group.max.session.timeout.ms (6000 and 1800000 by default)"
                ) from None
            except (KafkaError, TimeoutError, ValueError, AssertionError) as error:
                # ValueError and AssertionError: what aiokafka raises for bytes that
                # it cannot read, and for its own state.
                self._observer.problem("poll", f"{type(error).__name__}: {error}")
                await first_of(stop.wait(), self._clock.sleep(_REJOIN_SECONDS))

    async def _be_member(self, stop: asyncio.Event) -> None:
        self._observer.problem("group", "joining: no partitions assigned yet")
        self._consumer = self._new_member()
        self._over = asyncio.get_running_loop().create_future()
        stopping = asyncio.create_task(stop.wait())
        try:
            await first_of(stop.wait(), self._consumer.start())
            if not stop.is_set():
                # Together: the same member has the partitions of one number.
                both = [self._topics.completions, self._topics.parked]
                self._consumer.subscribe(both, listener=self)
            while not stop.is_set():
                await self._poll(stopping)
        finally:
            # `stop()` of aiokafka only leaves, and never calls the listener (facts C).
            stopping.cancel()
            if not self._over.cancel() and not self._over.cancelled():
                self._over.exception()  # or asyncio complains that nobody asked for it
            self._observer.stage("draining", lanes=len(self._intake.lanes))
            drained = await self._give_up()
            self._observer.stage("drained", complete=drained)
            await end_member(self._consumer)

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        """Hold the partitions, and have them taken.

        Not here: from the join on aiokafka sends no heartbeat until this returns, and to read what is
        parked may take longer than a session. A member that took them here would be thrown out each time,
        and never come to decide anything.
        """
        if self._over.done():
            return  # the membership has ended meanwhile
        self._epoch += 1
        for partition in assigned:
            # Else aiokafka looks for a position by itself, and fetches from there.
            self._consumer.seek(partition, 0)
            self._consumer.pause(partition)
        self._taking = asyncio.create_task(self._take(assigned))

    async def _take(self, partitions: set[TopicPartition]) -> None:
        """Take what was assigned, and what is left for later as soon as it can be; ended by a rebalance."""
        try:
            left = await self._take_led(partitions)
            self._observer.well("group")
            while left:
                await self._clock.sleep(_RETAKE_SECONDS)
                if due := await self._due(left):
                    left = (left - due) | await self._take_led(due)
        except Exception as error:  # noqa: BLE001 - nobody else would hear of it
            self._end(error)

    async def _take_led(self, partitions: set[TopicPartition]) -> set[TopicPartition]:
        """Take the partitions, and return those that are left for later."""
        taken, left = await self._takeover.take(self._consumer, partitions, epoch=self._epoch)
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            # Told to end while it disconnected from Kafka, which does not let itself be told.
            await close_journals(held.journal for held in taken.values())
            raise asyncio.CancelledError
        if taken:
            self._assigned = {**self._assigned, **taken}
        self._observer.stage(
            "assigned", partitions=self._numbers(self._assigned), left=self._numbers(left)
        )
        return left

    async def _due(self, left: set[TopicPartition]) -> set[TopicPartition]:
        """Return what of it can be taken now, as far as anybody tells."""
        due = left - self._unreadable.with_their_pairs(left)
        try:
            return due - await self._takeover.without_leader(due)
        except KafkaTimeoutError:
            return set()  # an outage: no reason to give back what is held

    def _numbers(self, partitions: Iterable[TopicPartition]) -> list[int]:
        return sorted(tp.partition for tp in partitions if tp.topic == self._topics.completions)

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        """Decide what is under way as far as time allows, commit, and give up the rest."""
        if revoked:  # it is called before the first assignment too
            self._observer.problem("group", "rebalancing: partitions are being shared out anew")
            await self._give_up()

    async def _give_up(self) -> bool:
        """Decide what is under way as far as time allows, and write it; False if some is left."""
        if self._giving_up is None or self._giving_up.done():
            assigned, self._assigned = self._assigned, {}
            if self._taking is not None:
                self._taking.cancel()
            self._intake.forget()
            self._unreadable.forget()
            self._giving_up = asyncio.create_task(self._give_back(assigned))
        # A stop during a rebalance waits for the same one; and neither of them cuts it short:
        # what is decided would not be written, and the producers would stay.
        return await asyncio.shield(self._giving_up)

    async def _give_back(self, assigned: dict[TopicPartition, Assigned]) -> bool:
        for held in assigned.values():
            held.place.closing.set()
        drained = await self._intake.lanes.drain(self._relay.drain_timeout)
        if self._taking is not None:
            # It must not take a partition from whoever has it next.
            await asyncio.wait({self._taking})
            self._taking = None
        await close_journals(held.journal for held in assigned.values())
        return drained

    def _end_of(self, partition: TopicPartition) -> int | None:
        # What is fetched has told the one; of a partition that brings nothing only the other is true.
        ends = (self._consumer.highwater(partition), self._silence.end_of(partition))
        return max((end for end in ends if end is not None), default=None)

    async def _ends(self, number: int) -> int | None:
        return await end_of(self._consumer, TopicPartition(self._topics.completions, number))

    def _end(self, error: BaseException) -> None:
        if not self._over.done():
            self._over.set_exception(error)

    async def _poll(self, stopping: asyncio.Task[Any]) -> None:
        is_late = self._clock.monotonic() - self._polled_at > _POLL_AT_LEAST_SECONDS
        if self._intake.has_enough and not is_late:
            await asyncio.wait({stopping, self._over}, timeout=_BUSY_SECONDS)
            if self._over.done():
                self._over.result()
            self._look_after()
            return
        check_member(self._consumer)
        self._room.make(
            self._consumer,
            self._assigned,
            stop=self._is_away() or self._intake.has_enough,
            left_alone=self._unreadable.left_alone(),
        )
        self._polled_at = self._clock.monotonic()
        # Also with all partitions paused or none assigned: a member that does not poll stalls the group.
        # getmany() ignores its time-out while there is none (both facts C), hence one of our own.
        patience = (self._kafka.rebalance_timeout_ms + 2 * self._kafka.session_timeout_ms) / 1_000
        assigned = self._assigned
        polling = asyncio.ensure_future(
            self._consumer.getmany(timeout_ms=_POLL_MS, max_records=ENOUGH)
        )
        try:
            await asyncio.wait(
                {polling, stopping, self._over},
                timeout=patience,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if self._over.done():
                self._over.result()
            if stopping.done():
                return
            if not polling.done():
                raise TimeoutError(f"no answer to a poll for {patience:g} s")
            batches = polling.result()
        except NoOffsetForPartitionError:
            # The position is ours to set, and the listener has not come to it yet.
            self._rewind()
            return
        except UnreadableBatchError as error:
            if error.partition in self._assigned:  # else whoever has it next comes across it
                self._unreadable.found(error)
            self._rewind()
            return
        finally:
            polling.cancel()
        self._observer.well("poll")
        if self._assigned is assigned:
            self._take_in(batches)
        else:
            # Taken amid the poll: what it brings of them is of before their position was set.
            self._rewind()

    def _take_in(self, batches: dict[TopicPartition, list[ConsumerRecord]]) -> None:
        self._unreadable.well(batches)
        for partition, records in batches.items():
            held = self._assigned.get(partition)
            if held is not None:  # else whoever has the partition next gets them
                if partition.topic == self._topics.parked:
                    held.hear(records, of=self._topics.completions)
                self._intake.take(held, records)
        self._look_after()

    def _look_after(self) -> None:
        self._intake.begin()
        self._room.tell(self._assigned.values())
        self.lag.look()

    def _rewind(self) -> None:
        # A getmany() that raised may have dropped another one's records after moving its position (facts C).
        self._intake.forget()
        for partition, held in self._assigned.items():
            held.fetched.clear()
            self._consumer.seek(partition, held.ledger.next_offset)
