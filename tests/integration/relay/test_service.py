"""The relay as a process: what it says, what it waits for, how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from temporalio.api.workflowservice.v1 import RegisterNamespaceRequest
from temporalio.client import Client, WorkflowHandle
from tests.integration.relay.process import DEBUG, UNTIL_MENDED, get, run, topic_settings
from tests.integration.relay.test_outages import frozen
from tests.integration.relay.waiting import (
    Far,
    Scene,
    completed,
    event,
    relay,
)
from tests.support import PARTITIONS, Topics, committed_offsets, create_topics, eventually

from completion_relay.clock import SystemClock
from completion_relay.embedded import KafkaBroker, TemporalServer
from completion_relay.embedded.process import free_port
from completion_relay.kafka_probe import KafkaProbe
from completion_relay.service import Relay
from completion_schemas.dispositions import Disposition
from completion_schemas.events import ActivityReference, unix_nanos
from completion_schemas.tokens import token_preview


async def test_sigterm_drains_commits_and_exits_0(far: Far) -> None:
    """The event that is under way waits for Temporal's answer; it is decided before the end."""
    scene = far.scene
    arguments = ["--kafka", scene.kafka, "--temporal", scene.temporal, "--http", "127.0.0.1:0"]
    group = f"{scene.topics.completions}.group"
    variables = topic_settings(scene.topics) | DEBUG | UNTIL_MENDED
    async with run(*arguments, environment=variables) as process:
        await process.ready()
        ((handle, at),) = await far.under_way(1)

        async def under_way() -> bool:
            metrics = process.readyz.replace("/readyz", "/metrics")
            return "completion_relay_inflight 1.0" in (await get(metrics))[1]

        await eventually(under_way, what="an event under way")
        process.process.send_signal(signal.SIGTERM)
        await process.logged("draining")
        far.link.mend()
        assert await process.ended() == 0
        await handle.result()
    assert await committed_offsets(scene.kafka, group, scene.topics.completions) == {
        at.partition: at.offset + 1
    }
    told = ["draining", "event decided", "drained"]
    assert [line["event"] for line in process.logs if line["event"] in told] == told


async def test_the_ready_line_says_what_is_served(scene: Scene) -> None:
    arguments = ["--kafka", scene.kafka, "--temporal", scene.temporal, "--http", "127.0.0.1:0"]
    async with run(*arguments, environment=topic_settings(scene.topics)) as process:
        await process.ready()
        assert len(process.out) == 1
        for part in (scene.topics.completions, scene.kafka, scene.temporal, "default"):
            assert part in process.out[0]
        assert (await get(process.readyz))[0] == 200


async def test_the_ready_line_as_json_has_a_field_for_each_thing_served(scene: Scene) -> None:
    arguments = ["--kafka", scene.kafka, "--temporal", scene.temporal, "--http", "127.0.0.1:0"]
    variables = topic_settings(scene.topics)
    async with run(*arguments, "--json", environment=variables) as process:
        await process.ready()
        serving = json.loads(process.out[0])
        assert (await get(f"http://{serving.pop('http')}/readyz"))[0] == 200
    assert serving == {
        "topic": scene.topics.completions,
        "kafka": scene.kafka,
        "group": variables["COMPLETION_RELAY_KAFKA__GROUP_ID"],
        "namespaces": ["default"],
        "temporal": scene.temporal,
        "clusters": {},
    }


async def test_every_log_line_is_json_and_names_the_token_without_showing_it(
    scene: Scene,
) -> None:
    arguments = ["--kafka", scene.kafka, "--temporal", scene.temporal, "--http", "127.0.0.1:0"]
    async with run(*arguments, environment=topic_settings(scene.topics) | DEBUG) as process:
        await process.ready()
        handle, reference = await scene.waiting()
        await scene.emit(event(reference, completed()))
        line = await process.logged("event decided")
        await handle.result()
    assert line["token_fingerprint"] == reference.token_fingerprint
    assert line["token_preview"] == token_preview(reference.token_bytes())
    written = json.dumps(process.logs)
    assert "not JSON" not in written
    assert reference.task_token[:24] not in written
    assert reference.token_bytes().hex() not in written


