"""What is committed and when: each promise of `DESIGN.md` about positions, where it could break.

An event is "held" here when it waits, by ids, for the activity of a workflow
whose task queue has no worker yet: it waits until the test starts one. It is
"under way" when its call waits for Temporal's answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import random
import signal
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import CorruptRecordException
from aiokafka.structs import ConsumerRecord, OffsetAndMetadata, RecordMetadata, TopicPartition
from temporalio.client import WorkflowHandle
from tests.integration.relay.members import Members
from tests.integration.relay.process import get, run, topic_settings
from tests.integration.relay.waiting import Far, Scene, completed, event, relay
from tests.support import consume_all, eventually, group_commits, produce
from tests.unlike_kafka import commit_in_rebalance

import completion_relay.membership
from completion_relay.consumer import Consumer
from completion_relay.demo.broker import end_session
from completion_relay.offset_map import decode
from completion_relay.status_page import read_page
from completion_schemas.audit import AuditRecord
from completion_schemas.cloudevents import encode_record
from completion_schemas.dispositions import DeadLetterReason, Disposition
from completion_schemas.events import ActivityReference, CompletionEvent

ONLY_ON_REVOKE_AND_STOP = 60.0
"""A `commit_interval` that no test lives to see."""
UNTIL_MENDED = {"rpc_timeout": 60.0}
"""So that a call lasts until a stalled link is mended, on a machine that stands still as well."""
AS_LONG_AS_MAY_BE = 55.0
"""A `drain_timeout` that just fits the rebalance, seconds."""


@pytest.fixture
def held(scene: Scene) -> Scene:
    """The scene with a task queue that nobody polls: its `worker()` lets the held events go."""
    return dataclasses.replace(scene, task_queue=f"{scene.task_queue}-held")


async def held_activity(held: Scene) -> tuple[WorkflowHandle[Any, Any], ActivityReference]:
    """Start a workflow that nobody runs yet; return it with its activity, by ids."""
    handle = await held.start(activity_id="approval")
    return handle, ActivityReference(
        workflow_id=handle.id, run_id=handle.result_run_id or "", activity_id="approval"
    )


async def emit_to(scene: Scene, partition: int, sent: CompletionEvent) -> RecordMetadata:
    """Publish an event to a partition of the test's choice."""
    record = encode_record(sent)
    return await produce(
        scene.kafka,
        scene.topics.completions,
        record.value,
        key=record.key,
        headers=[(name, value or b"") for name, value in record.headers],
        partition=partition,
    )


async def metric(http: str, sample: str) -> float | None:
    """Return one sample of /metrics, such as `completion_relay_inflight`; None: there is none."""
    _, text = await get(f"http://{http}/metrics")
    for line in text.splitlines():
        name, _, value = line.rpartition(" ")
        if name == sample:
            return float(value)
    return None


async def fetched(http: str, scene: Scene, partition: int) -> int:
    """Return how many records of a partition of events the relay has that are not begun."""
    _, page = await get(f"http://{http}/status")
    (replica,) = read_page(page)
    (state,) = [
        one
        for one in replica.partitions
        if (one.topic, one.partition) == (scene.topics.completions, partition)
    ]
    return state.fetched


async def under_way(http: str, count: int) -> None:
    """Return once so many events are being decided."""

    async def as_many() -> bool:
        return await metric(http, "completion_relay_inflight") == count

    await eventually(as_many, what=f"{count} events under way")


async def committed(scene: Scene) -> dict[int, int]:
    """Return what the group of the scene's relays has committed, by partition."""
    return {number: commit.offset for number, commit in (await commits(scene)).items()}


async def commits(scene: Scene) -> dict[int, OffsetAndMetadata]:
    """Return the same with its metadata."""
    topic = scene.topics.completions
    return await group_commits(scene.kafka, f"{topic}.g", topic)


