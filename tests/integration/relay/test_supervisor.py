"""`run --processes N` without any server: what is started, asked, replaced, refused and left behind."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
from collections.abc import AsyncIterator, Iterator

import pytest
from tests.integration.relay.process import TWO_PROCESSES, Process, get, pids, run, samples
from tests.support import eventually

from completion_relay.embedded.process import free_port

NOBODY = "127.0.0.1:1"
"""Port 1 of the loopback: nothing listens there."""
UP = "completion_relay_process_up"


@pytest.fixture
async def waiting_for_kafka() -> AsyncIterator[tuple[Process, str]]:
    """Two processes that wait for a Kafka that never comes, and the address of their pages."""
    http = f"127.0.0.1:{free_port()}"
    arguments = ("--kafka", NOBODY, "--temporal", NOBODY, "--processes", "2", "--http", http)
    environment = {"COMPLETION_RELAY_RELAY__RELAY_ID": "here"}
    async with run(*arguments, environment=environment) as process:
        await eventually(
            lambda: [line for line in process.logs if line["event"] == "problem"][1:],
            timeout=30,
            what="two processes that wait",
        )
        yield process, http


@contextlib.contextmanager
def stopped(pid: int) -> Iterator[None]:
    """Freeze a process for a while."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


async def problems(http: str) -> dict[str, str]:
    _, page = await get(f"http://{http}/readyz")
    found: dict[str, str] = json.loads(page)["problems"]
    return found


async def test_a_process_that_hangs_ends_all_the_same_when_the_supervisor_is_killed(
    waiting_for_kafka: tuple[Process, str],
) -> None:
    """One that is stopped (SIGSTOP) sees the end of the pipe when it goes on."""
    process, _ = waiting_for_kafka
    frozen = pids(process)[1]
    with stopped(frozen):
        process.process.kill()
        await process.logged("supervisor gone", relay_id="here/2")
    await process.silent()


async def test_readiness_names_the_problems_of_each_process(
    waiting_for_kafka: tuple[Process, str],
) -> None:
    _, http = waiting_for_kafka

    async def named() -> bool:
        status, page = await get(f"http://{http}/readyz")
        assert status == 503
        return {"process 1: kafka", "process 2: kafka"} <= set(json.loads(page)["problems"])

    await eventually(named, timeout=60, what="the problem of each process")


async def test_a_process_that_is_killed_is_started_again_and_shown_as_dead_meanwhile(
    waiting_for_kafka: tuple[Process, str],
) -> None:
    process, http = waiting_for_kafka
    killed = pids(process)[2]
    os.kill(killed, signal.SIGKILL)
    await process.logged("process ended", process=2, how="SIGKILL")
    found = (await problems(http))["process 2"]
    assert found.startswith(("ended (SIGKILL); starts again in", "starting again"))
    assert await samples(http, UP) == {"1": 1, "2": 0}
    assert "process 2" not in (await get(f"http://{http}/healthz"))[1]

    async def is_back() -> bool:
        return "process 2: kafka" in await problems(http)

    await eventually(is_back, timeout=30, what="the process started again")
    assert pids(process)[2] != killed
    assert await samples(http, UP) == {"1": 1, "2": 1}
    assert await samples(http, "completion_relay_process_restarts_total") == {"1": 0, "2": 1}


async def test_a_process_that_hangs_is_named_by_healthz(
    waiting_for_kafka: tuple[Process, str],
) -> None:
    process, http = waiting_for_kafka
    with stopped(pids(process)[1]):

        async def named() -> bool:
            status, page = await get(f"http://{http}/healthz")
            return (status, list(json.loads(page)["problems"])) == (503, ["process 1"])

        await eventually(named, timeout=60, what="the process that hangs, and it alone")

    async def alive() -> bool:
        return (await get(f"http://{http}/healthz"))[0] == 200

    await eventually(alive, what="a process that answers again")


async def test_a_process_that_is_told_to_end_by_itself_is_replaced(
    waiting_for_kafka: tuple[Process, str],
) -> None:
    """Nobody asked the relay to end."""
    process, _ = waiting_for_kafka
    told = pids(process)[1]
    os.kill(told, signal.SIGTERM)
    await process.logged("process ended", process=1, how="exit code 0")
    await eventually(lambda: pids(process)[1] != told, what="another process")


async def test_sigterm_while_the_processes_start_exits_0() -> None:
    async with run(*TWO_PROCESSES, "--kafka", NOBODY, "--temporal", NOBODY) as process:
        await process.logged("process started", process=2)
        process.process.send_signal(signal.SIGTERM)
        assert await process.ended() == 0
        await process.silent()
    assert process.errors() == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--processes", "0"], ["--processes 0", "1 to 64", "auto"]),
        (["--processes", "65"], ["--processes 65", "1 to 64", "auto"]),
        (["--processes", "two"], ["--processes two", "1 to 64", "auto"]),
        (["--processes", "2", "--kafka", "nonsense"], ["kafka.bootstrap_servers", "HOST:PORT"]),
    ],
)
async def test_a_wrong_setting_is_one_clear_line_and_exit_2_before_anything_starts(
    arguments: list[str], words: list[str]
) -> None:
    async with run(*arguments) as process:
        assert await process.ended() == 2
    (line,) = process.logs
    assert line["line"].startswith("error: ")
    assert all(word in line["line"] for word in words)


async def test_a_relay_id_without_room_for_the_number_is_one_clear_line_and_exit_2() -> None:
    environment = {"COMPLETION_RELAY_RELAY__RELAY_ID": "x" * 256}
    async with run(*TWO_PROCESSES, environment=environment) as process:
        assert await process.ended() == 2
    (line,) = process.logs
    assert line["line"].startswith("error: setting relay.relay_id: 256 characters")


async def test_a_taken_port_is_one_clear_line_and_exit_2_before_anything_starts() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        async with run("--processes", "2", "--http", address) as process:
            assert await process.ended() == 2
    (line,) = process.logs
    assert f"http.address = {address}" in line["line"]
