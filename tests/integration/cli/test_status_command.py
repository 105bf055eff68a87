"""`completion-relay status`, the real command beside real relays."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.structs import OffsetAndMetadata, TopicPartition
from tests.integration.cli.conftest import Commands, Done
from tests.integration.relay.process import (
    TWO_PROCESSES,
    Process,
    get,
    run,
    topic_settings,
)
from tests.integration.relay.waiting import Scene, completed, event
from tests.support import committed_offsets, eventually
from tests.unlike_kafka import two_join_at_once

from completion_relay import __version__
from completion_relay.status_page import read_page
from completion_schemas.events import ActivityReference

NOBODY = "127.0.0.1:1"
ONE = ("--http", "127.0.0.1:0")


@contextlib.asynccontextmanager
async def relay(scene: Scene, *arguments: str, **variables: str) -> AsyncIterator[Process]:
    servers = ("--kafka", scene.kafka, "--temporal", scene.temporal)
    environment = topic_settings(scene.topics) | {
        "COMPLETION_RELAY_RELAY__RELAY_ID": "here",
    }
    async with run(*servers, *arguments, environment=environment | variables) as process:
        yield process


def session(milliseconds: int) -> dict[str, str]:
    """After a third of it the first of two processes hears that the second has joined."""
    return {"COMPLETION_RELAY_KAFKA__SESSION_TIMEOUT_MS": str(milliseconds)}


async def is_committed(scene: Scene, count: int) -> None:
    """Return once so many events are decided, and that is durable."""

    async def committed() -> bool:
        group = f"{scene.topics.completions}.group"
        offsets = await committed_offsets(scene.kafka, group, scene.topics.completions)
        return sum(offsets.values()) == count

    await eventually(committed, what=f"{count} events decided")


async def decided(scene: Scene) -> None:
    handle, reference = await scene.waiting()
    await scene.emit(event(reference, completed()))
    await handle.result()
    await is_committed(scene, 1)


async def said(commands: Commands, *args: str) -> tuple[int, dict[str, Any]]:
    done = await commands("status", "--json", *args)
    (found,) = done.objects
    return done.code, found


async def test_all_well_is_the_first_line_and_exit_0(commands: Commands, scene: Scene) -> None:
    async with relay(scene, *ONE) as process:
        await process.ready()
        await decided(scene)
        done = await commands("status")
    lines = done.out.splitlines()
    assert (done.code, done.err) == (0, "")
    assert lines[0] == "all well: 1 replica, 4 of 4 partitions, lag 0"
    assert [line.split() for line in lines[4:]] == [
        ["here", __version__, "4", process.http, "ready"]
    ]


async def test_what_is_well_is_shown_when_all_is_asked_for(
    commands: Commands, scene: Scene
) -> None:
    async with relay(scene, *ONE) as process:
        await process.ready()
        done = await commands("status", "--all")
    for number in range(4):
        assert f"{scene.topics.completions}/{number}" in done.out
        assert f"{scene.topics.parked}/{number}" in done.out
    (namespace,) = [line for line in done.out.splitlines() if line.startswith("default")]
    assert namespace.split()[:3] == ["default", "here", "well"]


async def test_json_has_a_field_for_each_thing_that_is_known(
    commands: Commands, scene: Scene
) -> None:
    async with relay(scene, *ONE) as process:
        await process.ready()
        await decided(scene)
        code, found = await said(commands)
    assert code == 0
    assert (found["well"], found["troubles"], found["lag"], found["parked"]) == (True, [], 0, 0)
    assert (found["group"], found["group_state"]) == (f"{scene.topics.completions}.group", "Stable")
    (replica,) = found["replicas"]
    assert replica.pop("member_id")
    assert replica.pop("client_host")
    assert len(replica.pop("partitions")) == 8
    assert replica == {
        "relay_id": "here",
        "version": __version__,
        "http": process.http,
        "ready": True,
        "problems": {},
        "note": "",
    }
    assert len(found["partitions"]) == 8
    assert {partition["relay_id"] for partition in found["partitions"]} == {"here"}
    assert found["namespaces"] == [
        {
            "relay_id": "here",
            "name": "default",
            "halted": None,
            "is_sick": False,
            "calls_limit": 256,
            "in_flight": 0,
            "queued": 0,
        }
    ]
    assert found["clusters"] == [{"relay_id": "here", "name": "", "is_away": False}]
    assert found["oldest"] == []


async def test_no_relay_is_exit_1_and_kafka_tells_what_waits(
    commands: Commands, scene: Scene
) -> None:
    handle, reference = await scene.waiting()
    at = await scene.emit(event(reference, completed(), event_id="nobody-decides-this"))
    code, found = await said(commands)
    done = await commands("status")
    await handle.terminate()
    assert code == done.code == 1
    assert done.out.startswith("not well: no relay runs")
    assert "nobody-decides-this" in done.out
    assert reference.task_token[:24] not in done.out
    assert (found["well"], found["lag"], found["replicas"]) == (False, 1, [])
    (oldest,) = found["oldest"]
    assert (oldest["topic"], oldest["partition"], oldest["offset"]) == (
        at.topic,
        at.partition,
        at.offset,
    )
    assert (oldest["event_id"], oldest["type"]) == ("nobody-decides-this", "completed")
    assert oldest["token_fingerprint"] == reference.key
    assert oldest["workflow_id"] == handle.id
    assert oldest["age_seconds"] >= 0


async def test_a_partition_that_ends_before_the_groups_offset_is_named_until_it_is_decided(
    commands: Commands, scene: Scene
) -> None:
    handle, reference = await scene.waiting()
    at = await scene.emit(event(reference, completed()))
    partition = TopicPartition(at.topic, at.partition)
    async with AIOKafkaConsumer(
        bootstrap_servers=scene.kafka,
        group_id=f"{scene.topics.completions}.group",
        enable_auto_commit=False,
    ) as consumer:
        consumer.assign([partition])
        await consumer.commit({partition: OffsetAndMetadata(at.offset + 50, "")})
    beyond = f"committed is {at.offset + 50}, but the partition ends at {at.offset + 1}"
    before = await commands("status")
    async with relay(scene, *ONE) as process:
        await process.ready()
        await handle.result()
        await is_committed(scene, at.offset + 1)
        after = await commands("status")
    assert before.code == 1
    assert beyond in before.out
    assert after.code == 0
    assert beyond not in after.out


async def test_a_transaction_that_was_aborted_is_no_lag(commands: Commands, scene: Scene) -> None:
    """Its records and its marker have offsets that nobody will ever decide."""
    producer = AIOKafkaProducer(
        bootstrap_servers=scene.kafka, transactional_id=f"{scene.topics.completions}.aborted"
    )
    async with producer:
        await producer.begin_transaction()
        await producer.send_and_wait(scene.topics.completions, b"nothing", partition=0)
        await producer.abort_transaction()
    _, found = await said(commands)
    partition = found["partitions"][0]
    assert partition["end"] > 0
    assert (partition["undecided"], found["lag"]) == (0, 0)


async def test_a_relay_that_was_killed_does_not_answer(commands: Commands, scene: Scene) -> None:
    """Until its session ends it is in the group, and its partitions are nobody else's."""
    async with relay(scene, *ONE, **session(60_000)) as process:
        await process.ready()
        process.process.kill()
        await process.ended()
        done = await commands("status")
    assert done.code == 1
    assert done.out.splitlines()[0] == (
        f"not well: here does not answer: http://{process.http}/status: nobody listens there"
    )


