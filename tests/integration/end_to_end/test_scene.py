"""The whole loop on real servers, as the design that this project comes from drew it."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import logging
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass

import aiohttp
import pytest
from temporalio.api.enums.v1 import PendingActivityState
from temporalio.client import Client, WorkflowFailureError, WorkflowHandle
from temporalio.exceptions import ActivityError, ApplicationError
from temporalio.runtime import PrometheusConfig, Runtime, TelemetryConfig
from temporalio.worker import Worker
from tests.integration.end_to_end.scene import Agent, AgentService, Execution, Flow
from tests.integration.relay.process import run, topic_settings
from tests.integration.relay.waiting import Scene, relay
from tests.support import Topics, consume_all, eventually

from completion_relay.embedded.process import free_port
from completion_relay.identity import RecordMark
from completion_schemas.audit import AuditRecord
from completion_schemas.dispositions import Disposition
from completion_schemas.tokens import token_fingerprint, token_preview
from completion_workflow import CompletionPlugin, Kafka

CALLER_SLOTS = 16


@dataclass
class Loop:
    """Both workers, the topics and Temporal."""

    client: Client
    scene: Scene
    task_queue: str
    metrics: str

    async def start(
        self, task: str, *, waits_for_go: bool = False
    ) -> WorkflowHandle[Flow, dict[str, object]]:
        return await self.client.start_workflow(
            Flow.run,
            args=[task, waits_for_go],
            id=f"flow-{uuid.uuid4()}",
            task_queue=f"{self.task_queue}-caller",
        )

    def agent_of(
        self, flow: WorkflowHandle[Flow, dict[str, object]]
    ) -> WorkflowHandle[Agent, object]:
        return self.client.get_workflow_handle_for(Agent.run, f"agent-of-{flow.id}")

    async def waiting(self, flow: WorkflowHandle[Flow, dict[str, object]]) -> bool:
        described = (await flow.describe()).raw_description
        return [entry.state for entry in described.pending_activities] == [
            PendingActivityState.PENDING_ACTIVITY_STATE_STARTED
        ] and await self._has_agent(flow)

    async def _has_agent(self, flow: WorkflowHandle[Flow, dict[str, object]]) -> bool:
        with contextlib.suppress(Exception):
            await self.agent_of(flow).describe()
            return True
        return False

    async def free_slots(self) -> int:
        """Return the free activity slots of the caller's worker, as the SDK reports them."""
        async with aiohttp.ClientSession() as session, session.get(self.metrics) as response:
            for line in (await response.text()).splitlines():
                if (
                    line.startswith("temporal_worker_task_slots_available")
                    and 'worker_type="ActivityWorker"' in line
                    and f'task_queue="{self.task_queue}-caller"' in line
                ):
                    return int(float(line.rpartition(" ")[2]))
        raise AssertionError("the SDK reports no slots")


@pytest.fixture
async def loop(
    kafka_address: str, temporal_address: str, topics: Topics, task_queue: str
) -> AsyncIterator[Loop]:
    """A caller's worker with few slots, an agents' worker that knows only Kafka, and no relay yet."""
    metrics = f"127.0.0.1:{free_port()}"
    runtime = Runtime(telemetry=TelemetryConfig(metrics=PrometheusConfig(bind_address=metrics)))
    client = await Client.connect(temporal_address, runtime=runtime)
    plugin = CompletionPlugin(Kafka(bootstrap_servers=kafka_address, topic=topics.completions))
    scene = Scene(client, kafka_address, temporal_address, topics, task_queue)
    service = AgentService(client, task_queue)
    async with (
        Worker(
            client,
            task_queue=f"{task_queue}-caller",
            workflows=[Flow],
            activities=[service.call_agent],
            max_concurrent_activities=CALLER_SLOTS,
        ),
        Worker(client, task_queue=task_queue, workflows=[Agent], plugins=[plugin]),
    ):
        yield Loop(client, scene, task_queue, f"http://{metrics}/metrics")


async def only_audit(loop: Loop) -> AuditRecord:
    async def one() -> AuditRecord | None:
        records = await loop.scene.audit()
        return records[0] if len(records) == 1 else None

    return await eventually(one, timeout=30, what="one audit record")


async def test_an_execution_with_a_token_completes_the_waiting_activity(loop: Loop) -> None:
    async with relay(loop.scene.settings()):
        flow = await loop.start("summarise")
        assert await flow.result() == {"echo": "summarise"}
        audit = await only_audit(loop)
    assert audit.disposition is Disposition.APPLIED
    assert (audit.workflow_id, audit.origin_workflow_id) == (flow.id, f"agent-of-{flow.id}")