async def test_metrics_count_what_became_of_events(scene: Scene) -> None:
    async with relay(scene.settings()) as http:
        handle, reference = await scene.waiting()
        await scene.emit(event(reference, completed()))
        await handle.result()

        async def counted() -> bool:
            _, text = await get(f"http://{http}/metrics")
            return (
                'completion_relay_events_total{disposition="applied",namespace="default",'
                'reason="",type="completed"} 1.0' in text
            )

        await eventually(counted)
        assert await get(f"http://{http}/healthz") == (200, '{"alive": true}')


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--kafka", "nonsense"], ["kafka.bootstrap_servers", "HOST:PORT"]),
        (["--config", "no-such-file.toml"], ["no-such-file.toml", "--config"]),
        (["--namespace", ""], ["temporal.namespaces", "at least 1 character"]),
        (["--kafka", "a..b:9092"], ["kafka.bootstrap_servers", "HOST:PORT"]),
        (["--temporal", "127.0.0.1:x"], ["temporal.address", "HOST:PORT"]),
    ],
)
async def test_a_wrong_setting_is_one_clear_line_and_exit_2(
    arguments: list[str], words: list[str]
) -> None:
    async with run(*arguments) as process:
        assert await process.ended() == 2
    (line,) = process.logs
    assert line["line"].startswith("error: ")
    assert all(word in line["line"] for word in words)


async def test_a_taken_port_is_one_clear_line_and_exit_2() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        async with run("--http", address) as process:
            assert await process.ended() == 2
    (line,) = process.logs
    assert f"http.address = {address}" in line["line"]
    assert "--http" in line["line"]


async def test_a_missing_topic_is_one_clear_line_and_exit_2(scene: Scene) -> None:
    environment = topic_settings(scene.topics) | {"COMPLETION_RELAY_TOPICS__AUDIT": "nowhere"}
    arguments = ["--kafka", scene.kafka, "--temporal", scene.temporal, "--http", "127.0.0.1:0"]
    async with run(*arguments, environment=environment) as process:
        assert await process.ended() == 2
    (line,) = process.logs
    assert "topic nowhere" in line["line"]
    assert "completion-relay topics create" in line["line"]


