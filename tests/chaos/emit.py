"""Room `tests/chaos`: emits a script. Touches Kafka, directly."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from aiokafka.partitioner import DefaultPartitioner
from temporalio.api.common.v1 import Payload, Payloads
from temporalio.api.failure.v1 import ApplicationFailureInfo, Failure
from tests.chaos.script import (
    EARLY_SECONDS,
    ELSEWHERE,
    FAILURE_TYPE,
    POISON_SECONDS,
    Address,
    Event,
    Garbage,
    Item,
    Kind,
    event_id,
    text,
)
from tests.odd_headers import Written, send_batch

from completion_schemas.cloudevents import encode_record
from completion_schemas.events import (
    ActivityReference,
    Canceled,
    Completed,
    CompletionEvent,
    Failed,
    Heartbeat,
    Outcome,
    UnixNanos,
    unix_nanos,
)
from completion_schemas.record import KafkaRecord
from completion_schemas.tokens import token_fingerprint

ODD: Final = (b"x-\xff\xfe", b"odd")
"""The header whose name is not UTF-8."""
_LONG_TRACE: Final = "at chaos\n" * 1_000
"""Over 4 KiB: of a failure that it retries Temporal keeps a shortened form, in one of its own."""


@dataclass
class Emitter:
    """Emits a script with an idempotent producer, directly to the brokers."""

    kafka: str
    topic: str
    seed: int
    references: Mapping[Address, ActivityReference]
    second: Callable[[Address], Awaitable[ActivityReference]] | None = None
    """Waits for what an activity's second attempt hands over; for a script that has such."""
    begin: Callable[[Address], Awaitable[None]] | None = None
    """Has an activity scheduled; for a script with early events."""
    acknowledged: int = 0
    repeated: int = 0
    """How often a send failed and was made again: the record may then be there twice."""

    async def emit(self, items: Sequence[Item], *, seconds: float) -> None:
        """Emit all of it, evenly over `seconds`; return when every record was acknowledged.

        Early events' activities are scheduled then, too.
        """
        loop = asyncio.get_running_loop()
        async with contextlib.AsyncExitStack() as stack:
            producer = await stack.enter_async_context(self._producer(enable_idempotence=True))
            is_odd = any(isinstance(item, Event) and item.odd for item in items)
            # aiokafka numbers the records of its own batches alone.
            batches = (
                await stack.enter_async_context(self._producer(enable_idempotence=False))
                if is_odd
                else producer
            )
            sending = await stack.enter_async_context(asyncio.TaskGroup())
            begun = loop.time()
            for number, item in enumerate(items):
                await asyncio.sleep(begun + seconds * number / len(items) - loop.time())
                sending.create_task(self._emit(item, producer, batches))

    def _producer(self, *, enable_idempotence: bool) -> AIOKafkaProducer:
        return AIOKafkaProducer(
            bootstrap_servers=self.kafka,
            enable_idempotence=enable_idempotence,
            acks="all",
            # A batch is given up after it: longer than any outage of the brokers.
            request_timeout_ms=120_000,
        )

    async def _emit(
        self, item: Item, producer: AIOKafkaProducer, batches: AIOKafkaProducer
    ) -> None:
        record = await self._record(item)
        send = (
            partial(self._send_odd, batches, record)
            if isinstance(item, Event) and item.odd
            else partial(self._send, producer, record)
        )
        await self._until_acknowledged(send)
        if isinstance(item, Event) and item.early:
            assert self.begin is not None, "the script has early events"
            await asyncio.sleep(EARLY_SECONDS)
            await self.begin(item.address)

    async def _record(self, item: Item) -> KafkaRecord:
        if isinstance(item, Garbage):
            return item.record
        reference = self.references[item.address]
        if item.attempt == 2:
            assert self.second is not None, "the script has second attempts"
            reference = await self.second(item.address)
        now = unix_nanos(datetime.now(UTC))
        return encode_record(made(item, self.seed, reference, now))

    async def _send(self, producer: AIOKafkaProducer, record: KafkaRecord) -> None:
        await producer.send_and_wait(
            self.topic, record.value, key=record.key, headers=list(record.headers)
        )

    async def _send_odd(self, producer: AIOKafkaProducer, record: KafkaRecord) -> None:
        headers = [(name.encode(), value) for name, value in record.headers]
        partitions = sorted(await producer.partitions_for(self.topic))
        await send_batch(
            producer,
            self.topic,
            [Written(record.value, record.key, [ODD, *headers])],
            partition=DefaultPartitioner()(record.key, partitions, partitions),
        )

    async def _until_acknowledged(self, send: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await send()
            except KafkaError:
                self.repeated += 1
            else:
                self.acknowledged += 1
                return


def made(event: Event, seed: int, reference: ActivityReference, now: UnixNanos) -> CompletionEvent:
    """Return the event as it is emitted.

    Args:
        event: Of the script.
        seed: The run's.
        reference: What its activity handed over.
        now: The time.
    """
    deadline = None
    if event.kind is Kind.POISON:
        reference = _with_token(reference, poison(reference.token_bytes(), event.number))
        deadline = UnixNanos(now + round(POISON_SECONDS * 1e9))
    elif event.kind is Kind.ELSEWHERE:
        reference = replace(reference, namespace=ELSEWHERE)
    if event.by_ids:
        reference = replace(reference, task_token="", token_fingerprint="")
        if event.kind is Kind.RETRIED:
            # Of one who does not know the attempt: nothing but the event's own id then keeps its
            # duplicate from the second attempt.
            reference = replace(reference, attempt=0)
    return CompletionEvent(
        event_id=event_id(seed, event),
        occurred_at=now,
        activity=reference,
        outcome=_outcome(event, seed),
        deadline=deadline,
    )


def _outcome(event: Event, seed: int) -> Outcome:
    own = text(seed, event.address)
    match event.kind:
        case Kind.FAILED:
            info = ApplicationFailureInfo(type=FAILURE_TYPE, non_retryable=True)
            return Failed(Failure(message=own, application_failure_info=info))
        case Kind.RETRIED:
            info = ApplicationFailureInfo(type=FAILURE_TYPE)
            trace = _LONG_TRACE if event.number % 3 == 0 else ""
            return Failed(Failure(message=own, stack_trace=trace, application_failure_info=info))
        case Kind.CANCELED | Kind.UNASKED:
            return Canceled(_payloads(own))
        case Kind.HEARTBEAT:
            return Heartbeat(_payloads(f"{own}, {event.number}"))
        case _:
            return Completed(_payloads(own))


def _payloads(own: str) -> Payloads:
    data = json.dumps(own).encode()
    return Payloads(payloads=[Payload(metadata={"encoding": b"json/plain"}, data=data)])


def _with_token(reference: ActivityReference, token: bytes) -> ActivityReference:
    return replace(
        reference,
        task_token=base64.b64encode(token).decode("ascii"),
        token_fingerprint=token_fingerprint(token),
    )


def poison(token: bytes, number: int) -> bytes:
    """Return the token so that Temporal can never take it, and never says that it cannot.

    Both are seen on server 1.32.0, and a token is `temporal.server.api.token.v1.Task`, in which
    a field that is there twice counts as it is there last.

    Args:
        token: Of an activity that waits.
        number: Of the poison. The first has a `clock` ahead of its shard's: Temporal takes the shard for
            lost, loads it again and again, and has not answered when the call is over (one of them a
            run, as the development server has one shard, and answers nobody meanwhile). The others
            have a `scheduled_event_id` that the workflow has not reached: UNKNOWN for ever.
    """
    if number == 0:
        clock = b"\x10" + _varint(2**60)
        return token + b"\x4a" + _varint(len(clock)) + clock
    return token + b"\x20" + _varint(2**62)


def _varint(number: int) -> bytes:
    most, least = divmod(number, 128)
    return bytes([least | 128]) + _varint(most) if most else bytes([least])
