"""Fixtures of the commands' integration tests: the real entry point, in a process of its own."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client
from tests.integration.relay.waiting import Scene
from tests.support import Topics


@dataclass(frozen=True, slots=True)
class Done:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def objects(self) -> list[dict[str, Any]]:
        """What it printed with --json."""
        return [json.loads(line) for line in self.out.splitlines()]


@dataclass(frozen=True, slots=True)
class Commands:
    """Runs `completion-relay` with the test's own topics."""

    config: Path

    async def __call__(
        self, *args: str, stdin: bytes = b"", variables: Mapping[str, str] | None = None
    ) -> Done:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "completion_relay",
            *args,
            "--config",
            str(self.config),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, **(variables or {})},
        )
        out, err = await asyncio.wait_for(process.communicate(stdin), 60)
        assert process.returncode is not None
        return Done(process.returncode, out.decode(), err.decode())


def configuration(kafka: str, temporal: str, topics: Topics) -> str:
    """Return what a command's file of settings says."""
    return f"""
[kafka]
bootstrap_servers = "{kafka}"
group_id = "{topics.completions}.group"

[temporal]
address = "{temporal}"
namespaces = ["default"]

[topics]
completions = "{topics.completions}"
audit = "{topics.audit}"
dead_letter = "{topics.dead_letter}"
parked = "{topics.parked}"
signals = "{topics.signals}"
"""


@pytest.fixture
def new_topics() -> Topics:
    """Names of topics that nobody has created."""
    return Topics.unique()


@pytest.fixture
def commands(kafka_address: str, temporal_address: str, topics: Topics, tmp_path: Path) -> Commands:
    """Commands on topics that are there."""
    config = tmp_path / "relay.toml"
    config.write_text(configuration(kafka_address, temporal_address, topics))
    return Commands(config)


@pytest.fixture
def commands_before(
    kafka_address: str, temporal_address: str, new_topics: Topics, tmp_path: Path
) -> Commands:
    """Commands on topics that are not there yet."""
    config = tmp_path / "relay-before.toml"
    config.write_text(configuration(kafka_address, temporal_address, new_topics))
    return Commands(config)


@pytest.fixture
async def scene(
    client: Client, kafka_address: str, temporal_address: str, topics: Topics, task_queue: str
) -> AsyncIterator[Scene]:
    """A caller whose worker runs, on the same topics."""
    scene = Scene(client, kafka_address, temporal_address, topics, task_queue)
    async with scene.worker():
        yield scene
