"""A partition that brings nothing is named, and one that has nothing is not, on a real broker."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaStorageError
from aiokafka.structs import TopicPartition
from tests.integration.relay.process import get
from tests.integration.relay.test_promises import emit_to, metric
from tests.integration.relay.waiting import Scene, completed, event, relay
from tests.support import eventually

import completion_relay.service
import completion_relay.silence
from completion_relay.silence import Silence
from completion_schemas.cloudevents import encode_record
from completion_schemas.dispositions import Disposition

_FETCH = 1
"""The API key of Fetch in Kafka's protocol."""
MANY = 20
"""Looks, which take longer than the patience that these tests have."""


@dataclass
class Looks:
    """How often it has been looked for partitions that are silent."""

    count: int = 0


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> Looks:
    """Probe often, and lose patience soon."""
    seen = Looks()
    original = Silence.look

    def look(self: Silence, *given: Mapping[TopicPartition, Any]) -> None:
        seen.count += 1
        original(self, *given)

    monkeypatch.setattr(completion_relay.service, "_PROBE_SECONDS", 0.1)
    monkeypatch.setattr(completion_relay.silence, "_PATIENCE_SECONDS", 1.0)
    monkeypatch.setattr(Silence, "look", look)
    return seen


async def test_a_partition_whose_fetches_are_answered_with_an_error_is_named(
    scene: Scene, looks: Looks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """White-box: aiokafka only logs the error, and the other partitions go on."""
    topic = scene.topics.completions
    is_sick = asyncio.Event()
    original = AIOKafkaClient.send

    async def send(self: AIOKafkaClient, *given: Any, **options: Any) -> Any:
        response = await original(self, *given, **options)
        if is_sick.is_set() and getattr(response, "API_KEY", None) == _FETCH:
            response.topics = [
                (
                    name,
                    [_failed(*part) if (name, part[0]) == (topic, 0) else part for part in parts],
                )
                for name, parts in response.topics
            ]
        return response

    monkeypatch.setattr(AIOKafkaClient, "send", send)
    _, lost = await scene.waiting()
    _, other = await scene.waiting()
    async with relay(scene.settings()) as http:
        is_sick.set()
        at = await emit_to(scene, 0, event(lost, completed()))

        async def named() -> bool:
            status, text = await get(f"http://{http}/readyz")
            return status == 503 and f"fetching {topic}/0" in text and "nothing has come" in text

        await eventually(named, what="readiness that names the partition")
        lag = f'completion_relay_consumer_lag{{partition="0",topic="{topic}"}}'
        assert await metric(http, lag) == 1
        there = await emit_to(scene, 1, event(other, completed()))
        assert (await scene.decided(there)).disposition is Disposition.APPLIED
        assert await named()

        is_sick.clear()
        assert (await scene.decided(at)).disposition is Disposition.APPLIED
        await eventually(lambda: _ready(http), what="a relay that is ready again")


async def test_an_open_transaction_and_the_marker_at_its_end_are_no_silence(
    scene: Scene, looks: Looks
) -> None:
    """Events that are not committed are not for reading; a marker has an offset and is no record."""
    _, reference = await scene.waiting()
    record = encode_record(event(reference, completed()))
    headers = [(name, value or b"") for name, value in record.headers]
    async with (
        relay(scene.settings()) as http,
        AIOKafkaProducer(
            bootstrap_servers=scene.kafka, transactional_id=scene.topics.completions
        ) as producer,
    ):

        async def stays_ready() -> None:
            until, said = looks.count + MANY, set()

            async def looked() -> bool:
                said.add(await get(f"http://{http}/readyz"))
                return looks.count > until

            await eventually(looked, timeout=60, what="looks at the partitions")
            assert not [text for _, text in said if "fetching" in text]

        async with producer.transaction():
            at = await producer.send_and_wait(
                scene.topics.completions, record.value, headers=headers, partition=0
            )
            await stays_ready()
        assert (await scene.decided(at)).disposition is Disposition.APPLIED
        await stays_ready()


async def _ready(http: str) -> bool:
    return (await get(f"http://{http}/readyz"))[0] == 200


def _failed(number: int, _code: int, *rest: Any) -> tuple[Any, ...]:
    return (number, KafkaStorageError.errno, *rest)
