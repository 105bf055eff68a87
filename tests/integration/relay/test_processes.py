"""`run --processes N`: several processes that are one relay to whoever started them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import AsyncIterator

import pytest
from tests.integration.relay.process import (
    TWO_PROCESSES,
    UNTIL_MENDED,
    Process,
    get,
    pids,
    run,
    samples,
    topic_settings,
)
from tests.integration.relay.waiting import Far, Scene, completed, event
from tests.support import committed_offsets, eventually
from tests.unlike_kafka import commit_in_rebalance, killed_member, two_join_at_once

from completion_schemas.dispositions import Disposition

EVENTS = "completion_relay_events_total"
UP = "completion_relay_process_up"


@contextlib.asynccontextmanager
async def two(
    scene: Scene, *arguments: str, environment: dict[str, str] | None = None
) -> AsyncIterator[Process]:
    """Run two processes on the scene's servers; gone, with all its children, when the test ends."""
    servers = ("--kafka", scene.kafka, "--temporal", scene.temporal)
    variables = topic_settings(scene.topics) | UNTIL_MENDED
    variables |= {
        "COMPLETION_RELAY_RELAY__RELAY_ID": "here",
        # The shortest that Kafka takes (group.min.session.timeout.ms): a third of it is how long
        # it takes the first of them to hear that the second has joined.
        "COMPLETION_RELAY_KAFKA__SESSION_TIMEOUT_MS": "6000",
    }
    async with run(
        *TWO_PROCESSES, *servers, *arguments, environment=variables | (environment or {})
    ) as process:
        yield process


async def ready(readyz: str) -> None:
    """Return once the page says so; a process that is slow to answer is a problem for a moment."""

    async def well() -> bool:
        return (await get(readyz))[0] == 200

    await eventually(well, timeout=60, what="both processes ready")


@two_join_at_once
async def test_two_processes_share_the_partitions_and_decide_each_event_once(scene: Scene) -> None:
    async with two(scene) as process:
        await process.ready()
        waiting = await asyncio.gather(*(scene.waiting() for _ in range(100)))
        positions = [await scene.emit(event(reference, completed())) for _, reference in waiting]
        await asyncio.gather(*(handle.result() for handle, _ in waiting))

        async def counted() -> bool:
            by = await samples(process.http, EVENTS)
            return sum(by.values()) == 100 and len(by) == 2

        await eventually(counted, what="100 events on the page, of two processes")
        process.process.send_signal(signal.SIGTERM)
        assert await process.ended() == 0
    audit = await scene.audit()
    assert sorted((record.partition, record.offset) for record in audit) == sorted(
        (at.partition, at.offset) for at in positions
    )
    assert {record.disposition for record in audit} == {Disposition.APPLIED}
    assert {record.relay_id for record in audit} == {"here/1", "here/2"}


@two_join_at_once
async def test_one_ready_line_says_what_all_of_them_serve(scene: Scene) -> None:
    async with two(scene) as process:
        await process.ready()
        await ready(process.readyz)
        process.process.send_signal(signal.SIGTERM)
        assert await process.ended() == 0
    (line,) = process.out
    assert line.startswith(f"completion-relay: 2 processes serving {scene.topics.completions} on")


@two_join_at_once
async def test_the_ready_line_as_json_has_the_number_of_processes(scene: Scene) -> None:
    async with two(scene, "--json") as process:
        await process.ready()
        serving = json.loads(process.out[0])
        await ready(f"http://{serving.pop('http')}/readyz")
    assert serving == {
        "topic": scene.topics.completions,
        "kafka": scene.kafka,
        "group": f"{scene.topics.completions}.group",
        "namespaces": ["default"],
        "temporal": scene.temporal,
        "clusters": {},
        "processes": 2,
    }


@two_join_at_once
async def test_a_childs_log_lines_are_json_with_its_relay_id(scene: Scene) -> None:
    async with two(scene) as process:
        await process.ready()
        for relay_id in ("here/1", "here/2"):
            await process.logged("assigned", relay_id=relay_id)
    assert process.errors() == []


async def one_under_way(process: Process) -> None:
    async def under_way() -> bool:
        http = process.http
        return sum((await samples(http, "completion_relay_inflight")).values()) == 1

    await eventually(under_way, what="an event under way")


