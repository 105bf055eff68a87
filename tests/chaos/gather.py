"""Room `tests/chaos`: reads what is there, at the end of a run or amid it. Touches Kafka and Temporal, directly."""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import Iterable, Mapping, Sequence

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.structs import ConsumerRecord
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import Client
from tests.chaos.found import Commit, Ended, Found, Log, Started, parked_by
from tests.chaos.script import Address
from tests.support import committed_offsets, consume_all

from completion_relay.evidence import as_sent
from completion_relay.odd_headers import read_odd_headers
from completion_schemas.audit import decode_audit
from completion_schemas.record import KafkaRecord

_OFFSETS_TOPIC = "__consumer_offsets"
_ENDS = {
    EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED: "activity_task_completed_event_attributes",
    EventType.EVENT_TYPE_ACTIVITY_TASK_FAILED: "activity_task_failed_event_attributes",
    EventType.EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT: "activity_task_timed_out_event_attributes",
    EventType.EVENT_TYPE_ACTIVITY_TASK_CANCELED: "activity_task_canceled_event_attributes",
}


async def gather(
    client: Client, kafka: str, group: str, topics: Mapping[str, str], addresses: Iterable[Address]
) -> Found:
    """Return what is there.

    Args:
        client: Of Temporal.
        kafka: `bootstrap_servers`.
        group: The relays' consumer group.
        topics: The five topics' names by those of the settings (`completions`, `audit`, …).
        addresses: The activities that waited.
    """
    results: dict[Address, tuple[str, ...]] = {}
    ends: dict[Address, list[Ended]] = {}
    started: dict[Address, Started] = {}
    for workflow in sorted({workflow for workflow, _ in addresses}):
        history = await client.get_workflow_handle(workflow).fetch_history()
        read_history(workflow, history.events, results, ends)
        started |= read_attempts(workflow, history.events)
    log = await read_log(kafka, group, topics)
    return Found(
        topic=log.topic,
        main=log.main,
        audit=log.audit,
        parked=log.parked,
        commits=log.commits,
        dead_letters=[_plain(record) for record in await consume_all(kafka, topics["dead_letter"])],
        signals=[_plain(record) for record in await consume_all(kafka, topics["signals"])],
        results=results,
        ends=ends,
        started=started,
        uncommitted=await uncommitted(kafka, group, topics),
    )


async def read_log(kafka: str, group: str, topics: Mapping[str, str]) -> Log:
    """Return what Kafka has of the events now, and of who settled them.

    Args:
        kafka: `bootstrap_servers`.
        group: The relays' consumer group.
        topics: As `gather`'s.
    """
    read_odd_headers()
    # First: what a commit of them says is settled has its records in its own transaction or before.
    of_the_group = await commits(kafka, group)
    main = await consume_all(kafka, topics["completions"])
    return Log(
        topic=topics["completions"],
        main={(record.partition, record.offset): _plain(record) for record in main},
        audit=[
            decode_audit(record.value or b"")
            for record in await consume_all(kafka, topics["audit"])
        ],
        parked=parked_by(map(_plain, await consume_all(kafka, topics["parked"]))),
        commits=of_the_group,
    )


async def uncommitted(kafka: str, group: str, topics: Mapping[str, str]) -> dict[str, int]:
    """Return how many records are behind the group's committed offsets, by topic and partition.

    Of the parked topic records are counted, not offsets: where they are written in
    transactions, the last offset is that of a marker, which nobody commits.
    """
    committed = await committed_offsets(kafka, group, topics["completions"])
    behind = {
        f"{topics['completions']}/{partition}": end - committed.get(partition, 0)
        for partition, end in (await _end_offsets(kafka, topics["completions"])).items()
    }
    read_odd_headers()
    parked = await committed_offsets(kafka, group, topics["parked"])
    for record in await consume_all(kafka, topics["parked"]):
        where = f"{topics['parked']}/{record.partition}"
        behind[where] = behind.get(where, 0) + (record.offset >= parked.get(record.partition, 0))
    return behind