async def test_topics_that_the_first_broker_asked_has_not_heard_of_are_asked_for_again(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broker hears of a new topic a little later than who created it."""
    told: list[dict[str, int] | None] = [{}, {scene.topics.completions: PARTITIONS}, None, {}]
    gone_by = 0.0

    class Clock(SystemClock):
        def monotonic(self) -> float:
            return super().monotonic() + gone_by

    class HearsLater(KafkaProbe):
        async def topics(self, *, within: float) -> dict[str, int] | None:
            nonlocal gone_by
            if not told:
                return await super().topics(within=within)
            if (answer := told.pop(0)) is None:
                # The time for the first two is over then: who comes back has heard of the least.
                gone_by = 120.0
            return answer

    monkeypatch.setattr("completion_relay.service.KafkaProbe", HearsLater)
    monkeypatch.setattr("completion_relay.service.SystemClock", Clock)
    monkeypatch.setattr("completion_relay.service._HEARD_SECONDS", 60.0)
    async with relay(scene.settings()):
        assert told == []


async def test_events_over_the_rate_limit_of_their_namespace_wait_for_their_turn(
    scene: Scene,
) -> None:
    async with relay(scene.settings(relay={"rate_limits": {"default": 0.01}})) as http:
        for _ in range(2):
            _, reference = await scene.waiting()
            await scene.emit(event(reference, completed()))

        async def waits() -> bool:
            (replica,) = json.loads((await get(f"http://{http}/status"))[1])["replicas"]
            (namespace,) = replica["namespaces"]
            return namespace["queued"] == 1 and len(await scene.audit()) == 1

        await eventually(waits, what="the second event in the queue, the first decided")


async def test_a_parked_topic_of_other_partitions_is_one_clear_line_and_exit_2(
    scene: Scene,
) -> None:
    """A parked event goes to the partition of its own number, or others overtake it."""
    fewer = f"{scene.topics.parked}.fewer"
    await create_topics(scene.kafka, [fewer], partitions=2)
    environment = topic_settings(scene.topics) | {"COMPLETION_RELAY_TOPICS__PARKED": fewer}
    arguments = ["--kafka", scene.kafka, "--temporal", scene.temporal, "--http", "127.0.0.1:0"]
    async with run(*arguments, environment=environment) as process:
        assert await process.ended() == 2
    (line,) = process.logs
    assert f"{scene.topics.completions} has 4 partitions and {fewer} has 2" in line["line"]
    assert f"add partitions to {fewer}" in line["line"]


async def test_a_kafka_that_hangs_does_not_keep_a_relay_from_stopping(
    temporal_address: str, tmp_path: Path
) -> None:
    """It takes connections and says nothing, and aiokafka waits for ever."""
    topics = Topics.unique()
    async with KafkaBroker(data=tmp_path, logs=tmp_path) as broker:
        await create_topics(broker.address, topics.max_message_bytes().keys())
        arguments = ["--kafka", broker.address, "--temporal", temporal_address]
        arguments += ["--http", "127.0.0.1:0"]
        async with run(*arguments, environment=topic_settings(topics)) as process:
            await process.ready()
            with frozen(broker):
                process.process.send_signal(signal.SIGTERM)
                assert await process.ended() == 0
    assert process.errors() == []


async def test_kafka_that_is_away_at_the_start_is_waited_for(
    temporal_address: str, tmp_path: Path
) -> None:
    """With its topics: a relay that finds none of them ends."""
    port, http = free_port(), free_port()
    async with KafkaBroker(data=tmp_path, logs=tmp_path, port=port) as broker:
        await create_topics(
            broker.address,
            [
                "completions",
                *(f"completions.{s}" for s in ("audit", "dead-letter", "parked", "signals")),
            ],
        )
    arguments = ["--kafka", f"127.0.0.1:{port}", "--temporal", temporal_address]
    async with run(*arguments, "--http", f"127.0.0.1:{http}") as process:
        line = await process.logged("problem", part="kafka")
        assert f"127.0.0.1:{port} cannot be reached" in line["problem"]
        status, text = await get(f"http://127.0.0.1:{http}/readyz")
        assert (status, "cannot be reached" in text) == (503, True)
        async with KafkaBroker(data=tmp_path, logs=tmp_path, port=port):
            await process.ready()
            process.process.send_signal(signal.SIGINT)
            assert await process.ended() == 0


@dataclass
class Outage:
    """A relay whose Temporal is away while an activity waits; it can come back."""

    scene: Scene
    server: TemporalServer
    http: str
    handle: WorkflowHandle[Any, Any]
    reference: ActivityReference


@pytest.fixture
async def outage(
    kafka_address: str, topics: Topics, task_queue: str, tmp_path: Path
) -> AsyncIterator[Outage]:
    """Temporal is stopped; the test starts it again, on the same data."""
    port = free_port()
    async with contextlib.AsyncExitStack() as stack:
        async with TemporalServer(data=tmp_path, logs=tmp_path, port=port) as server:
            client = await Client.connect(server.address)
            scene = Scene(client, kafka_address, server.address, topics, task_queue)
            async with scene.worker():
                handle, reference = await scene.waiting()
            http = await stack.enter_async_context(relay(scene.settings()))
        again = TemporalServer(data=tmp_path, logs=tmp_path, port=port)
        yield Outage(scene, again, http, handle, reference)


async def test_temporal_that_goes_away_is_waited_for_and_nothing_is_lost(outage: Outage) -> None:
    at = await outage.scene.emit(event(outage.reference, completed(b'"late"')))

    async def red() -> bool:
        status, text = await get(f"http://{outage.http}/readyz")
        return status == 503 and "temporal" in json.loads(text)["problems"]

    await eventually(red, timeout=30)
    async with outage.server:
        audit = await outage.scene.decided(at)
        assert audit.disposition is Disposition.APPLIED
        assert audit.tries > 1
        async with outage.scene.worker():
            assert await outage.handle.result() == "late"


async def test_a_deadline_ends_the_retries_and_expired_is_said_after_a_look(
    outage: Outage,
) -> None:
    """Not one call came through before the deadline, and nobody knew before Temporal was back."""
    past = unix_nanos(datetime.now(UTC))
    at = await outage.scene.emit(event(outage.reference, completed(), deadline=past))

    async def retried() -> bool:
        _, text = await get(f"http://{outage.http}/metrics")
        return 'completion_relay_retries_total{status="UNAVAILABLE"}' in text

    await eventually(retried, timeout=30)
    assert await outage.scene.audit() == []
    async with outage.server:
        audit = await outage.scene.decided(at)
        await outage.handle.terminate()
    assert audit.disposition is Disposition.EXPIRED
    assert "the deadline has passed" in audit.detail


async def test_a_namespace_that_is_missing_is_halted_until_it_is_there(scene: Scene) -> None:
    name = f"late-{scene.task_queue}"
    settings = scene.settings(temporal={"namespaces": ("default", name)})
    stop = asyncio.Event()
    ready = asyncio.Event()
    server = Relay(settings)
    running = asyncio.create_task(server.run(stop, on_ready=lambda _: ready.set()))
    try:
        await eventually(lambda: f"namespace {name}" in server.health.problems, timeout=30)
        assert not ready.is_set()
        await scene.client.workflow_service.register_namespace(
            RegisterNamespaceRequest(
                namespace=name, workflow_execution_retention_period=Duration(seconds=86_400)
            )
        )
        await asyncio.wait_for(ready.wait(), 60)
    finally:
        stop.set()
        await running


async def test_kafka_that_goes_away_turns_readiness_red_and_is_waited_for(
    temporal_address: str, client: Client, task_queue: str, tmp_path: Path
) -> None:
    port = free_port()
    topics = Topics.unique()
    broker = KafkaBroker(data=tmp_path, logs=tmp_path, port=port)
    async with broker:
        await create_topics(broker.address, list(topics.max_message_bytes()))
        scene = Scene(client, broker.address, temporal_address, topics, task_queue)
        stack = contextlib.AsyncExitStack()
        await stack.enter_async_context(scene.worker())
        http = await stack.enter_async_context(relay(scene.settings()))
        handle, reference = await scene.waiting()
    try:

        async def red() -> bool:
            status, text = await get(f"http://{http}/readyz")
            return status == 503 and "kafka" in json.loads(text)["problems"]

        await eventually(red, timeout=40, what="readiness red")
    finally:
        async with KafkaBroker(data=tmp_path, logs=tmp_path, port=port):
            await scene.emit(event(reference, completed(b'"back"')))
            assert await handle.result() == "back"
            await stack.aclose()


async def test_an_event_that_is_undecided_for_long_makes_readiness_say_stuck(scene: Scene) -> None:
    """It waits for an activity that is never scheduled."""
    patient = {"early_timeout": 600.0, "stuck_after": 0.3}
    async with relay(scene.settings(relay=patient)) as http:
        handle, reference = await scene.waiting()
        other = ActivityReference(
            workflow_id=reference.workflow_id, run_id=reference.run_id, activity_id="never"
        )
        at = await scene.emit(event(other, completed()))

        async def stuck() -> bool:
            status, text = await get(f"http://{http}/readyz")
            problem = json.loads(text)["problems"].get("stuck", "")
            return status == 503 and f"{at.partition}/{at.offset} for" in problem

        await eventually(stuck, timeout=30, what="readiness red for a stuck event")
        await handle.terminate()  # now it is known that the activity never comes
        assert (await scene.decided(at)).disposition is Disposition.UNKNOWN


async def test_a_wrong_address_in_temporals_own_variable_is_one_clear_line_and_exit_2() -> None:
    async with run(environment={"TEMPORAL_ADDRESS": "127.0.0.1:x"}) as process:
        assert await process.ended() == 2
    (line,) = process.logs
    assert "TEMPORAL_ADDRESS" in line["line"]


async def test_a_session_timeout_that_the_broker_refuses_is_one_clear_line_and_exit_2(
    scene: Scene,
) -> None:
    environment = topic_settings(scene.topics) | {
        "COMPLETION_RELAY_KAFKA__SESSION_TIMEOUT_MS": "1000"
    }
    arguments = ["--kafka", scene.kafka, "--temporal", scene.temporal, "--http", "127.0.0.1:0"]
    async with run(*arguments, environment=environment) as process:
        assert await process.ended() == 2
    assert "kafka.session_timeout_ms = 1000" in process.logs[-1]["line"]


async def test_a_temporal_that_accepts_and_says_nothing_is_not_ready(
    kafka_address: str, topics: Topics
) -> None:
    """The RPC's deadline does not bound a lazy client's connect."""

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    silent = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    async with silent:
        port = silent.sockets[0].getsockname()[1]
        http = f"127.0.0.1:{free_port()}"
        arguments = ["--kafka", kafka_address, "--temporal", f"127.0.0.1:{port}", "--http", http]
        environment = topic_settings(topics) | {"COMPLETION_RELAY_TEMPORAL__RPC_TIMEOUT": "0.5"}
        async with run(*arguments, environment=environment) as process:
            line = await process.logged("problem", part="temporal", problem="not asked yet")
            assert line["level"] == "warning"

            async def red() -> bool:
                status, text = await get(f"http://{http}/readyz")
                return status == 503 and "DEADLINE_EXCEEDED" in text

            await eventually(red, timeout=30)
            assert process.out == []


async def test_sigterm_ends_a_relay_whose_kafka_is_gone(
    temporal_address: str, tmp_path: Path
) -> None:
    """Without bounds aiokafka's stop() waits for ever, or lets a CancelledError out."""
    topics = Topics.unique()
    async with KafkaBroker(data=tmp_path, logs=tmp_path) as broker:
        await create_topics(broker.address, list(topics.max_message_bytes()))
        arguments = ["--kafka", broker.address, "--temporal", temporal_address]
        environment = topic_settings(topics) | {"COMPLETION_RELAY_RELAY__DRAIN_TIMEOUT": "1"}
        stack = contextlib.AsyncExitStack()
        process = await stack.enter_async_context(
            run(*arguments, "--http", "127.0.0.1:0", environment=environment)
        )
        await process.ready()
    async with stack:
        await process.logged("problem", part="kafka")
        process.process.send_signal(signal.SIGTERM)
        assert await process.ended() == 0
    assert all(line["event"] != "not JSON" for line in process.logs)