async def both_drain(process: Process) -> None:
    await process.logged("draining", relay_id="here/1")
    await process.logged("draining", relay_id="here/2")


def both_drained(process: Process) -> bool:
    """Whether each process decided everything that it had under way."""
    ends = [
        line["relay_id"] for line in process.logs if line["event"] == "drained" and line["complete"]
    ]
    return sorted(ends) == ["here/1", "here/2"]


@two_join_at_once
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_drains_every_process_and_exits_0(far: Far, number: signal.Signals) -> None:
    async with two(far.scene) as process:
        await process.ready()
        ((handle, _),) = await far.under_way(1)
        await one_under_way(process)
        process.process.send_signal(number)
        await both_drain(process)
        far.link.mend()
        assert await process.ended() == 0
        await handle.result()
        await process.silent()
    assert both_drained(process)
    assert [record.disposition for record in await far.scene.audit()] == [Disposition.APPLIED]
    assert process.errors() == []


@two_join_at_once
async def test_a_second_signal_ends_every_process_at_once(far: Far) -> None:
    async with two(far.scene) as process:
        await process.ready()
        await far.under_way(1)
        await one_under_way(process)
        process.process.send_signal(signal.SIGTERM)
        await both_drain(process)
        # The one that had nothing under way.
        await process.logged("drained")
        process.process.send_signal(signal.SIGTERM)
        assert await process.ended() == 128 + signal.SIGTERM
        await process.silent()
    assert len([line for line in process.logs if line["event"] == "drained"]) == 1


@two_join_at_once
async def test_a_supervisor_that_is_killed_leaves_no_process_and_nothing_undone(far: Far) -> None:
    """What was under way is decided: the children drain when the pipe closes."""
    async with two(far.scene) as process:
        await process.ready()
        ((handle, _),) = await far.under_way(1)
        await one_under_way(process)
        process.process.kill()
        await both_drain(process)
        far.link.mend()
        await handle.result()
        await process.silent()
        assert await process.ended() == -signal.SIGKILL
    assert both_drained(process)
    assert [record.disposition for record in await far.scene.audit()] == [Disposition.APPLIED]


async def test_a_missing_topic_is_one_clear_line_and_exit_2(scene: Scene) -> None:
    async with two(scene, environment={"COMPLETION_RELAY_TOPICS__AUDIT": "nowhere"}) as process:
        assert await process.ended() == 2
        await process.silent()
    (line,) = process.errors()
    assert line.startswith("error: topic nowhere")
    assert "completion-relay topics create" in line


async def test_a_session_timeout_that_the_broker_refuses_is_one_clear_line_and_exit_2(
    scene: Scene,
) -> None:
    environment = {"COMPLETION_RELAY_KAFKA__SESSION_TIMEOUT_MS": "1000"}
    async with two(scene, environment=environment) as process:
        assert await process.ended() == 2
    (line,) = process.errors()
    assert "kafka.session_timeout_ms = 1000" in line


@two_join_at_once
@commit_in_rebalance
async def test_processes_that_drain_commit_what_they_decided(far: Far) -> None:
    """The one that had nothing to do leaves the group while the other still decides."""
    async with two(far.scene) as process:
        await process.ready()
        await far.under_way(1)
        await one_under_way(process)
        process.process.send_signal(signal.SIGTERM)
        await both_drain(process)
        far.link.mend()
        assert await process.ended() == 0
    group, topic = f"{far.scene.topics.completions}.group", far.scene.topics.completions
    assert sum((await committed_offsets(far.scene.kafka, group, topic)).values()) == 1


@two_join_at_once
@killed_member
async def test_a_process_that_is_killed_is_replaced_and_nothing_is_lost(scene: Scene) -> None:
    async with two(scene) as process:
        await process.ready()
        waiting = await asyncio.gather(*(scene.waiting() for _ in range(20)))
        positions = [
            await scene.emit(event(reference, completed())) for _, reference in waiting[:10]
        ]
        os.kill(pids(process)[1], signal.SIGKILL)
        positions += [
            await scene.emit(event(reference, completed())) for _, reference in waiting[10:]
        ]
        await asyncio.gather(*(handle.result() for handle, _ in waiting))
        for at in positions:
            await scene.decided(at)
        await ready(process.readyz)
        assert await samples(process.http, UP) == {"1": 1, "2": 1}
        assert len(process.out) == 1
