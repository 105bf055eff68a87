"""`completion-relay run` as a process, for the relay's integration tests."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from prometheus_client.parser import text_string_to_metric_families
from tests.support import Topics, eventually

from completion_relay.embedded import EMPTY_FETCH_PAUSE_MS

DEBUG = {"COMPLETION_RELAY_LOG__LEVEL": "DEBUG"}
"""So that an event that was applied is logged."""
UNTIL_MENDED = {"COMPLETION_RELAY_TEMPORAL__RPC_TIMEOUT": "60"}
"""So that a call lasts until a stalled link is mended, on a machine that stands still as well."""
TWO_PROCESSES = ("--processes", "2", "--http", "127.0.0.1:0")


READY_SECONDS = 120.0
"""A member that was killed before is waited for: a session, and the rebalance's time-out of a minute."""


@dataclass
class Process:
    """A `completion-relay run` with its output."""

    process: asyncio.subprocess.Process
    out: list[str] = field(default_factory=list)
    logs: list[dict[str, Any]] = field(default_factory=list)
    nobody_left: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def readyz(self) -> str:
        return self.out[0].rpartition(" ")[2].strip()

    @property
    def http(self) -> str:
        """HOST:PORT of its pages, as the ready line has it."""
        return self.readyz.removeprefix("http://").removesuffix("/readyz")

    async def ready(self) -> None:
        try:
            await eventually(lambda: self.out, timeout=READY_SECONDS, what="the ready line")
        except AssertionError as error:
            raise AssertionError(f"{error}; it logged {self.logs}") from None

    async def logged(self, event: str, **fields: object) -> dict[str, Any]:
        def found() -> dict[str, Any] | None:
            for line in self.logs:
                if line["event"] == event and all(line.get(k) == v for k, v in fields.items()):
                    return line
            return None

        return await eventually(found, timeout=30, what=f"{event} {fields} in {self.logs}")

    def errors(self) -> list[str]:
        """What was written to standard error and is no log line."""
        return [line["line"] for line in self.logs if line["event"] == "not JSON"]

    async def silent(self) -> None:
        """Return once nobody holds its standard error any more: it and all its children ended."""
        await asyncio.wait_for(self.nobody_left.wait(), 60)

    async def ended(self) -> int:
        return await asyncio.wait_for(self.process.wait(), 60)


@contextlib.asynccontextmanager
async def run(*arguments: str, environment: dict[str, str] | None = None) -> AsyncIterator[Process]:
    """Start the command; end it if the test has not."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "completion_relay",
        "run",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=os.environ | (environment or {}),
    )
    running = Process(process)

    async def read_out() -> None:
        assert process.stdout
        async for line in process.stdout:
            running.out.append(line.decode())

    async def read_logs() -> None:
        assert process.stderr
        async for line in process.stderr:
            with contextlib.suppress(json.JSONDecodeError):
                running.logs.append(json.loads(line))
                continue
            running.logs.append({"event": "not JSON", "line": line.decode()})
        running.nobody_left.set()

    async with asyncio.TaskGroup() as readers:
        readers.create_task(read_out())
        readers.create_task(read_logs())
        try:
            yield running
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()


def topic_settings(topics: Topics) -> dict[str, str]:
    names = ("completions", "audit", "dead_letter", "parked", "signals")
    return {
        f"COMPLETION_RELAY_TOPICS__{name.upper()}": str(getattr(topics, name)) for name in names
    } | {
        "COMPLETION_RELAY_RELAY__COMMIT_INTERVAL": "0.05",
        "COMPLETION_RELAY_KAFKA__EMPTY_FETCH_PAUSE_MS": str(EMPTY_FETCH_PAUSE_MS),
        # A group of its own: a member that was killed is waited for until its session ends.
        "COMPLETION_RELAY_KAFKA__GROUP_ID": f"{topics.completions}.group",
    }


async def get(url: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return response.status, await response.text()


def pids(process: Process) -> dict[int, int]:
    """Return the process id of each child, by its number: that of the last one started."""
    return {
        line["process"]: line["pid"] for line in process.logs if line["event"] == "process started"
    }


async def samples(http: str, name: str) -> dict[str, float]:
    """Return the sum of a metric's samples by process."""
    found: dict[str, float] = {}
    _, page = await get(f"http://{http}/metrics")
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            if sample.name == name:
                process = sample.labels["process"]
                found[process] = found.get(process, 0) + sample.value
    return found
