"""The development stack: two real servers on one folder, and nothing left behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from temporalio.client import Client, WorkflowExecutionStatus
from tests.support import consume_all, create_topics, produce

from completion_relay.embedded import (
    DataInUseError,
    EmbeddedStack,
    PortTakenError,
    ServerFailedError,
)
from completion_relay.embedded.lock import DataLock
from completion_relay.embedded.process import HOST, connectable

_OWNER = """
import asyncio, signal, sys
from completion_relay.embedded import EmbeddedStack
from completion_relay.embedded.servers import kafka_ready, temporal_ready

# A shell has its background jobs ignore it, and they hand that down.
signal.signal(signal.SIGINT, signal.default_int_handler)

async def main():
    told = asyncio.Event()
    if sys.argv[2] == "drains":
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, told.set)
    async with EmbeddedStack(sys.argv[1]) as stack:
        print(stack.kafka, stack.temporal, stack.ui, flush=True)
        await told.wait()
        await kafka_ready(stack.kafka)
        await temporal_ready(stack.temporal)
        print("both still serve", flush=True)

asyncio.run(main())
"""


@contextlib.asynccontextmanager
async def _owner(
    data: Path, how: str = "does not drain"
) -> AsyncIterator[asyncio.subprocess.Process]:
    # A session of its own: a terminal's foreground group, as far as signals go.
    owner = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _OWNER, str(data), how),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield owner
    finally:
        if owner.returncode is None:  # the test has failed
            owner.kill()
            await owner.wait()


async def _ports(owner: asyncio.subprocess.Process) -> list[int]:
    assert owner.stdout is not None
    line = (await owner.stdout.readline()).decode()
    return [int(address.rpartition(":")[2]) for address in line.split()]


async def _nothing_is_left(data: Path, ports: list[int]) -> None:
    # The servers' guards hold the lock: whoever gets it knows that they are gone.
    lock = DataLock(data)
    await lock.acquire()
    lock.release()
    assert len(ports) == 3
    for port in ports:
        with pytest.raises(OSError, match=r"onnect"):
            await connectable(port)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
async def test_nothing_is_left_running_whatever_ends_the_owner(
    tmp_path: Path, number: signal.Signals
) -> None:
    async with _owner(tmp_path) as owner:
        ports = await _ports(owner)
        owner.send_signal(number)
        assert await owner.wait() != 0
    await _nothing_is_left(tmp_path, ports)


async def test_ctrl_c_reaches_the_owner_and_not_its_servers(tmp_path: Path) -> None:
    async with _owner(tmp_path, "drains") as owner:
        ports = await _ports(owner)
        os.killpg(owner.pid, signal.SIGINT)
        said, _ = await owner.communicate()
    assert (said, owner.returncode) == (b"both still serve\n", 0)
    await _nothing_is_left(tmp_path, ports)


async def test_data_is_kept_from_run_to_run(tmp_path: Path) -> None:
    workflow_id = f"kept-{uuid.uuid4().hex}"
    async with EmbeddedStack(tmp_path) as stack:
        await create_topics(stack.kafka, ["kept"])
        await produce(stack.kafka, "kept", b"an acknowledged record")
        client = await Client.connect(stack.temporal)
        await client.start_workflow("Nobody", id=workflow_id, task_queue="none")

    async with EmbeddedStack(tmp_path) as stack:
        (record,) = await consume_all(stack.kafka, "kept")
        client = await Client.connect(stack.temporal)
        described = await client.get_workflow_handle(workflow_id).describe()

    assert record.value == b"an acknowledged record"
    assert described.status == WorkflowExecutionStatus.RUNNING


async def test_the_ui_is_served_where_the_stack_says(tmp_path: Path) -> None:
    async with EmbeddedStack(tmp_path) as stack:
        host, port = stack.ui.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"GET / HTTP/1.0\r\n\r\n")
        answer = await reader.readline()
        writer.close()
        await writer.wait_closed()

    assert answer.split()[1] == b"200"


async def test_a_second_stack_on_the_same_folder_is_refused(tmp_path: Path) -> None:
    async with EmbeddedStack(tmp_path) as stack:
        with pytest.raises(DataInUseError, match=f"in use by process {os.getpid()}"):
            async with EmbeddedStack(tmp_path):
                pytest.fail("a second stack started")

        await connectable(int(stack.kafka.rpartition(":")[2]))


async def test_a_taken_port_is_one_line_and_the_folder_stays_free(tmp_path: Path) -> None:
    with socket.create_server((HOST, 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortTakenError, match=rf"^Temporal UI port {port} .*in use.*$"):
            async with EmbeddedStack(tmp_path, ui_port=port):
                pytest.fail("the stack started")

    await _nothing_is_left(tmp_path, [port, port, port])


async def test_a_server_that_dies_is_named(tmp_path: Path) -> None:
    async with EmbeddedStack(tmp_path) as stack:
        assert stack._kafka is not None
        assert stack._kafka.pid is not None
        os.kill(stack._kafka.pid, signal.SIGTERM)

        with pytest.raises(ServerFailedError, match=r"^Kafka ended .*kafka\.log"):
            await stack.ended()
