"""A group whose offset lies beyond its partition's end: the log has lost its end, or the topic was made anew.

Nothing that aiokafka speaks tells the two apart (DESIGN.md), so what there is is
decided again, and that is said.
"""

from __future__ import annotations

from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import TopicAlreadyExistsError
from aiokafka.structs import OffsetAndMetadata, TopicPartition
from tests.integration.relay.test_promises import committed, emit_to, metric, places
from tests.integration.relay.waiting import Scene, completed, event, relay
from tests.support import create_topics, eventually

import completion_relay.takeover
from completion_relay.kafka_probe import KafkaProbe
from completion_relay.observe import Observer
from completion_relay.offset_map import encode
from completion_relay.silence import End
from completion_schemas.dispositions import Disposition

BEYOND = 1_000


@pytest.fixture(autouse=True)
def sure_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(completion_relay.takeover, "_SURE_SECONDS", 0.1)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    said: list[str] = []
    original = Observer.jumped

    def jumped(self: Observer, topic: str, partition: int, problem: str) -> None:
        said.append(f"{topic}/{partition}: {problem}")
        original(self, topic, partition, problem)

    monkeypatch.setattr(Observer, "jumped", jumped)
    return said


async def commit(
    scene: Scene, partition: int, offset: OffsetAndMetadata, *, topic: str = ""
) -> None:
    """Leave what the group had committed before the partition lost its end, or was set back.

    Args:
        scene: Where.
        partition: Its number.
        offset: What is left.
        topic: Its topic; empty: that of the events.
    """
    consumer = AIOKafkaConsumer(
        bootstrap_servers=scene.kafka,
        group_id=f"{scene.topics.completions}.g",
        enable_auto_commit=False,
    )
    at = TopicPartition(topic or scene.topics.completions, partition)
    await consumer.start()
    try:
        consumer.assign([at])
        await consumer.commit({at: offset})
    finally:
        await consumer.stop()


async def test_what_there_is_is_decided_again_and_that_is_said_and_counted(
    scene: Scene, told: list[str]
) -> None:
    """As it was the first time: no activity is completed twice, and no event is lost."""
    positions, handles = [], []
    async with relay(scene.settings()) as http:
        for _ in range(2):
            handle, reference = await scene.waiting()
            handles.append(handle)
            positions.append(await emit_to(scene, 0, event(reference, completed())))
            await scene.decided(positions[-1])
        assert await metric(http, "completion_relay_read_again_total") == 0
    # What was settled ahead of that offset is nothing that there is, either.
    ahead = encode(BEYOND, [range(BEYOND + 1, BEYOND + 5)])
    await commit(scene, 0, OffsetAndMetadata(BEYOND, ahead))
    async with relay(scene.settings()) as http:
        handle, reference = await scene.waiting()
        new = await emit_to(scene, 0, event(reference, completed()))
        assert (await scene.decided(new)).disposition is Disposition.APPLIED
        assert await metric(http, "completion_relay_read_again_total") == 1
        assert await handle.result() == "done"
    audit = await scene.audit()
    assert places(audit) == places([*positions, *positions, new])
    assert {record.disposition for record in audit} == {Disposition.APPLIED}
    assert sum(record.redelivery for record in audit) == len(positions)
    assert (await committed(scene))[0] == new.offset + 1
    (said,) = told
    assert said.startswith(
        f"{scene.topics.completions}/0: committed is {BEYOND}, but the partition"
    )
    for handle in handles:
        ends = [
            each
            async for each in handle.fetch_history_events()
            if each.HasField("activity_task_completed_event_attributes")
        ]
        assert len(ends) == 1


async def test_a_log_that_has_lost_what_was_settled_ahead_has_all_it_has_decided_again(
    scene: Scene, told: list[str]
) -> None:
    """Other events come there since, which would be taken for decided."""
    _, reference = await scene.waiting()
    positions = [await emit_to(scene, 0, event(reference, completed()))]
    ahead = encode(1, [range(2, BEYOND)])
    await commit(scene, 0, OffsetAndMetadata(1, ahead))
    async with relay(scene.settings()):
        await scene.decided(positions[0])
        for _ in range(2):
            _, reference = await scene.waiting()
            positions.append(await emit_to(scene, 0, event(reference, completed())))
            assert (await scene.decided(positions[-1])).disposition is Disposition.APPLIED
    (said,) = told
    assert f"committed is 1, and up to {BEYOND} decided, but the partition ends at 1" in said


async def test_an_end_that_only_a_broker_which_leads_no_more_tells_is_not_believed(
    scene: Scene, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that was suspended tells what it knew, until it hears of the others."""
    positions = []
    async with relay(scene.settings()):
        for _ in range(2):
            _, reference = await scene.waiting()
            positions.append(await emit_to(scene, 0, event(reference, completed())))
            await scene.decided(positions[-1])
    original, stale = KafkaProbe.ends, [1, 1]

    async def ends(self: KafkaProbe, partitions: Any, **how: Any) -> dict[TopicPartition, End]:
        found: dict[TopicPartition, End] = await original(self, partitions, **how)
        at = TopicPartition(scene.topics.completions, 0)
        return {**found, at: stale.pop()} if stale and at in found else found

    monkeypatch.setattr(KafkaProbe, "ends", ends)
    monkeypatch.setattr(completion_relay.takeover, "_SURE_SECONDS", 60.0)
    async with relay(scene.settings()):
        _, reference = await scene.waiting()
        positions.append(await emit_to(scene, 0, event(reference, completed())))
        await scene.decided(positions[-1])
    assert (stale, told) == ([], [])
    assert places(await scene.audit()) == places(positions)


async def test_a_topic_that_was_made_anew_is_read_from_its_beginning(scene: Scene) -> None:
    """Its positions are those of other events, which nobody has decided."""
    async with relay(scene.settings()):
        for _ in range(3):
            _, reference = await scene.waiting()
            await scene.decided(await emit_to(scene, 0, event(reference, completed())))
    topic = scene.topics.completions
    admin = AIOKafkaAdminClient(bootstrap_servers=scene.kafka)
    await admin.start()
    try:
        await admin.delete_topics([topic])
    finally:
        await admin.close()

    async def made_anew() -> bool:
        try:
            await create_topics(scene.kafka, [topic])
        except TopicAlreadyExistsError:
            return False
        return True

    await eventually(made_anew, what="the old topic gone")
    handle, reference = await scene.waiting()
    sent = event(reference, completed(b'"anew"'))
    at = await emit_to(scene, 0, sent)
    assert at.offset == 0
    async with relay(scene.settings()):
        assert await handle.result() == "anew"

        async def decided() -> bool:
            return sent.event_id in {record.event_id for record in await scene.audit()}

        await eventually(decided)
    assert await committed(scene) == {0: 1}