def after(positions: list[RecordMetadata]) -> dict[int, int]:
    """Return the offset to commit, by partition, when all the records are settled."""
    ends: dict[int, int] = {}
    for at in positions:
        ends[at.partition] = max(ends.get(at.partition, 0), at.offset + 1)
    return ends


def places(records: list[AuditRecord] | list[RecordMetadata]) -> list[tuple[int, int]]:
    """Return partition and offset of each, sorted."""
    return sorted((record.partition, record.offset) for record in records)


async def test_a_relay_that_stops_decides_and_commits_what_is_under_way(far: Far) -> None:
    scene = far.scene
    async with contextlib.AsyncExitStack() as running:
        settings = scene.settings(
            relay={"commit_interval": ONLY_ON_REVOKE_AND_STOP}, temporal=UNTIL_MENDED
        )
        http = await running.enter_async_context(relay(settings))
        ((handle, at),) = await far.under_way(1)
        await under_way(http, 1)
        stopping = asyncio.create_task(running.aclose())
        far.link.mend()
        await stopping
    assert await committed(scene) == {at.partition: at.offset + 1}
    (audit,) = await scene.audit()
    assert (audit.disposition, audit.tries) == (Disposition.APPLIED, 1)
    assert await handle.result() == "done"


async def test_a_relay_that_stops_leaves_what_only_waits_to_the_next(
    scene: Scene, held: Scene
) -> None:
    """At once, whatever time it has to drain; and what comes behind it in its lane as well."""
    handle, reference = await held_activity(held)
    settings = scene.settings(relay={"drain_timeout": AS_LONG_AS_MAY_BE, "early_timeout": 600.0})
    async with contextlib.AsyncExitStack() as running:
        http = await running.enter_async_context(relay(settings))
        first = await emit_to(scene, 0, event(reference, completed(b'"the first"')))
        second = await emit_to(scene, 0, event(reference, completed(b'"the second"')))
        await under_way(http, 1)
        async with asyncio.timeout(AS_LONG_AS_MAY_BE / 2):
            await running.aclose()
    assert await committed(scene) == {}
    assert await scene.audit() == []
    async with held.worker(), relay(settings):
        assert await handle.result() == "the first"
        dispositions = [(await scene.decided(at)).disposition for at in (first, second)]
    assert dispositions == [Disposition.APPLIED, Disposition.CONFLICT]


async def test_partitions_that_are_asked_back_are_given_up_decided_and_committed(
    far: Far, members: Members
) -> None:
    """White-box: the listener is called as aiokafka calls it. With a true rebalance see below."""
    scene = far.scene
    settings = scene.settings(
        relay={"commit_interval": ONLY_ON_REVOKE_AND_STOP}, temporal=UNTIL_MENDED
    )
    async with relay(settings) as http:
        positions = [at for _, at in await far.under_way(3)]
        await under_way(http, len(positions))
        consumer, assigned = members.assignments[-1]
        revoked = asyncio.create_task(consumer.on_partitions_revoked(assigned))
        far.link.mend()
        await revoked
        assert await committed(scene) == after(positions)
        audit = await scene.audit()
    assert places(audit) == places(positions)
    assert {(record.disposition, record.tries) for record in audit} == {(Disposition.APPLIED, 1)}


