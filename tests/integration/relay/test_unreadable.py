"""A batch that cannot be read stops its own partition: no other, nor the group, and not for ever."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from aiokafka.consumer.fetcher import PartitionRecords
from aiokafka.errors import CorruptRecordException
from aiokafka.structs import ConsumerRecord
from tests.integration.relay.members import Members
from tests.integration.relay.process import get
from tests.integration.relay.test_promises import emit_to
from tests.integration.relay.waiting import Scene, completed, event, relay, unready_relay
from tests.support import eventually, produce

import completion_relay.consumer
import completion_relay.unreadable
from completion_schemas.dispositions import Disposition


@pytest.fixture
def damaged(monkeypatch: pytest.MonkeyPatch) -> set[tuple[str, int]]:
    """White-box: the partitions whose next batch is damaged on the broker that leads them."""
    places: set[tuple[str, int]] = set()
    original = PartitionRecords._unpack_records

    def unpack(self: Any) -> Iterator[ConsumerRecord[Any, Any]]:
        if tuple(self._tp) in places:
            raise CorruptRecordException("Invalid CRC")
        yield from original(self)

    monkeypatch.setattr(PartitionRecords, "_unpack_records", unpack)
    monkeypatch.setattr(completion_relay.unreadable, "_AGAIN_SECONDS", 0.1)
    monkeypatch.setattr(completion_relay.consumer, "_RETAKE_SECONDS", 0.1)
    return places


async def _applied(scene: Scene, *, partition: int) -> None:
    _, reference = await scene.waiting()
    at = await emit_to(scene, partition, event(reference, completed()))
    assert (await scene.decided(at)).disposition is Disposition.APPLIED


async def _problems(http: str) -> str:
    status, text = await get(f"http://{http}/readyz")
    return "" if status == 200 else text


async def test_the_other_partitions_go_on_and_that_one_does_when_it_can_be_read(
    scene: Scene, members: Members, damaged: set[tuple[str, int]]
) -> None:
    async with relay(scene.settings()) as http:
        damaged.add((scene.topics.completions, 0))
        handle, reference = await scene.waiting()
        await emit_to(scene, 0, event(reference, completed()))
        part = f"reading {scene.topics.completions}/0"

        async def named() -> bool:
            return part in await _problems(http)

        await eventually(named, what=f"{part} in /readyz")
        await _applied(scene, partition=1)
        damaged.clear()
        assert await handle.result() == "done"

        async def ready() -> bool:
            return not await _problems(http)

        await eventually(ready, what="readiness")
    assert len(members.assignments) == 1


async def test_what_is_parked_and_cannot_be_read_keeps_its_own_partitions_from_being_taken(
    scene: Scene, damaged: set[tuple[str, int]]
) -> None:
    """Both of the number: what of it is parked is not known."""
    await produce(scene.kafka, scene.topics.parked, b"?", partition=0)
    damaged.add((scene.topics.parked, 0))
    async with unready_relay(scene.settings()):
        await _applied(scene, partition=1)
        damaged.clear()
        await _applied(scene, partition=0)
