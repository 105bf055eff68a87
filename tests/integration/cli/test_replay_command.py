"""`completion-relay replay` on a real broker, a real Temporal server and a real relay."""

from __future__ import annotations

import asyncio
import contextlib
import os
import stat
import sys
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.structs import ConsumerRecord
from tests.integration.cli.conftest import Commands
from tests.integration.relay.waiting import Scene, completed, event, heartbeat, relay
from tests.support import Topics, committed_offsets, consume_all, create_topics, eventually

from completion_relay.replay import headers as said
from completion_relay.replay.checkpoint import group_of
from completion_schemas.dispositions import Disposition
from completion_schemas.events import ActivityReference

Records = list[ConsumerRecord[bytes | None, bytes | None]]

_NOBODY = ActivityReference(
    namespace="default", workflow_id="nobody", run_id=str(uuid.uuid4()), activity_id="1"
)
"""For what is never decided: no relay runs."""


def header(record: ConsumerRecord[bytes | None, bytes | None], name: str) -> str | None:
    return said.text_of(record.headers, name)


def replays(records: Records) -> Records:
    return [record for record in records if header(record, said.REPLAY_OF) is not None]


def origins(records: Records) -> Counter[str]:
    return Counter(str(header(record, said.REPLAY_OF)) for record in replays(records))


async def on_topic(scene: Scene) -> Records:
    return await consume_all(scene.kafka, scene.topics.completions)


async def put(scene: Scene, count: int) -> list[str]:
    """Put events that nobody decides; return their positions."""
    placed = []
    for number in range(count):
        reference = replace(_NOBODY, activity_id=str(number))
        at = await scene.emit(event(reference, completed()))
        placed.append(f"{at.topic}/{at.partition}/{at.offset}")
    return placed


async def test_an_applied_event_that_is_replayed_is_a_duplicate_and_the_workflow_has_one_result(
    commands: Commands, scene: Scene
) -> None:
    async with relay(scene.settings()):
        handle, reference = await scene.waiting()
        at = await scene.emit(event(reference, completed(b'"mine"'), event_id="e-1"))
        assert (await scene.decided(at)).disposition is Disposition.APPLIED
        done = await commands("replay", "--event-id", "e-1", "--yes", "--wait", "30", "--json")
        assert done.code == 0, done.err
        plan, result = done.objects
        assert (plan["to_send"], plan["by_last"], plan["outlook"]) == (
            1,
            {"applied": 1},
            {"duplicate": 1},
        )
        assert (result["sent"], result["became"]) == (1, {"duplicate": 1})
        assert await handle.result() == "mine"
        ends = [
            entry.event_id
            async for entry in handle.fetch_history_events()
            if entry.HasField("activity_task_completed_event_attributes")
        ]
        assert len(ends) == 1
    original, again = await on_topic(scene)
    assert (again.key, again.value, again.partition) == (
        original.key,
        original.value,
        original.partition,
    )
    assert again.headers[: len(original.headers)] == original.headers
    assert header(again, said.REPLAY_OF) == f"{at.topic}/{at.partition}/{at.offset}"
    assert header(again, said.COUNT) == "1"
    replayed = next(record for record in await scene.audit() if record.replay_of)
    assert replayed.replay_of == f"{at.topic}/{at.partition}/{at.offset}"


async def test_a_plan_says_what_it_would_do_and_sends_nothing(
    commands: Commands, scene: Scene
) -> None:
    placed = await put(scene, 3)
    done = await commands("replay", "--from", "1h")
    assert done.code == 0, done.err
    assert "3       to send" in done.out
    assert "not decided yet" in done.out
    assert "Nothing was sent: add --yes to send 3 events." in done.err
    assert len(await on_topic(scene)) == len(placed)