async def commits(kafka: str, group: str) -> list[Commit]:
    """Return every offset commit of a group, oldest first.

    Read from where the brokers keep them, so that none is missed; compaction, which
    would forget all but the last, leaves the segment that is written to alone, and a
    run fills none.
    """
    found = []
    for record in await consume_all(kafka, _OFFSETS_TOPIC):
        if record.key is None or record.value is None:
            continue
        commit = parsed_commit(record.key, record.value, group)
        if commit is not None:
            found.append(commit)
    return found


def parsed_commit(key: bytes, value: bytes, group: str) -> Commit | None:
    """Return the commit that a record of the offsets topic is, if it is one of the group.

    Kafka's `OffsetCommitKey` (versions 0 and 1: group, topic, partition) and
    `OffsetCommitValue` (offset, from version 3 on the leader's epoch, metadata; in version 4
    its length is written as a varint).
    """
    (version,) = struct.unpack_from(">h", key)
    if version not in (0, 1):
        return None
    owner, at = _string(key, 2)
    topic, at = _string(key, at)
    (partition,) = struct.unpack_from(">i", key, at)
    (version, offset) = struct.unpack_from(">hq", value)
    if version <= 3:
        metadata, _ = _string(value, 14 if version == 3 else 10)
    else:
        metadata = _compact_string(value, 14)
    return Commit(topic, partition, offset, metadata) if owner == group else None


def _string(data: bytes, at: int) -> tuple[str, int]:
    (length,) = struct.unpack_from(">h", data, at)
    end = at + 2 + int(length)
    return data[at + 2 : end].decode(), end


def _compact_string(data: bytes, at: int) -> str:
    length = shift = 0
    while True:
        byte = data[at]
        at += 1
        length |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return data[at : at + length - 1].decode()


def read_history(
    workflow: str,
    events: Sequence[HistoryEvent],
    results: dict[Address, tuple[str, ...]],
    ends: dict[Address, list[Ended]],
) -> None:
    scheduled: dict[int, str] = {}
    for event in events:
        if event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
            attributes = event.activity_task_scheduled_event_attributes
            scheduled[event.event_id] = attributes.activity_id
        elif event.event_type in _ENDS:
            ended = getattr(event, _ENDS[event.event_type])
            outcome = EventType.Name(event.event_type).removeprefix("EVENT_TYPE_ACTIVITY_TASK_")
            address = (workflow, scheduled[ended.scheduled_event_id])
            ends.setdefault(address, []).append(
                Ended(getattr(ended, "identity", ""), outcome.lower())
            )
        elif event.event_type == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED:
            (payload,) = event.workflow_execution_completed_event_attributes.result.payloads
            for number, ended in enumerate(json.loads(payload.data)):
                results[workflow, str(number)] = tuple(ended)


def read_attempts(workflow: str, events: Sequence[HistoryEvent]) -> dict[Address, Started]:
    scheduled: dict[int, str] = {}
    found: dict[Address, Started] = {}
    for event in events:
        if event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
            activity = event.activity_task_scheduled_event_attributes.activity_id
            scheduled[event.event_id] = activity
        elif event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_STARTED:
            started = event.activity_task_started_event_attributes
            found[workflow, scheduled[started.scheduled_event_id]] = Started(
                started.attempt, as_sent(started.last_failure).source
            )
    return found


def _plain(record: ConsumerRecord[bytes | None, bytes | None]) -> KafkaRecord:
    return KafkaRecord(record.key, record.value, tuple(record.headers))


async def _end_offsets(kafka: str, topic: str) -> dict[int, int]:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka, isolation_level="read_committed")
    try:
        await asyncio.gather(admin.start(), consumer.start())
        (described,) = await admin.describe_topics([topic])
        partitions = [TopicPartition(topic, one["partition"]) for one in described["partitions"]]
        ends = await consumer.end_offsets(partitions)
    finally:
        await asyncio.gather(admin.close(), consumer.stop())
    return {partition.partition: end for partition, end in ends.items()}
