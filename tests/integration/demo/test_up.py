"""`completion-relay up`: real servers and a relay until Ctrl-C, and the data of the last time."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from temporalio.client import Client, WorkflowExecutionStatus
from tests.integration.demo.commands import command, line_with, servers_are_gone
from tests.support import consume_all, eventually, produce

from completion_relay.embedded.process import HOST
from completion_schemas.audit import decode_audit


@contextlib.asynccontextmanager
async def up(data: Path) -> AsyncIterator[dict[str, str]]:
    """Run it until the end of the context, then press Ctrl-C; it must exit 0."""
    async with command("completion_relay", "up", "--data", data, "--json") as process:
        addresses: dict[str, str] = json.loads(await line_with(process, "{"))
        yield addresses
        os.killpg(process.pid, signal.SIGINT)
        _, err = await process.communicate()
        assert process.returncode == 0, err.decode()
        assert "Traceback" not in err.decode()


async def test_data_is_kept_between_two_runs_and_nothing_is_decided_twice(tmp_path: Path) -> None:
    workflow_id = f"kept-{uuid.uuid4().hex}"
    async with up(tmp_path) as first:
        client = await Client.connect(first["temporal"])
        await client.start_workflow("Nobody", id=workflow_id, task_queue="none")
        await produce(first["kafka"], first["topic"], b"not an event")

        async def one_decided() -> list[Any]:
            return await consume_all(first["kafka"], "completions.audit")

        await eventually(one_decided)

    async with up(tmp_path) as second:
        client = await Client.connect(second["temporal"])
        described = await client.get_workflow_handle(workflow_id).describe()
        later = await produce(second["kafka"], second["topic"], b"not an event either")

        async def both_decided() -> list[Any]:
            trail = [
                decode_audit(record.value)
                for record in await consume_all(second["kafka"], "completions.audit")
            ]
            positions = [(record.partition, record.offset) for record in trail]
            return positions if (later.partition, later.offset) in positions else []

        positions = await eventually(both_decided)

    assert described.status == WorkflowExecutionStatus.RUNNING
    assert len(positions) == 2
    await servers_are_gone(tmp_path)


async def test_it_tells_a_person_every_address_and_how_to_go_on(tmp_path: Path) -> None:
    async with command("completion_relay", "up", "--data", tmp_path) as process:
        said = ""
        async with asyncio.timeout(60):
            assert process.stdout is not None
            async for line in process.stdout:
                said += line.decode()
                if "Ctrl-C" in said:
                    break
        assert "Ctrl-C" in said
        process.send_signal(signal.SIGTERM)
        await process.communicate()

    assert process.returncode == 0
    for part in ("temporal ui", "kafka", "/readyz", str(tmp_path), "emit --kafka", "samples"):
        assert part in said


async def test_a_taken_port_is_one_line_and_exit_2(tmp_path: Path) -> None:
    with socket.create_server((HOST, 0)) as taken:
        port = str(taken.getsockname()[1])
        async with command(
            "completion_relay", "up", "--data", tmp_path, "--kafka-port", port
        ) as process:
            _, err = await process.communicate()

    (line,) = err.decode().splitlines()
    assert process.returncode == 2
    assert line.startswith(f"error: Kafka port {port}")


async def test_a_wrong_setting_is_refused_and_the_servers_are_stopped(tmp_path: Path) -> None:
    file = tmp_path / "relay.toml"
    file.write_text("[relay]\nwindow = 0\n")
    async with command(
        "completion_relay", "up", "--data", tmp_path / "data", "--config", file
    ) as process:
        _, err = await process.communicate()

    (line,) = err.decode().splitlines()
    assert process.returncode == 2
    assert "relay.window" in line
    await servers_are_gone(tmp_path / "data")
