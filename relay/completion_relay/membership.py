"""Room `consumer`: aiokafka's consumer, made and ended so that it loses nothing. Touches aiokafka."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.coordinator.protocol import ConsumerProtocolMemberMetadata
from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition

from completion_relay.fetch_pause import pause_after_empty_fetches
from completion_relay.odd_headers import read_odd_headers
from completion_relay.settings import KafkaSettings
from completion_relay.silence import Reading

FETCH_BYTES = 256 * 1024
"""Kafka's `max.partition.fetch.bytes`: aiokafka holds so much of each partition, beside what is
decided. With 4 MiB, the largest event, a relay with a backlog had 238 MB resident; with this 152 MB,
for 1 µs of CPU an event more (measured; 128 KiB saved nothing more, 1 MiB had 162 MB). No event is too
large for it: where the first batch is larger, a broker sends it whole if it is the first of the answer
(KIP-74, since 0.10.1), and aiokafka shuffles the partitions that it asks for. A test holds a real broker
to that."""
_STOP_SECONDS = 10.0
_CUT_SECONDS = 1.0
_ANSWER_SECONDS = 2.0


def new_member(
    options: dict[str, Any], kafka: KafkaSettings, *, introduction: bytes = b""
) -> AIOKafkaConsumer:
    """Return a consumer that has not been started.

    Args:
        options: What aiokafka takes to connect.
        kafka: Group and time-outs.
        introduction: What the member says of itself in the group, as its user data.
    """
    read_odd_headers()
    consumer = AIOKafkaConsumer(
        **options,
        group_id=kafka.group_id,
        # aiokafka would commit what is not decided, start at the end, and jump
        # there without a word (facts C): each position is set explicitly.
        enable_auto_commit=False,
        auto_offset_reset="none",
        isolation_level="read_committed",
        # With several assignors aiokafka joins once for each; Sticky is broken
        # (#1176).
        partition_assignment_strategy=(_introduced(introduction),),
        session_timeout_ms=kafka.session_timeout_ms,
        heartbeat_interval_ms=kafka.session_timeout_ms // 3,
        rebalance_timeout_ms=kafka.rebalance_timeout_ms,
        # JoinGroup waits for the rebalance and uses this time-out.
        request_timeout_ms=kafka.rebalance_timeout_ms + 10_000,
        max_partition_fetch_bytes=FETCH_BYTES,
    )
    if kafka.empty_fetch_pause_ms:
        pause_after_empty_fetches(consumer, kafka.empty_fetch_pause_ms / 1_000)
    return consumer


def _introduced(introduction: bytes) -> type[RangePartitionAssignor]:
    """Return Kafka's range assignor, whose members say something of themselves.

    Its name and its way of sharing out stay: members with and without an introduction are one
    group, as during a rolling upgrade.
    """

    class Introduced(RangePartitionAssignor):  # type: ignore[misc]
        @classmethod
        def metadata(cls, topics: Iterable[str]) -> ConsumerProtocolMemberMetadata:
            return ConsumerProtocolMemberMetadata(cls.version, list(topics), introduction)

    return Introduced


def check_member(consumer: AIOKafkaConsumer) -> None:
    """Look whether what works behind a started consumer still does.

    A defect ends aiokafka's fetcher for good, with a line in its own log and no
    other sign: polls bring nothing any more, for ever. (0.14.0: a second
    NoOffsetForPartitionError for a partition whose first one nobody has asked for
    trips over an assertion; a run of faults came across it.)

    Raises:
        KafkaError: it does not; a new member has to take its place.
    """
    behind = {
        "fetcher": consumer._fetcher._fetch_task,  # noqa: SLF001 - nobody else watches it
        "metadata": consumer._client._sync_task,  # noqa: SLF001 - the same
    }
    for what, task in behind.items():
        if task is not None and task.done():
            why = "it was cancelled" if task.cancelled() else repr(task.exception())
            raise KafkaError(f"aiokafka's task for the {what} has ended: {why}")


def readings_of(consumer: AIOKafkaConsumer) -> dict[TopicPartition, Reading]:
    """Return how far each partition that a consumer is assigned has been read."""
    readings = {}
    for partition in consumer.assignment():
        # Not position(), which waits until there is one.
        states = consumer._subscription.subscription.assignment  # noqa: SLF001 - as above
        state = states.state_value(partition)
        readings[partition] = Reading(
            position=state.position if state.has_valid_position else None,
            has_some=partition in consumer._fetcher._records,  # noqa: SLF001 - nobody else tells
            is_paused=state.paused,
        )
    return readings


async def end_of(consumer: AIOKafkaConsumer, partition: TopicPartition) -> int | None:
    """Return where a partition ends for readers of committed records; None: Kafka does not say now."""
    with contextlib.suppress(KafkaError, TimeoutError):
        # aiokafka asks a partition without a leader again and again, for longer than a drain may take.
        async with asyncio.timeout(_ANSWER_SECONDS):
            ends: dict[TopicPartition, int] = await consumer.end_offsets([partition])
        return ends[partition]
    return None


async def end_member(consumer: AIOKafkaConsumer) -> None:
    """Leave the group and disconnect, in a bounded time.

    Without a broker aiokafka's `stop()` may wait for ever, and its fetcher lets
    a `CancelledError` of its own out of it (0.14.0).
    """
    stopping = asyncio.ensure_future(consumer.stop())
    with contextlib.suppress(KafkaError):
        await asyncio.wait({stopping}, timeout=_STOP_SECONDS)
        if stopping.done() and not stopping.cancelled():
            stopping.result()
            return
    stopping.cancel()
    await asyncio.wait({stopping}, timeout=_CUT_SECONDS)
    await _cut_off(consumer)


async def _cut_off(consumer: AIOKafkaConsumer) -> None:
    """End what a `stop()` that was cut short leaves: heartbeats of a member that is none, connections."""
    coordinator, fetcher = consumer._coordinator, consumer._fetcher  # noqa: SLF001 - as stop() does
    ends: list[Callable[[], Awaitable[None]]] = []
    if isinstance(coordinator, GroupCoordinator):
        ends.append(coordinator._stop_heartbeat_task)  # noqa: SLF001 - as above
        ends.append(coordinator._stop_commit_offsets_refresh_task)  # noqa: SLF001 - as above
    if fetcher is not None:
        ends.append(fetcher.close)
    ends.append(consumer._client.close)  # noqa: SLF001 - as above
    for end in ends:
        with contextlib.suppress(KafkaError, TimeoutError, asyncio.CancelledError):
            await asyncio.wait_for(end(), _CUT_SECONDS)
