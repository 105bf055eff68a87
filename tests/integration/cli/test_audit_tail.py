"""`completion-relay audit tail`: the newest decisions, and those that come, on a real broker."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

from tests.integration.cli.conftest import Commands
from tests.integration.cli.trail import MINUTE, decision, write
from tests.support import Topics, create_topics, produce

from completion_relay.embedded import KafkaBroker
from completion_relay.embedded.process import free_port
from completion_schemas.dispositions import Disposition
from completion_schemas.times import UnixNanos, nanos_rfc3339


@contextlib.asynccontextmanager
async def following(*args: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run `audit tail --follow --json` until the end of the context."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "completion_relay", "audit", "tail", "--follow", "--json", *args),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "COMPLETION_RELAY_KAFKA__EMPTY_FETCH_PAUSE_MS": "20"},
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def next_event(process: asyncio.subprocess.Process) -> str:
    assert process.stdout
    line = await asyncio.wait_for(process.stdout.readline(), 60)
    return str(json.loads(line)["event_id"])


async def test_tail_prints_the_newest_of_all_partitions_the_newest_last(
    commands: Commands, topics: Topics, kafka_address: str
) -> None:
    now = time.time_ns()
    records = [decision(f"e{n}", decided_at=UnixNanos(now - n * MINUTE)) for n in range(5, -1, -1)]
    await write(kafka_address, topics, *records)
    await produce(kafka_address, topics.audit, b"garbage")
    done = await commands("audit", "tail", "-n", "3", "--json")
    assert done.code == 0, done.err
    assert [record["event_id"] for record in done.objects] == ["e2", "e1", "e0"]
    assert done.err.startswith("1 record on the topic cannot be read")


async def test_tail_prints_the_newest_before_a_time(
    commands: Commands, topics: Topics, kafka_address: str
) -> None:
    """All of them were written long after it: as after an outage, they are found beyond it."""
    now = time.time_ns()
    records = [decision(f"e{n}", decided_at=UnixNanos(now - n * MINUTE)) for n in range(9, 0, -1)]
    await write(kafka_address, topics, *records)
    until = nanos_rfc3339(UnixNanos(now - 5 * MINUTE))
    done = await commands("audit", "tail", "-n", "2", "--to", until, "--json")
    assert done.code == 0, done.err
    assert [record["event_id"] for record in done.objects] == ["e7", "e6"]


async def test_tail_prints_a_line_a_decision(
    commands: Commands, topics: Topics, kafka_address: str
) -> None:
    record = decision("e\x1b", type="\x1b[0m", disposition=Disposition.CLOSED)
    await write(kafka_address, topics, decision("other"), record)
    done = await commands("audit", "tail", "--disposition", "closed")
    (line,) = done.out.splitlines()
    assert line.split("  ")[1:5] == ["closed", "\\x1b[0m", "e\\x1b", "order-42 / 5"]


async def test_tail_exits_1_when_there_is_nothing(commands: Commands) -> None:
    done = await commands("audit", "tail")
    assert (done.code, done.out) == (1, "")
    assert done.err == "Nothing that is asked for is there.\n"


async def test_follow_prints_what_comes_and_ends_at_ctrl_c(
    commands: Commands, topics: Topics, kafka_address: str
) -> None:
    await write(kafka_address, topics, decision("before"))
    async with following("--config", str(commands.config)) as process:
        assert await next_event(process) == "before"
        await write(kafka_address, topics, decision("after"))
        assert await next_event(process) == "after"
        process.send_signal(signal.SIGINT)
        _, err = await asyncio.wait_for(process.communicate(), 30)
        assert process.returncode == 130
        assert err == b""


async def test_follow_goes_on_when_kafka_is_back_and_misses_nothing(tmp_path: Path) -> None:
    port, topics = free_port(), Topics.unique()
    kafka = f"127.0.0.1:{port}"
    config = tmp_path / "relay.toml"
    config.write_text(f'[topics]\naudit = "{topics.audit}"\n')
    async with contextlib.AsyncExitStack() as opened:
        async with KafkaBroker(data=tmp_path, logs=tmp_path, port=port):
            await create_topics(kafka, [topics.audit])
            await write(kafka, topics, decision("before"))
            process = await opened.enter_async_context(
                following("--kafka", kafka, "--config", str(config))
            )
            assert await next_event(process) == "before"
        async with KafkaBroker(data=tmp_path, logs=tmp_path, port=port):
            await write(kafka, topics, decision("after"))
            assert await next_event(process) == "after"
