"""Fixtures of the relay's integration tests."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from temporalio.client import Client
from tests.integration.relay.waiting import Scene
from tests.support import Topics


@pytest.fixture
async def scene(
    client: Client, kafka_address: str, temporal_address: str, topics: Topics, task_queue: str
) -> AsyncIterator[Scene]:
    """A caller whose worker runs, and topics of this test alone; no relay yet."""
    scene = Scene(client, kafka_address, temporal_address, topics, task_queue)
    async with scene.worker():
        yield scene
