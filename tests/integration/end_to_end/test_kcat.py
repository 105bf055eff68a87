"""A program without one line of this project's code: kcat writes JSON, a waiting activity completes."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from datetime import UTC, datetime

import pytest
from tests.integration.relay.waiting import Scene, relay
from tests.support import consume_all, eventually

from completion_schemas.dispositions import DeadLetterReason, Disposition


@pytest.fixture
def kcat() -> str:
    """The path of kcat; CI requires it."""
    found = shutil.which("kcat")
    if found is None and os.environ.get("CI") == "true":
        pytest.fail("CI needs kcat: .ci/run installs it")
    if found is None:
        pytest.skip("kcat is not installed (Debian and Ubuntu: apt-get install kcat)")
    return found


async def write(kcat: str, kafka: str, topic: str, value: bytes, **headers: str) -> None:
    arguments = ["-b", kafka, "-t", topic, "-P", "-X", "partitioner=murmur2_random"]
    for name, text in headers.items():
        arguments += ["-H", f"{name}={text}"]
    process = await asyncio.create_subprocess_exec(
        kcat,
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await process.communicate(value)
    assert process.returncode == 0, out.decode()


async def test_kcat_completes_a_waiting_activity_and_garbage_beside_it_is_dead_lettered(
    scene: Scene, kcat: str
) -> None:
    async with relay(scene.settings()):
        handle, reference = await scene.waiting()
        event = {
            "eventId": "from-kcat-1",
            "occurredAt": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
            "activity": {"taskToken": reference.task_token},
            "completed": {"result": {"payloads": [{"json": {"total": 42, "currency": "EUR"}}]}},
        }
        await write(kcat, scene.kafka, scene.topics.completions, b"\x00\x01 rubbish", x="1")
        await write(
            kcat,
            scene.kafka,
            scene.topics.completions,
            json.dumps(event).encode(),
            **{
                "ce_specversion": "1.0",
                "ce_id": "from-kcat-1",
                "ce_source": "/billing",
                "ce_type": "completion.activity.completed.v1",
                "content-type": "application/json",
            },
        )
        assert await handle.result() == {"total": 42, "currency": "EUR"}

        async def both() -> bool:
            return len(await scene.audit()) == 2

        await eventually(both, timeout=30, what="two audit records")
        records = {record.event_id: record for record in await scene.audit()}
    assert records["from-kcat-1"].disposition is Disposition.APPLIED
    assert records[""].reason is DeadLetterReason.UNDECODABLE
    (letter,) = await consume_all(scene.kafka, scene.topics.dead_letter)
    assert letter.value == b"\x00\x01 rubbish"
    assert letter.key is None
    assert dict(letter.headers)["completion-dlq-reason"] == b"undecodable"
    assert dict(letter.headers)["x"] == b"1"
