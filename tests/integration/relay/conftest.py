"""Fixtures of the relay's integration tests."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator

import pytest
from aiokafka.structs import TopicPartition
from temporalio.client import Client
from tests.chaos.proxy import Link
from tests.integration.relay.members import Members
from tests.integration.relay.waiting import Far, Scene
from tests.support import Topics

import completion_relay.waiting
from completion_relay.consumer import Consumer


@pytest.fixture
async def scene(
    client: Client, kafka_address: str, temporal_address: str, topics: Topics, task_queue: str
) -> AsyncIterator[Scene]:
    """A caller whose worker runs, and topics of this test alone; no relay yet."""
    scene = Scene(client, kafka_address, temporal_address, topics, task_queue)
    async with scene.worker():
        yield scene


@pytest.fixture
async def far(scene: Scene) -> AsyncIterator[Far]:
    async with Link(int(scene.temporal.rpartition(":")[2])) as link:
        yield Far(dataclasses.replace(scene, temporal=link.address), link)


@pytest.fixture
def members(monkeypatch: pytest.MonkeyPatch) -> Members:
    seen = Members()
    original = Consumer._take_led

    async def spy(self: Consumer, assigned: set[TopicPartition]) -> set[TopicPartition]:
        left = await original(self, assigned)
        seen.assignments.append((self, assigned))
        return left

    monkeypatch.setattr(Consumer, "_take_led", spy)
    return seen


@pytest.fixture
def nobody_gives_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """White-box: what waits keeps its place, however crowded it is: a window that is full stays full."""
    monkeypatch.setattr(completion_relay.waiting, "_GRACE", 600.0)
