"""Room `consumer`: fetched records, and which of them is begun when. Touches nothing of Kafka.

A record that was fetched is only bytes; one that is begun is a task and all that
it holds. Begun are as many as may be completed at once, and one more for each that
comes to wait or to be looked into: so a backlog costs no memory and no work of the
garbage collector (a third of an event's time, measured), and what waits never keeps
back what could go. By ids, where each is looked into, and with several namespaces,
of which one may be idle, that may be all of a window: whose a record is, is known
when it is begun.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable

from aiokafka.errors import KafkaError
from aiokafka.structs import ConsumerRecord

from completion_relay.assigned import Assigned
from completion_relay.clock import Clock
from completion_relay.decision import Delivery
from completion_relay.lanes import Lanes
from completion_relay.ledger import Receipt
from completion_relay.work import Workshop
from completion_schemas.record import KafkaRecord

ENOUGH = 250
"""Records that are fetched and not begun."""
ENOUGH_BYTES = 8 * 1024 * 1024
"""Of such records, which then wait for room: as many where they have 32 KiB each, and two of the largest
(`relay.max_message_bytes`). One poll may go beyond either, by what aiokafka has of each partition."""


class TopicWasResetError(KafkaError):  # type: ignore[misc]
    """A record came with an offset that was delivered before in this assignment."""


class Intake:
    """Begins fetched records, the partitions in turn."""

    def __init__(
        self,
        workshop: Workshop,
        *,
        room: Callable[[], int],
        on_error: Callable[[TopicWasResetError], None],
        clock: Clock,
    ) -> None:
        """Begin nothing yet.

        Args:
            workshop: Makes work of records.
            room: Returns how many calls more Temporal may be given now.
            on_error: Told when a topic was reset.
            clock: Time.
        """
        self._workshop = workshop
        self._room = room
        self._on_error = on_error
        self._clock = clock
        self._turns: deque[Assigned] = deque()
        self.lanes = Lanes(self.begin)

    @property
    def has_enough(self) -> bool:
        """Whether to fetch no more for now; what a full partition holds is not counted, or it held up all."""
        records = size = 0
        for held in self._turns:
            if not held.ledger.is_full:
                records += len(held.fetched)
                size += held.fetched.bytes
        return records >= ENOUGH or size >= ENOUGH_BYTES

    def take(self, held: Assigned, records: Iterable[ConsumerRecord]) -> None:
        """Take in what was fetched of a partition."""
        was_waiting = len(held.fetched)
        held.fetched.extend(records)
        if not was_waiting and held.fetched:
            held.turn_at = self._clock.monotonic()
            self._turns.append(held)

    def forget(self) -> None:
        """Let go of what is not begun: the partitions are given up."""
        self._turns.clear()

    def begin(self) -> None:
        """Begin as many records as there is room for; called whenever there may be some."""
        turns = self._turns
        if not turns:
            return
        room = self._room() - self.lanes.starting
        passed = begun = 0
        while room > 0 and passed < len(turns):
            held = turns.popleft()
            if held.ledger.is_full:
                turns.append(held)
                passed += 1
                continue
            record, size = held.fetched.popleft()
            if held.fetched:
                turns.append(held)
            passed = 0
            is_begun = self._begin(held, record, size)
            room -= is_begun
            begun += is_begun
        if begun > 1 and turns:
            # Those of a sick namespace only queue, and leave the room that they were given for
            # others: what stood behind 30,000 of them waited a minute for as many polls.
            asyncio.get_running_loop().call_soon(self.begin)

    def _begin(self, held: Assigned, record: ConsumerRecord, size: int) -> bool:
        held.turn_at = self._clock.monotonic()
        receipt = held.ledger.receive(record.offset, size=size, at=held.turn_at)
        if receipt is Receipt.NEW:
            delivery = Delivery(
                topic=record.topic,
                partition=record.partition,
                offset=record.offset,
                timestamp_ms=record.timestamp,
                record=KafkaRecord(record.key, record.value, record.headers),
                received_at=self._clock.now(),
            )
            work = self._workshop.work_for(delivery, held)
            return self.lanes.submit((held.ledger.epoch, work.lane), work)
        if receipt is Receipt.REFETCHED:
            # Only a reset of the offsets delivers what was delivered before: the
            # partition was cut or made anew, and these are other records.
            self.forget()
            self._on_error(TopicWasResetError(f"{record.topic}/{record.partition}/{record.offset}"))
        return False
