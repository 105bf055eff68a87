"""Room `cli`: sends an operator's instruction and waits for what becomes of its event. Touches a producer and topics."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from completion_relay.audit_trail import AuditEntry, AuditTrail
from completion_relay.cli.reach import REQUEST_TIMEOUT_MS
from completion_relay.connections import kafka_options
from completion_relay.first_of import end_all
from completion_relay.instruction import Instruction, instruction_record
from completion_relay.odd_headers import read_odd_headers
from completion_relay.parking import ParkedRecordError, Ticket, read_ticket
from completion_relay.settings import Settings
from completion_relay.topic_admin import TopicAdmin, TopicError
from completion_relay.topic_reader import Offsets
from completion_schemas.audit import AuditRecord

Outcome = AuditRecord | Ticket | None
"""The event was decided, was parked, or neither is known in time."""


async def instruct(settings: Settings, instruction: Instruction, *, wait: float) -> Outcome:
    """Send the instruction, acknowledged by every replica in sync, and wait for what becomes of the event.

    Args:
        settings: Where to.
        instruction: What is to be done.
        wait: How long, seconds; 0 not at all.

    Raises:
        TopicError: there is no such topic, or it has too few partitions.
        KafkaError: Kafka cannot be reached, or refuses.
    """
    options = {**kafka_options(settings.kafka), "request_timeout_ms": REQUEST_TIMEOUT_MS}
    parked = TopicPartition(settings.topics.parked, instruction.partition)
    async with contextlib.AsyncExitStack() as opened:
        async with TopicAdmin.connected(options) as admin:
            if await admin.partitions(parked.topic) <= parked.partition:
                raise TopicError(
                    f"topic {parked.topic} has no partition {parked.partition}, and needs as many as "
                    f"{settings.topics.completions}: add some with `kafka-topics --alter --partitions`"
                )
        if not wait:
            await _send(options, parked, instruction)
            return None
        trail = await opened.enter_async_context(AuditTrail.open(options, settings.topics.audit))
        begin = await trail.end()
        watches: list[Coroutine[Any, Any, Outcome]] = [_decided(trail, begin, instruction)]
        if instruction.until is not None:
            consumer = await opened.enter_async_context(_reading(options, parked))
            watches.append(_parked(consumer, instruction))
        await _send(options, parked, instruction)
        return await _first(watches, wait)


async def _first(watches: list[Coroutine[Any, Any, Outcome]], wait: float) -> Outcome:
    watching = [asyncio.ensure_future(watch) for watch in watches]
    try:
        done, _ = await asyncio.wait(watching, timeout=wait, return_when=asyncio.FIRST_COMPLETED)
        return next((one.result() for one in done), None)
    finally:
        await end_all(watching)


async def _send(options: dict[str, Any], to: TopicPartition, instruction: Instruction) -> None:
    record = instruction_record(instruction)
    producer = AIOKafkaProducer(**options, acks="all", enable_idempotence=True)
    try:
        await producer.start()
        await producer.send_and_wait(
            to.topic,
            record.value,
            key=record.key,
            partition=to.partition,
            headers=list(record.headers),
        )
    finally:
        await producer.stop()


async def _decided(trail: AuditTrail, begin: Offsets, instruction: Instruction) -> Outcome:
    place = (instruction.topic, instruction.partition, instruction.offset)
    following = trail.follow(begin, event_id=instruction.event_id)
    async with contextlib.aclosing(following) as entries:
        async for entry in entries:
            if isinstance(entry, AuditEntry):
                record = entry.record
                if (record.topic, record.partition, record.offset) == place:
                    return record
    return None


@contextlib.asynccontextmanager
async def _reading(options: dict[str, Any], parked: TopicPartition) -> Any:
    read_odd_headers()
    consumer = AIOKafkaConsumer(
        **options,
        group_id=None,
        enable_auto_commit=False,
        isolation_level="read_committed",
        auto_offset_reset="latest",
    )
    try:
        await consumer.start()
        ends = await consumer.end_offsets([parked])
        consumer.assign([parked])
        consumer.seek(parked, ends[parked])
        yield consumer
    finally:
        await consumer.stop()


async def _parked(consumer: AIOKafkaConsumer, instruction: Instruction) -> Outcome:
    async for record in consumer:
        with contextlib.suppress(ParkedRecordError):
            ticket = read_ticket(record.headers, of=instruction.topic)
            if (ticket.offset, ticket.hold) == (instruction.offset, instruction.hold):
                return ticket
    return None
