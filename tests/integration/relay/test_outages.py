"""Outages and sick namespaces on a real server: who waits, who does not, and how often Temporal is asked."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import dataclasses
import json
import os
import signal
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from temporalio.api.workflowservice.v1 import RegisterNamespaceRequest
from temporalio.client import Client, WorkflowHandle
from temporalio.service import RPCError, RPCStatusCode, WorkflowService
from tests.integration.relay.members import Members
from tests.integration.relay.process import get
from tests.integration.relay.waiting import Scene, completed, event, relay
from tests.support import PARTITIONS, Topics, eventually

from completion_relay.embedded import KafkaBroker, TemporalServer
from completion_relay.embedded.process import free_port
from completion_relay.service import Relay
from completion_schemas.audit import AuditRecord
from completion_schemas.dispositions import Disposition
from completion_schemas.events import ActivityReference

ACTIVITIES = 50
LIMIT = 16
"""`relay.max_in_flight` of these tests: smaller than what waits."""


@dataclass
class Waiting:
    """A relay in front of a Temporal of its own, with activities that wait."""

    scene: Scene
    server: TemporalServer
    http: str
    handles: list[WorkflowHandle[Any, Any]]
    references: list[ActivityReference]

    async def emit_all(self) -> None:
        for number, reference in enumerate(self.references):
            await self.scene.emit(event(reference, completed(f'"{number}"'.encode())))

    async def problems(self) -> dict[str, str]:
        _, text = await get(f"http://{self.http}/readyz")
        problems: dict[str, str] = json.loads(text)["problems"]
        return problems

    async def is_away(self) -> bool:
        return (await self.problems()).get("temporal", "").startswith("away")

    async def is_ready(self) -> bool:
        return (await get(f"http://{self.http}/readyz"))[0] == 200

    async def calls(self) -> int:
        """Return how many completion calls were made."""
        return await self._counted("completion_relay_complete_seconds_count")

    async def probes(self) -> int:
        """Return how many probes were made."""
        return await self._counted("completion_relay_probes_total")

    async def _counted(self, metric: str) -> int:
        _, text = await get(f"http://{self.http}/metrics")
        return sum(
            int(float(line.rpartition(" ")[2]))
            for line in text.splitlines()
            if line.startswith(metric)
        )

    async def all_decided(self) -> list[AuditRecord]:
        async def decided() -> list[AuditRecord] | None:
            audit = await self.scene.audit()
            return audit if len(audit) >= len(self.references) else None

        return await eventually(decided, timeout=60, what="an audit record for each event")


@pytest.fixture
async def waiting(
    kafka_address: str, topics: Topics, task_queue: str, tmp_path: Path
) -> AsyncIterator[Waiting]:
    async with contextlib.AsyncExitStack() as stack:
        server = TemporalServer(data=tmp_path, logs=tmp_path, port=free_port())
        await stack.enter_async_context(server)
        client = await Client.connect(server.address)
        scene = Scene(client, kafka_address, server.address, topics, task_queue)
        async with scene.worker():
            started = await asyncio.gather(*(scene.waiting(timeout=600) for _ in range(ACTIVITIES)))
        settings = scene.settings(
            relay={"max_in_flight": LIMIT, "retry_maximum": 2.0, "drain_timeout": 1.0},
            temporal={"rpc_timeout": 3.0},
        )
        http = await stack.enter_async_context(relay(settings))
        handles, references = zip(*started, strict=True)
        yield Waiting(scene, server, http, list(handles), list(references))


async def assert_all_applied(waiting: Waiting) -> list[AuditRecord]:
    audit = await waiting.all_decided()
    assert [record.disposition for record in audit] == [Disposition.APPLIED] * ACTIVITIES
    await eventually(waiting.is_ready, timeout=30, what="readiness green again")
    async with waiting.scene.worker():
        results = await asyncio.gather(*(handle.result() for handle in waiting.handles))
    assert results == [str(number) for number in range(ACTIVITIES)]
    return audit


async def test_an_outage_is_outlasted_by_every_event_without_a_storm(
    members: Members, waiting: Waiting
) -> None:
    """Not one event knocks while Temporal is away: one probe does, and a few do when it is back."""
    await waiting.server.stop()
    await waiting.emit_all()
    await eventually(waiting.is_away, timeout=30, what="readiness red")
    before, probes = await waiting.calls(), await waiting.probes()

    async def asked_for_long() -> bool:
        return await waiting.probes() >= probes + 5

    await eventually(asked_for_long, timeout=60, what="several probes")
    assert await waiting.calls() == before <= LIMIT
    events = {at for at in members.paused if at.topic == waiting.scene.topics.completions}
    assert len(events) == PARTITIONS
    await waiting.server.start()
    await assert_all_applied(waiting)
    # A server that has just started is slow, and some calls of the first second have no answer.
    assert await waiting.calls() <= 3 * ACTIVITIES


async def test_a_temporal_that_freezes_is_given_up_call_by_call_and_waited_for(
    waiting: Waiting,
) -> None:
    """It accepts and says nothing: the deadline of each call is all there is to tell."""
    with frozen(waiting.server):
        await waiting.emit_all()
        await eventually(waiting.is_away, timeout=30, what="readiness red")
        assert await waiting.calls() <= LIMIT
    await assert_all_applied(waiting)


async def test_an_outage_in_which_the_partitions_changed_hands_is_over_for_who_has_them(
    members: Members, waiting: Waiting
) -> None:
    """Those whose failures told of the outage are gone: nobody would find out that it is over."""
    await waiting.server.stop()
    await waiting.emit_all()
    await eventually(waiting.is_away, timeout=30, what="readiness red")
    before = len(members.assignments)
    members.rejoin()
    await members.assigned(before + 1)
    await waiting.server.start()
    await assert_all_applied(waiting)


@contextlib.contextmanager
def frozen(server: TemporalServer | KafkaBroker) -> Iterator[None]:
    """Stop the server's process, and not its guard, in the middle of whatever it does."""
    children = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
    for child in children:
        os.kill(int(child), signal.SIGSTOP)
    try:
        yield
    finally:
        for child in children:
            os.kill(int(child), signal.SIGCONT)


