"""Room `cli`: sends one event and waits for what becomes of it. Touches a producer and the audit trail."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import MessageSizeTooLargeError, RecordListTooLargeError
from aiokafka.structs import RecordMetadata

from completion_relay.audit_trail import AuditEntry, AuditTrail
from completion_relay.cli.reach import REQUEST_TIMEOUT_MS
from completion_relay.cli.token_file import InputError
from completion_relay.connections import kafka_options
from completion_relay.settings import Settings
from completion_relay.topic_admin import TopicAdmin
from completion_schemas.audit import AuditRecord
from completion_schemas.events import CompletionEvent
from completion_schemas.record import KafkaRecord


async def publish(
    settings: Settings, event: CompletionEvent, record: KafkaRecord, *, wait: float
) -> tuple[RecordMetadata, AuditRecord | None]:
    """Send the record, acknowledged by every replica in sync, and wait for its audit record.

    Args:
        settings: Where to, and how large it may be.
        event: What the record was made of.
        record: What to send.
        wait: How long for the audit record, seconds; 0 not at all.

    Returns:
        Where it went, and what became of it if that was known in time.

    Raises:
        TopicError: there is no such topic.
        InputError: the record is larger than the topic takes.
        KafkaError: Kafka cannot be reached, or refuses.
    """
    options = {**kafka_options(settings.kafka), "request_timeout_ms": REQUEST_TIMEOUT_MS}
    topic = settings.topics.completions
    async with contextlib.AsyncExitStack() as opened:
        async with TopicAdmin.connected(options) as admin:
            # A producer would create it, with whatever settings the broker has.
            await admin.partitions(topic)
        trail = begin = None
        if wait:
            trail = await opened.enter_async_context(
                AuditTrail.open(options, settings.topics.audit)
            )
            begin = await trail.end()
        sent = await _send(options, settings, record)
        if trail is None or begin is None:
            return sent, None
        with contextlib.suppress(TimeoutError):
            async with (
                asyncio.timeout(wait),
                contextlib.aclosing(trail.follow(begin, event_id=event.event_id)) as entries,
            ):
                async for entry in entries:
                    if isinstance(entry, AuditEntry) and _is_of(entry.record, sent):
                        return sent, entry.record
        return sent, None


async def _send(options: dict[str, Any], settings: Settings, record: KafkaRecord) -> RecordMetadata:
    limit = settings.relay.max_message_bytes
    producer = AIOKafkaProducer(
        **options, acks="all", enable_idempotence=True, max_request_size=limit
    )
    try:
        await producer.start()
        return await producer.send_and_wait(
            settings.topics.completions,
            record.value,
            key=record.key,
            headers=list(record.headers),
        )
    except (MessageSizeTooLargeError, RecordListTooLargeError):
        raise InputError(
            f"the event has {len(record.value or b'')} bytes, more than the topic takes: "
            "relay.max_message_bytes and the topic's max.message.bytes limit it "
            f"({limit} bytes by the settings)"
        ) from None
    finally:
        await producer.stop()


def _is_of(record: AuditRecord, sent: RecordMetadata) -> bool:
    # By position: the same event id may have been sent before.
    return (record.topic, record.partition, record.offset) == (
        sent.topic,
        sent.partition,
        sent.offset,
    )