@commit_in_rebalance
async def test_a_relay_that_joins_makes_the_other_decide_and_commit_what_is_under_way(
    scene: Scene, far: Far, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The spy only tells when the first relay is asked for its partitions."""
    revoking = asyncio.Event()
    original = Consumer.on_partitions_revoked

    async def spy(self: Consumer, revoked: set[TopicPartition]) -> None:
        if revoked:
            revoking.set()
        await original(self, revoked)

    monkeypatch.setattr(Consumer, "on_partitions_revoked", spy)
    sections: dict[str, dict[str, Any]] = {
        # The shortest that Kafka takes (group.min.session.timeout.ms): a third of it is how
        # long it takes a member to hear of a rebalance.
        "kafka": {"session_timeout_ms": 6_000},
        "relay": {"commit_interval": ONLY_ON_REVOKE_AND_STOP},
        "temporal": UNTIL_MENDED,
    }
    async with contextlib.AsyncExitStack() as running:
        http = await running.enter_async_context(relay(far.scene.settings(**sections)))
        positions = [at for _, at in await far.under_way(4)]
        await under_way(http, len(positions))
        joining = asyncio.create_task(
            running.enter_async_context(relay(scene.settings(**sections)))
        )
        await asyncio.wait_for(revoking.wait(), 30)
        far.link.mend()
        await joining
        assert await committed(scene) == after(positions)
        handle, reference = await scene.waiting()
        positions.append(await scene.emit(event(reference, completed())))
        await handle.result()  # its audit record gathers until the stop
    assert await committed(scene) == after(positions)
    audit = await scene.audit()
    assert places(audit) == places(positions)
    assert {record.disposition for record in audit} == {Disposition.APPLIED}


@pytest.mark.parametrize("before", [0, 1])
async def test_a_poll_that_raises_after_it_took_records_loses_none(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, before: int
) -> None:
    """White-box: aiokafka drains one partition, raises for another, and drops the first's records.

    `before` is how many records of the partition were delivered until then.
    """
    dropped: list[TopicPartition] = []
    delivered = 0

    class Dropping(AIOKafkaConsumer):  # type: ignore[misc]
        async def getmany(self, **how: Any) -> dict[TopicPartition, list[ConsumerRecord]]:
            nonlocal delivered
            batches: dict[TopicPartition, list[ConsumerRecord]] = await super().getmany(**how)
            if batches and delivered == before and not dropped:
                dropped.extend(batches)
                raise CorruptRecordException
            delivered += sum(map(len, batches.values()))
            return batches

    monkeypatch.setattr(completion_relay.membership, "AIOKafkaConsumer", Dropping)
    positions = []
    async with relay(scene.settings()):
        for _ in range(before + 1):
            _, reference = await scene.waiting()
            positions.append(await emit_to(scene, 0, event(reference, completed())))
            audit = await scene.decided(positions[-1])
            assert audit.disposition is Disposition.APPLIED
    assert [partition.partition for partition in dropped] == [0]
    assert places(await scene.audit()) == places(positions)


@pytest.mark.usefixtures("nobody_gives_way")
async def test_a_full_window_pauses_its_partition_and_no_other(scene: Scene, held: Scene) -> None:
    """Three records fill it; seven more stay with Kafka until it empties."""
    handle, reference = await held_activity(held)
    same = [event(reference, completed(b"%d" % number)) for number in range(10)]
    full = 'completion_relay_paused{cause="window full"}'
    undecided = f'completion_relay_uncommitted{{partition="0",topic="{scene.topics.completions}"}}'
    async with relay(scene.settings(relay={"window": 3, "early_timeout": 60.0})) as http:
        positions = [await emit_to(scene, 0, one) for one in same[:3]]

        async def paused() -> bool:
            return await metric(http, full) == 1

        await eventually(paused, what="a paused partition")
        positions += [await emit_to(scene, 0, one) for one in same[3:]]
        # What comes later on another partition is taken and decided, so the ten were passed over.
        _, other = await scene.waiting()
        await scene.decided(await emit_to(scene, 1, event(other, completed())))
        assert (await metric(http, undecided), await metric(http, full)) == (3, 1)
        assert await fetched(http, scene, 0) == 0
        async with held.worker():
            assert await handle.result() == 0
            decided = [(await scene.decided(at)).disposition for at in positions]
        assert decided == [Disposition.APPLIED, *[Disposition.CONFLICT] * 9]

        async def resumed() -> bool:
            return await metric(http, full) == 0

        await eventually(resumed, what="no paused partition")


async def test_early_events_that_fill_the_window_are_parked_and_decided_in_their_order(
    scene: Scene, held: Scene
) -> None:
    """What comes behind them on their partition does not wait for an activity that may never come."""
    handle, reference = await held_activity(held)
    same = [event(reference, completed(b"%d" % number)) for number in range(10)]
    quick = {"window": 3, "early_timeout": 60.0, "park_initial": 0.2, "park_maximum": 1.0}
    async with relay(scene.settings(relay=quick)):
        positions = [await emit_to(scene, 0, one) for one in same]
        behind = await _applied(scene, partition=0)
        async with held.worker():
            assert await handle.result() == 0
            decided = [(await scene.decided(at)).disposition for at in positions]
    assert decided == [Disposition.APPLIED, *[Disposition.CONFLICT] * 9]
    assert places(await scene.audit()) == places([*positions, behind])


async def test_nothing_behind_an_undecided_record_is_committed(scene: Scene, held: Scene) -> None:
    handle, reference = await held_activity(held)
    async with relay(scene.settings(relay={"early_timeout": 60.0})):
        await _applied(scene, partition=0)
        first = await emit_to(scene, 0, event(reference, completed()))
        last = await _applied(scene, partition=0)

        async def last_is_settled_ahead() -> int | None:
            commit = (await commits(scene))[0]
            ahead = decode(commit.offset, commit.metadata)
            return commit.offset if ahead == [range(last.offset, last.offset + 1)] else None

        # The commit that knows of `last` has come as far as `first`, and no farther.
        assert await eventually(last_is_settled_ahead, what="its commit") == first.offset
        async with held.worker():
            await handle.result()
            await scene.decided(first)
    assert await committed(scene) == after([last])


async def _applied(scene: Scene, *, partition: int) -> RecordMetadata:
    """Return the position of an event that has been applied."""
    _, reference = await scene.waiting()
    at = await emit_to(scene, partition, event(reference, completed()))
    assert (await scene.decided(at)).disposition is Disposition.APPLIED
    return at


@dataclasses.dataclass
class AuditOutage:
    """A relay that completed an activity and cannot write that down."""

    http: str
    at: RecordMetadata
    running: contextlib.AsyncExitStack


@pytest.fixture
async def audit_outage(scene: Scene) -> AsyncIterator[AuditOutage]:
    """The audit topic takes 100 bytes a record; an audit record is larger."""
    await limit_topic(scene, scene.topics.audit, 100)
    async with contextlib.AsyncExitStack() as running:
        http = await running.enter_async_context(
            relay(scene.settings(relay={"drain_timeout": 0.2}))
        )
        handle, reference = await scene.waiting()
        at = await scene.emit(event(reference, completed(b'"not written down"')))
        assert await handle.result() == "not written down"
        yield AuditOutage(http, at, running)


async def limit_topic(scene: Scene, topic: str, size: int) -> None:
    """Set the topic's `max.message.bytes`."""
    admin = AIOKafkaAdminClient(bootstrap_servers=scene.kafka)
    await admin.start()
    try:
        limit = {"max.message.bytes": str(size)}
        (response,) = await admin.alter_configs(
            [ConfigResource(ConfigResourceType.TOPIC, topic, limit)]
        )
        assert [resource[0] for resource in response.resources] == [0]
    finally:
        await admin.close()


async def test_an_audit_topic_that_cannot_be_written_is_named_and_stops_commits(
    scene: Scene, audit_outage: AuditOutage
) -> None:
    """Not even a stop commits; the next relay writes the record, once, and commits it."""

    async def red() -> bool:
        status, text = await get(f"http://{audit_outage.http}/readyz")
        return status == 503 and f"topic {scene.topics.audit}" in text

    await eventually(red, what="readiness red for the audit topic")
    await audit_outage.running.aclose()
    assert await committed(scene) == {}
    await limit_topic(scene, scene.topics.audit, 1024 * 1024)
    async with relay(scene.settings()):
        audit = await scene.decided(audit_outage.at)
    assert audit.disposition is Disposition.APPLIED
    assert places(await scene.audit()) == places([audit_outage.at])
    assert await committed(scene) == after([audit_outage.at])


async def test_an_audit_topic_that_can_be_written_again_is_written_and_commits_go_on(
    scene: Scene, audit_outage: AuditOutage
) -> None:
    """The broker refuses with MESSAGE_TOO_LARGE, which must not cost the producer its sequence."""

    async def is_red() -> bool:
        return (await get(f"http://{audit_outage.http}/readyz"))[0] == 503

    await eventually(is_red, what="readiness red")
    await limit_topic(scene, scene.topics.audit, 1024 * 1024)
    assert (await scene.decided(audit_outage.at)).disposition is Disposition.APPLIED

    async def is_committed() -> bool:
        return await committed(scene) == after([audit_outage.at])

    await eventually(is_committed, what="the commit")

    async def is_green() -> bool:
        return (await get(f"http://{audit_outage.http}/readyz"))[0] == 200

    await eventually(is_green, what="readiness green")


async def test_a_dead_letter_that_its_topic_refuses_holds_up_nobody_and_goes_there_once_it_may(
    scene: Scene,
) -> None:
    """`max.message.bytes` of the dead-letter topic is less than that of the events' topic."""
    letters = scene.topics.dead_letter
    await limit_topic(scene, letters, 10_000)
    garbage = random.Random(1).randbytes(50_000)  # that no compression makes smaller
    async with relay(scene.settings()) as http:
        refused = await produce(scene.kafka, scene.topics.completions, garbage, partition=0)

        async def is_named() -> bool:
            status, text = await get(f"http://{http}/readyz")
            return status == 503 and f"1 too large for topic {letters}" in text

        await eventually(is_named, what="readiness red for the dead-letter topic")
        handle, reference = await scene.waiting()
        at = await emit_to(scene, 0, event(reference, completed(b'"not held up"')))
        assert (await scene.decided(at)).disposition is Disposition.APPLIED
        assert await handle.result() == "not held up"
        assert await committed(scene) == {0: refused.offset}
        await limit_topic(scene, letters, 1024 * 1024)
        audit = await scene.decided(refused)

        async def is_green() -> bool:
            return (await get(f"http://{http}/readyz"))[0] == 200

        await eventually(is_green, what="readiness green")
    assert audit.reason is DeadLetterReason.UNDECODABLE
    assert [letter.value for letter in await consume_all(scene.kafka, letters)] == [garbage]
    assert places(await scene.audit()) == places([refused, at])
    assert await committed(scene) == after([at])


async def test_a_relay_killed_after_temporals_answer_leaves_a_record_that_the_next_calls_applied(
    scene: Scene,
) -> None:
    """The record's mark in Temporal's history tells the next relay that this very record did it."""
    arguments = ["--kafka", scene.kafka, "--temporal", scene.temporal, "--http", "127.0.0.1:0"]
    arguments += ["--group", f"{scene.topics.completions}.g"]
    environment = topic_settings(scene.topics) | {
        "COMPLETION_RELAY_RELAY__COMMIT_INTERVAL": str(ONLY_ON_REVOKE_AND_STOP),
    }
    await limit_topic(scene, scene.topics.audit, 100)
    async with run(*arguments, environment=environment) as process:
        await process.ready()
        handle, reference = await scene.waiting()
        at = await scene.emit(event(reference, completed(b'"once"')))
        assert await handle.result() == "once"
        process.process.send_signal(signal.SIGKILL)
        assert await process.ended() == -signal.SIGKILL
    assert await committed(scene) == {}
    await limit_topic(scene, scene.topics.audit, 1024 * 1024)
    settings = scene.settings()
    await end_session(settings, settings.kafka.client_id)  # instead of waiting for its end
    async with relay(settings):
        audit = await scene.decided(at)
    assert (audit.disposition, audit.rpc_status) == (Disposition.APPLIED, "NOT_FOUND")
    assert places(await scene.audit()) == places([at])
    assert await committed(scene) == after([at])
