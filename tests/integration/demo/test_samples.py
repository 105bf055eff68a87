"""The samples' workers as a user starts them, without the demo around them."""

from __future__ import annotations

import signal
import socket
import uuid

import pytest
from temporalio.client import Client
from tests.integration.demo.commands import command, line_with

from completion_relay.demo.script import AGENT, AGENTS

NOBODY = "127.0.0.1:1"
"""Port 1 of the loopback: nothing listens there."""


async def test_they_say_that_they_poll_and_end_on_sigterm(
    kafka_address: str, temporal_address: str
) -> None:
    async with command(
        *("completion_workflow.samples", "--temporal", temporal_address, "--kafka", kafka_address)
    ) as samples:
        line = await line_with(samples, "polling")
        samples.send_signal(signal.SIGTERM)
        _, err = await samples.communicate()

    assert temporal_address in line
    assert samples.returncode == 0, err.decode()
    assert "Traceback" not in err.decode()


async def test_an_agent_without_a_callback_returns_what_its_work_returns(
    client: Client, temporal_address: str
) -> None:
    async with command(
        *("completion_workflow.samples", "--temporal", temporal_address, "--kafka", NOBODY)
    ) as samples:
        await line_with(samples, "polling")

        result = await client.execute_workflow(
            AGENT,
            {"task": {"name": "alone", "seconds": 0}},
            id=f"alone-{uuid.uuid4().hex}",
            task_queue=AGENTS,
        )

    assert result == "alone is done"


async def test_a_temporal_that_is_away_is_one_line_and_exit_2() -> None:
    async with command("completion_workflow.samples", "--temporal", NOBODY) as samples:
        _, err = await samples.communicate()

    (line,) = err.decode().splitlines()
    assert samples.returncode == 2
    assert line.startswith(f"error: Temporal at {NOBODY} cannot be reached")


async def test_an_address_that_is_none_is_one_line_and_exit_2() -> None:
    async with command("completion_workflow.samples", "--temporal", "x:abc") as samples:
        _, err = await samples.communicate()

    (line,) = err.decode().splitlines()
    assert samples.returncode == 2
    assert line.startswith("error: --temporal x:abc is no address: ")


async def test_no_slots_are_refused_and_exit_2() -> None:
    async with command("completion_workflow.samples", "--caller-slots", "0") as samples:
        _, err = await samples.communicate()

    assert samples.returncode == 2
    assert "--caller-slots: '0' is no number of slots: give 1 or more" in err.decode()


async def test_metrics_on_a_taken_port_are_one_line_and_exit_2() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        async with command(
            *("completion_workflow.samples", "--temporal", NOBODY, "--metrics", address)
        ) as samples:
            _, err = await samples.communicate()

    (line,) = err.decode().splitlines()
    assert samples.returncode == 2
    assert line.startswith(f"error: --metrics {address} cannot be served: ")


@pytest.mark.parametrize(
    ("option", "problem"),
    [
        ("--kafka", "bootstrap_servers is empty"),
        ("--topic", "topic is empty"),
    ],
)
async def test_a_wrong_setting_of_kafka_is_one_line_and_exit_2(option: str, problem: str) -> None:
    async with command(
        *("completion_workflow.samples", "--temporal", NOBODY, option, "")
    ) as samples:
        _, err = await samples.communicate()

    (line,) = err.decode().splitlines()
    assert samples.returncode == 2
    assert line.startswith(f"error: {problem}")
