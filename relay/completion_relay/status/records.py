"""Room `status`: the first undecided record of each partition, and what it is. Touches aiokafka's consumer.

Bounded in time, whatever is in the way. Nothing of a token is told but its
fingerprint (promise 4).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.structs import ConsumerRecord

from completion_relay.membership import end_member
from completion_relay.parking import PREFIX, ParkedRecordError, read_ticket
from completion_relay.replay.headers import namespace_of
from completion_schemas.cloudevents import claim, decode_record
from completion_schemas.errors import CompletionError
from completion_schemas.times import UnixNanos
from completion_schemas.tokens import token_fingerprint

_POLL_MS: Final = 100
_FETCH_BYTES: Final = 64 * 1024
"""Of one partition: one record is wanted, and a larger one comes all the same (KIP-74)."""
_MOST_REASON: Final = 300


@dataclass(frozen=True, slots=True)
class Span:
    """Offsets among which the first record is looked for that is not settled."""

    start: int
    end: int
    settled: tuple[range, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What an undecided record says of itself."""

    topic: str
    partition: int
    offset: int
    written_at: UnixNanos
    """When it was written; a parked one: when it was written first, before it was parked."""
    event_id: str
    type: str
    namespace: str = ""
    workflow_id: str = ""
    run_id: str = ""
    activity_id: str = ""
    token_fingerprint: str = ""
    parked_times: int = 0
    """How often it was parked; 0: it is where it was written."""
    not_before: UnixNanos | None = None
    """Of a parked one: when it is tried again."""
    reason: str = ""
    """Of a parked one: what it waits for."""


class Records:
    """Reads single records."""

    def __init__(self, consumer: AIOKafkaConsumer, parked_of: str) -> None:
        """Take a started consumer; `open` makes one."""
        self._consumer = consumer
        self._parked_of = parked_of

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, options: Mapping[str, Any], *, parked_of: str) -> AsyncIterator[Self]:
        """Connect for the length of the context.

        Args:
            options: What `connections.kafka_options` returns.
            parked_of: The topic that records are parked of.

        Raises:
            KafkaError: Kafka cannot be reached, or refuses.
        """
        consumer = AIOKafkaConsumer(
            **options,
            group_id=None,
            enable_auto_commit=False,
            isolation_level="read_committed",
            auto_offset_reset="earliest",
            max_partition_fetch_bytes=_FETCH_BYTES,
        )
        try:
            await consumer.start()
            yield cls(consumer, parked_of)
        finally:
            await end_member(consumer)

    async def first(
        self, spans: Mapping[TopicPartition, Span], *, within: float
    ) -> dict[TopicPartition, Event | None]:
        """Return the first record of each span that is not settled; None: there is none.

        What a span counts may be the markers of transactions alone, which are no records.

        Args:
            spans: Where to look.
            within: Seconds; a partition that has not answered by then is left out.
        """
        found: dict[TopicPartition, Event | None] = {}
        if not spans:
            return found
        self._consumer.assign(list(spans))
        for partition, span in spans.items():
            self._consumer.seek(partition, span.start)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within):
                while len(found) < len(spans):
                    await self._read_on(spans, found)
        return found

    async def _read_on(
        self, spans: Mapping[TopicPartition, Span], found: dict[TopicPartition, Event | None]
    ) -> None:
        batches = await self._consumer.getmany(timeout_ms=_POLL_MS)
        for partition, span in spans.items():
            if partition in found:
                continue
            for record in batches.get(partition, ()):
                if record.offset >= span.end:
                    found[partition] = None
                    break
                if not any(record.offset in settled for settled in span.settled):
                    found[partition] = event_of(record, parked_of=self._parked_of)
                    break
            else:
                # The position, not a record's offset: a transaction's markers have offsets too.
                if await self._consumer.position(partition) >= span.end:
                    found[partition] = None
            if partition in found:
                self._consumer.pause(partition)


@dataclass(frozen=True, slots=True)
class _Parked:
    written_ms: int
    times: int = 0
    not_before: UnixNanos | None = None
    reason: str = ""


def event_of(record: ConsumerRecord, *, parked_of: str) -> Event:
    """Return what a record says of itself, whatever it holds."""
    parked = _parked(record, parked_of)
    place: dict[str, Any] = {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "written_at": UnixNanos(max(0, parked.written_ms) * 10**6),
        "parked_times": parked.times,
        "not_before": parked.not_before,
        "reason": parked.reason,
    }
    try:
        event = decode_record(record.headers, record.value)
        namespace = namespace_of(record.headers)
    except CompletionError:
        # Is dead-lettered when it is its turn; until then it waits like any other.
        said = claim(record.headers, record.value)
        return Event(**place, event_id=said.event_id, type=said.type or "undecodable")
    activity = event.activity
    return Event(
        **place,
        event_id=event.event_id,
        type=event.type,
        namespace=namespace or activity.namespace,
        workflow_id=activity.workflow_id,
        run_id=activity.run_id,
        activity_id=activity.activity_id,
        token_fingerprint=token_fingerprint(activity.token_bytes()) or activity.token_fingerprint,
    )


def _parked(record: ConsumerRecord, parked_of: str) -> _Parked:
    if record.topic == parked_of:
        return _Parked(record.timestamp)
    try:
        ticket = read_ticket(record.headers, of=parked_of)
    except ParkedRecordError:  # a relay decides it as a record of that topic
        return _Parked(record.timestamp)
    said = next((value for name, value in record.headers if name == f"{PREFIX}reason"), b"")
    reason = (said or b"").decode("utf-8", "replace")[:_MOST_REASON]
    return _Parked(ticket.timestamp_ms, ticket.times, ticket.not_before, reason)