async def test_temporals_own_view_shows_who_completed_the_activity(loop: Loop) -> None:
    """Describe while it waits, then history with the record's mark as the identity."""
    async with relay(loop.scene.settings()):
        flow = await loop.start("summarise", waits_for_go=True)
        await eventually(lambda: loop.waiting(flow), timeout=30)
        await loop.agent_of(flow).signal(Agent.go)
        await flow.result()
        audit = await only_audit(loop)
    assert (await flow.describe()).raw_description.pending_activities == []
    identities = [
        entry.activity_task_completed_event_attributes.identity
        async for entry in flow.fetch_history_events()
        if entry.HasField("activity_task_completed_event_attributes")
    ]
    mark = RecordMark(audit.event_id, audit.topic, audit.partition, audit.offset)
    assert identities == [str(mark)]


async def test_preview_and_fingerprint_are_in_both_logs_and_the_token_in_none(
    loop: Loop, caplog: pytest.LogCaptureFixture
) -> None:
    """The relay is a process: what it writes to standard error is what an operator sees."""
    servers = ["--kafka", loop.scene.kafka, "--temporal", loop.scene.temporal]
    environment = topic_settings(loop.scene.topics) | {"COMPLETION_RELAY_LOG__LEVEL": "DEBUG"}
    with caplog.at_level(logging.INFO):
        async with run(*servers, "--http", "127.0.0.1:0", environment=environment) as process:
            await process.ready()
            flow = await loop.start("summarise", waits_for_go=True)
            await eventually(lambda: loop.waiting(flow), timeout=30)
            agent = loop.agent_of(flow)
            (given,) = [
                entry.workflow_execution_started_event_attributes.input.payloads[0].data
                async for entry in agent.fetch_history_events()
                if entry.HasField("workflow_execution_started_event_attributes")
            ]
            token = _token_in(given)
            await agent.signal(Agent.go)
            await flow.result()
            await process.logged("event decided", disposition="applied")
    relay_log = "\n".join(str(value) for line in process.logs for value in line.values())
    worker_log = "\n".join(record.getMessage() for record in caplog.records)
    for log in (relay_log, worker_log):
        assert token_preview(token) in log
        assert token_fingerprint(token) in log
    for log in (relay_log, worker_log, caplog.text):
        assert base64.b64encode(token).decode()[:24] not in log
        assert token.hex() not in log
        assert repr(token)[2:40] not in log


def _token_in(payload: bytes) -> bytes:
    return base64.b64decode(json.loads(payload)["callback"]["task_token"])


async def test_a_failed_execution_fails_the_waiting_activity_with_the_original_error(
    loop: Loop,
) -> None:
    async with relay(loop.scene.settings()):
        flow = await loop.start("fail")
        with pytest.raises(WorkflowFailureError) as raised:
            await flow.result()
        audit = await only_audit(loop)
        with pytest.raises(WorkflowFailureError) as callees:
            await loop.agent_of(flow).result()
    assert isinstance(raised.value.cause, ActivityError)
    for error in (raised.value.cause.cause, callees.value.cause):
        assert isinstance(error, ApplicationError)
        assert (error.type, error.message, list(error.details), error.non_retryable) == (
            "AgentError",
            "the model refused",
            [{"code": 7}],
            True,
        )
    assert (audit.type, audit.disposition) == ("failed", Disposition.APPLIED)


async def test_an_execution_without_a_token_publishes_nothing_and_does_not_fail(
    loop: Loop,
) -> None:
    async with relay(loop.scene.settings()):
        result = await loop.client.execute_workflow(
            Agent.run, Execution("alone"), id=f"agent-{uuid.uuid4()}", task_queue=loop.task_queue
        )
    assert result == {"echo": "alone"}
    assert await consume_all(loop.scene.kafka, loop.scene.topics.completions) == []


async def test_200_executions_at_once_all_complete_and_hold_no_slot_of_the_caller(
    loop: Loop,
) -> None:
    """With 16 slots, 200 activities wait at once only because waiting takes none."""
    async with relay(loop.scene.settings()):
        flows = await asyncio.gather(
            *(loop.start(f"task {number}", waits_for_go=True) for number in range(200))
        )
        for flow in flows:
            await eventually(lambda flow=flow: loop.waiting(flow), timeout=240)  # type: ignore[misc]

        async def all_free() -> bool:
            return await loop.free_slots() == CALLER_SLOTS

        await eventually(all_free, timeout=10, what="free slots while 200 activities wait")
        await asyncio.gather(*(loop.agent_of(flow).signal(Agent.go) for flow in flows))
        results = await asyncio.gather(*(flow.result() for flow in flows))
        assert results == [{"echo": f"task {number}"} for number in range(200)]

        async def all_audited() -> list[AuditRecord] | None:
            records = await loop.scene.audit()
            return records if len(records) >= 200 else None

        records = await eventually(all_audited, timeout=60)
    assert [record.disposition for record in records] == [Disposition.APPLIED] * 200
    assert {record.workflow_id for record in records} == {flow.id for flow in flows}