async def test_a_namespace_that_is_missing_delays_no_other_and_resumes_by_itself(
    scene: Scene,
) -> None:
    missing = f"missing-{uuid.uuid4().hex[:8]}"
    started = await asyncio.gather(*(scene.waiting(timeout=600) for _ in range(ACTIVITIES)))
    server = Relay(
        scene.settings(
            temporal={"namespaces": ("default", missing)},
            relay={"max_in_flight": LIMIT, "retry_maximum": 1.0},
        )
    )
    stop = asyncio.Event()
    running = asyncio.create_task(server.run(stop, on_ready=lambda _: None))
    try:
        of_the_missing = [
            await scene.emit(event(_of(missing, number), completed()))
            for number in range(ACTIVITIES)
        ]
        await eventually(
            lambda: "halted" in server.health.problems.get(f"completing in {missing}", ""),
            timeout=30,
            what="the missing namespace halted",
        )
        others = [await scene.emit(event(reference, completed())) for _, reference in started]
        for at in others:
            assert (await scene.decided(at)).disposition is Disposition.APPLIED
        assert len(await scene.audit()) == len(others)
        assert server.health.problems.keys() == {
            f"completing in {missing}",
            f"namespace {missing}",
        }
        await _register(scene.client, missing)
        # The run never was: what counts is that the namespace answered.
        for at in of_the_missing:
            assert (await scene.decided(at)).disposition is Disposition.UNKNOWN
        await eventually(lambda: server.health.is_ready, timeout=30, what="readiness green")
    finally:
        stop.set()
        await running


async def test_a_namespace_that_is_away_alone_behind_its_address_delays_no_other(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A frontend that routes by namespace, of which a part is away: the first namespace's."""
    away = f"away-{uuid.uuid4().hex[:8]}"
    _is_unavailable(monkeypatch, "describe_namespace", away)
    refused = _is_unavailable(monkeypatch, "respond_activity_task_completed", away)
    server = Relay(scene.settings(temporal={"namespaces": (away, "default")}))
    stop = asyncio.Event()
    running = asyncio.create_task(server.run(stop, on_ready=lambda _: None))
    try:
        for number in range(3):
            token = base64.b64encode(f"token {number}".encode()).decode()
            reference = dataclasses.replace(_of(away, number), task_token=token)
            await scene.emit(event(reference, completed()))
        await eventually(
            lambda: len({request.identity for request in refused}) == 3,
            what="three events that fail",
        )
        problem = f"namespace {away}"
        await eventually(lambda: "cannot be reached" in server.health.problems.get(problem, ""))
        _, reference = await scene.waiting()
        reference = dataclasses.replace(reference, namespace="default")
        at = await scene.emit(event(reference, completed()))
        assert (await scene.decided(at)).disposition is Disposition.APPLIED
        assert server.health.problems.keys() == {problem}
    finally:
        stop.set()
        await running


def _is_unavailable(monkeypatch: pytest.MonkeyPatch, rpc: str, namespace: str) -> list[Any]:
    """Have a call answered so where it is about this namespace; return what is refused."""
    original = getattr(WorkflowService, rpc)
    refused: list[Any] = []

    async def routed(service: WorkflowService, request: Any, **how: Any) -> Any:
        if request.namespace == namespace:
            refused.append(request)
            raise RPCError("no healthy upstream", RPCStatusCode.UNAVAILABLE, b"")
        return await original(service, request, **how)

    monkeypatch.setattr(WorkflowService, rpc, routed)
    return refused


def _of(namespace: str, number: int) -> ActivityReference:
    """Return an activity of a namespace that is not there."""
    return ActivityReference(
        namespace=namespace, workflow_id=f"w-{number}", run_id=str(uuid.uuid4()), activity_id="a"
    )


async def _register(client: Client, namespace: str) -> None:
    await client.workflow_service.register_namespace(
        RegisterNamespaceRequest(
            namespace=namespace, workflow_execution_retention_period=Duration(seconds=86_400)
        )
    )
