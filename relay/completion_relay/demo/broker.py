"""Room `demo`: topics and group, as seen and handled from the outside. Touches Kafka."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment
from aiokafka.protocol.group import LeaveGroupRequest

from completion_relay.connections import kafka_options
from completion_relay.settings import Settings
from completion_relay.topic_admin import TopicAdmin
from completion_schemas.audit import AuditRecord

_POLL_SECONDS = 0.1


async def send_again(settings: Settings, decided: AuditRecord) -> None:
    """Send the record that was decided once more, as a producer does that lost its ack."""
    options = kafka_options(settings.kafka)
    at = TopicPartition(decided.topic, decided.partition)
    async with _consumer(options) as consumer:
        consumer.assign([at])
        consumer.seek(at, decided.offset)
        record = await consumer.getone(at)
    async with AIOKafkaProducer(**options, acks="all", enable_idempotence=True) as producer:
        await producer.send_and_wait(
            record.topic,
            record.value,
            key=record.key,
            headers=list(record.headers),
            partition=record.partition,
        )


async def record_count(settings: Settings) -> int:
    """Return how many records the topic of completion events has ever had."""
    async with _topic(settings) as (_, consumer, partitions):
        return sum((await consumer.end_offsets(partitions)).values())


async def all_committed(
    settings: Settings, *, records: int, besides: frozenset[int] = frozenset()
) -> None:
    """Wait until the topic has had so many records, and the group has committed all of them.

    Args:
        settings: The relays'.
        records: As `record_count` counts.
        besides: Partitions whose commits are not waited for.
    """
    async with _topic(settings) as (admin, consumer, partitions):
        while True:
            ends: Mapping[TopicPartition, int] = await consumer.end_offsets(partitions)
            offsets = await admin.client.list_consumer_group_offsets(settings.kafka.group_id)
            is_committed = (
                end == 0 or tp.partition in besides or _at(offsets, tp) >= end
                for tp, end in ends.items()
            )
            if sum(ends.values()) >= records and all(is_committed):
                return
            await asyncio.sleep(_POLL_SECONDS)


async def partitions_of(settings: Settings, client_id: str) -> frozenset[int]:
    """Return the partitions that a member of the group has."""
    async with TopicAdmin.connected(kafka_options(settings.kafka)) as admin:
        member = await _member(admin.client, settings.kafka.group_id, client_id)
    if not member:
        return frozenset()
    assignment = ConsumerProtocolMemberAssignment.decode(member["member_assignment"])
    return frozenset(p for _, partitions in assignment.assignment for p in partitions)


async def end_session(settings: Settings, client_id: str) -> None:
    """Have the group go on without a member that is dead, in its name (LeaveGroup).

    Kafka does that by itself after session.timeout.ms. The embedded broker never
    does: a member that was killed kept its partitions for as long as was waited
    (noida-db 0.2.3, 70 s). Call it while the others have nothing to commit: that
    broker starts a new generation at once and takes a commit of the last one,
    which Kafka would accept, as a reason to throw the member out (seen too).
    """
    group = settings.kafka.group_id
    async with TopicAdmin.connected(kafka_options(settings.kafka)) as admin:
        client = admin.client
        if member := await _member(client, group, client_id):
            leave = LeaveGroupRequest(group, member["member_id"])
            coordinator = await client.find_coordinator(group)
            await client._send_request(leave, coordinator)  # noqa: SLF001 - nothing public sends it for another member


async def _member(client: AIOKafkaAdminClient, group: str, client_id: str) -> dict[str, Any] | None:
    for described in await client.describe_consumer_groups([group]):
        for found in described.to_object()["groups"]:
            for member in found["members"]:
                if member["client_id"] == client_id:
                    return dict(member)
    return None


def _at(offsets: Mapping[TopicPartition, Any], partition: TopicPartition) -> int:
    committed = offsets.get(partition)
    return -1 if committed is None else int(committed.offset)


@contextlib.asynccontextmanager
async def _topic(
    settings: Settings,
) -> AsyncIterator[tuple[TopicAdmin, AIOKafkaConsumer, list[TopicPartition]]]:
    options = kafka_options(settings.kafka)
    topic = settings.topics.completions
    async with TopicAdmin.connected(options) as admin, _consumer(options) as consumer:
        yield (
            admin,
            consumer,
            [TopicPartition(topic, n) for n in range(await admin.partitions(topic))],
        )


def _consumer(options: Mapping[str, Any]) -> AIOKafkaConsumer:
    return AIOKafkaConsumer(**options, enable_auto_commit=False, auto_offset_reset="earliest")