@two_join_at_once
async def test_the_processes_of_one_relay_are_found_at_its_one_address(
    commands: Commands, scene: Scene
) -> None:
    async with relay(scene, *TWO_PROCESSES, **session(6_000)) as process:
        await process.ready()

        async def well() -> dict[str, Any] | None:
            code, found = await said(commands)
            return found if (code, found["troubles"]) == (0, []) else None

        # A process that is slow to answer, on a busy machine, is a trouble for a moment.
        found = await eventually(well, timeout=60, what="both processes well")
        _, page = await get(f"http://{process.http}/status")
    replicas = [(one["relay_id"], one["http"], one["ready"]) for one in found["replicas"]]
    assert replicas == [("here/1", process.http, True), ("here/2", process.http, True)]
    assert {partition["relay_id"] for partition in found["partitions"]} == {"here/1", "here/2"}
    assert [state.relay_id for state in read_page(page)] == ["here/1", "here/2"]


async def test_a_halted_namespace_is_named_with_what_waits_for_it(
    commands: Commands, scene: Scene
) -> None:
    """The relay serves it, and Temporal has no such namespace."""
    missing = f"missing-{scene.task_queue}"
    both = ("--namespace", "default", "--namespace", missing)
    # Undecided for longer than a moment is stuck here.
    stuck = {"COMPLETION_RELAY_RELAY__STUCK_AFTER": "0.2"}
    reference = ActivityReference(
        namespace=missing, workflow_id="nobody", run_id="nothing", activity_id="5"
    )
    await scene.emit(event(reference, completed(), event_id="waits-for-its-namespace"))

    async with relay(scene, *ONE, *both, **stuck):

        async def halted() -> tuple[dict[str, Any], dict[str, Any]] | None:
            _, found = await said(commands)
            one = next((one for one in found["namespaces"] if one["halted"]), None)
            return (found, one) if one and "stuck" in str(found["troubles"]) else None

        found, namespace = await eventually(halted, timeout=60, what="a halted namespace")
        done = await commands("status", "--all")
    assert namespace["name"] == missing
    assert found["lag"] == 1
    assert any(f"completing in {missing}: halted" in trouble for trouble in found["troubles"])
    (oldest,) = found["oldest"]
    assert oldest["event_id"] == "waits-for-its-namespace"
    assert oldest["here_seconds"] > 0
    assert done.code == 1
    assert f"{missing}  " in done.out
    assert "halted: " in done.out


async def test_a_topic_that_is_missing_is_one_clear_line_and_exit_2(
    commands_before: Commands,
) -> None:
    _one_line(await commands_before("status"), "completion-relay topics create")


async def test_kafka_that_is_away_is_one_clear_line_and_exit_2(commands: Commands) -> None:
    _one_line(await commands("status", "--kafka", NOBODY), f"Kafka at {NOBODY} cannot be reached")


def _one_line(done: Done, words: str) -> None:
    assert (done.code, done.out) == (2, "")
    (line,) = done.err.splitlines()
    assert line.startswith("error: ")
    assert words in line
