"""A relay of several Temporal clusters: one that is away holds up no other."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client
from tests.integration.relay.process import get
from tests.integration.relay.waiting import Scene, completed, event, relay
from tests.support import eventually

from completion_relay.embedded import TemporalServer
from completion_relay.settings import Settings
from completion_schemas.dispositions import DeadLetterReason, Disposition
from completion_schemas.events import ActivityReference

PROMPTLY = 15.0
"""Seconds; the deadline of one call to a cluster that is away is less than that, and its retries
go on for ever."""


@dataclasses.dataclass
class West:
    """A second cluster, with a caller of its own."""

    server: TemporalServer
    scene: Scene

    async def waiting(self) -> tuple[Any, ActivityReference]:
        handle, reference = await self.scene.waiting()
        return handle, dataclasses.replace(reference, cluster="west")


@pytest.fixture
async def west(scene: Scene, tmp_path: Path) -> AsyncIterator[West]:
    server = TemporalServer(data=tmp_path, logs=tmp_path)
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(server)
        client = await Client.connect(server.address, namespace="default")
        other = Scene(client, scene.kafka, server.address, scene.topics, scene.task_queue)
        await stack.enter_async_context(other.worker())
        yield West(server, other)


def settings(scene: Scene, west: West) -> Settings:
    cluster = {"name": "west", "address": west.server.address, "namespaces": ("default",)}
    return scene.settings(temporal={"clusters": [cluster]})


async def test_an_event_is_applied_on_the_cluster_that_it_names(scene: Scene, west: West) -> None:
    """Both have a namespace of the same name; the trail and the metrics tell them apart."""
    async with relay(settings(scene, west)) as http:
        (here, of_here), (there, of_there) = await scene.waiting(), await west.waiting()
        at_here = await scene.emit(event(of_here, completed(b'"here"')))
        at_there = await scene.emit(event(of_there, completed(b'"there"')))
        assert (await here.result(), await there.result()) == ("here", "there")
        decided = [await scene.decided(at) for at in (at_here, at_there)]
        assert [record.namespace for record in decided] == ["default", "west/default"]

        async def counted() -> bool:
            _, text = await get(f"http://{http}/metrics")
            labels = 'disposition="applied",namespace="west/default",reason="",type="completed"'
            return f"completion_relay_events_total{{{labels}}} 1.0" in text

        await eventually(counted)


async def test_an_event_for_a_cluster_that_is_not_served_is_forbidden(
    scene: Scene, west: West
) -> None:
    async with relay(settings(scene, west)):
        _, reference = await scene.waiting()
        at = await scene.emit(event(dataclasses.replace(reference, cluster="east"), completed()))
        record = await scene.decided(at)
    assert (record.disposition, record.reason) == (
        Disposition.DEAD_LETTERED,
        DeadLetterReason.FORBIDDEN,
    )
    assert "'east'" in record.detail


async def test_a_cluster_that_is_away_holds_up_no_other_and_gets_its_events_when_it_is_back(
    scene: Scene, west: West
) -> None:
    async with relay(settings(scene, west)) as http:
        away = [await west.waiting() for _ in range(3)]
        await west.server.stop()
        held = [await scene.emit(event(reference, completed())) for _, reference in away]

        async def told() -> dict[str, str] | None:
            status, text = await get(f"http://{http}/readyz")
            problems: dict[str, str] = json.loads(text).get("problems", {})
            return problems if status == 503 and "temporal west" in problems else None

        problems = await eventually(told, what="readiness without the cluster west")
        assert "temporal" not in problems
        for _ in range(3):
            handle, reference = await scene.waiting()
            async with asyncio.timeout(PROMPTLY):
                at = await scene.emit(event(reference, completed()))
                await handle.result()
            assert (await scene.decided(at)).disposition is Disposition.APPLIED
        undecided = {(at.partition, at.offset) for at in held}
        assert undecided.isdisjoint(
            (record.partition, record.offset) for record in await scene.audit()
        )
        await west.server.start()
        for (handle, _), at in zip(away, held, strict=True):
            await handle.result()
            assert (await scene.decided(at)).disposition is Disposition.APPLIED

        async def ready() -> bool:
            return (await get(f"http://{http}/readyz"))[0] == 200

        await eventually(ready, what="a relay that is ready again")
