"""Room `tests/drills`: a stack of a drill's own, and what is typed there. Touches processes, files and both servers.

Its topics have the names that they have by default, and its settings are in a file:
what a page says is typed as it stands there.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.admin import DeleteGroupsRequest
from aiokafka.structs import TopicPartition
from tests.chaos.gather import uncommitted
from tests.integration.relay.process import Process, run
from tests.pages import Section, filled_in
from tests.support import Topics, committed_offsets, eventually

from completion_relay.embedded import EMPTY_FETCH_PAUSE_MS, KafkaBroker, TemporalServer

TOPICS = Topics(
    completions="completions",
    audit="completions.audit",
    dead_letter="completions.dead-letter",
    parked="completions.parked",
    signals="completions.signals",
)
GROUP = "completion-relay"
PARTITIONS = "4"

_COMMAND_SECONDS = 240.0
_DECIDED_SECONDS = 240.0


@dataclass(frozen=True, slots=True)
class Said:
    """What a command printed with --json."""

    code: int
    objects: list[dict[str, Any]]
    err: str


@dataclass
class Stack:
    """A Temporal server and a Kafka broker of this drill alone, and one file of settings."""

    folder: Path
    kafka: KafkaBroker = field(init=False)
    temporal: TemporalServer = field(init=False)

    def __post_init__(self) -> None:
        self.kafka = KafkaBroker(data=self.folder / "kafka", logs=self.folder)
        self.temporal = TemporalServer(data=self._temporal_data, logs=self.folder)

    async def __aenter__(self) -> Self:
        self._servers = contextlib.AsyncExitStack()
        await self._servers.enter_async_context(self.kafka)
        try:
            await self._servers.enter_async_context(self.temporal)
            self._config.write_text(self._settings(), "utf-8")
            made = await self.command("topics", "create", "--partitions", PARTITIONS)
            assert made.code == 0, made.err
        except BaseException:
            await self._servers.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._servers.aclose()

    @property
    def environment(self) -> dict[str, str]:
        """What the commands of a page find: which file has the settings."""
        return {"COMPLETION_RELAY_CONFIG": str(self._config)}

    async def command(self, *arguments: str) -> Said:
        """Run a command to its end, with --json."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "completion_relay", *arguments, "--json"),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=os.environ | self.environment,
        )
        try:
            out, err = await asyncio.wait_for(process.communicate(), _COMMAND_SECONDS)
        finally:
            if process.returncode is None:
                process.kill()
                await process.communicate()
        assert process.returncode is not None
        objects = [json.loads(line) for line in out.decode().splitlines()]
        return Said(process.returncode, objects, err.decode())

    @contextlib.asynccontextmanager
    async def relay(self, *arguments: str) -> AsyncIterator[Process]:
        """Run a relay; drain it at the end, as whoever stops one does."""
        async with run(*arguments, environment=self.environment) as process:
            await process.ready()
            yield process
            process.process.send_signal(signal.SIGTERM)
            assert await process.ended() == 0

    async def all_decided(self) -> None:
        """Return once the group has committed all there is."""

        async def nothing_left() -> bool:
            topics = {"completions": TOPICS.completions, "parked": TOPICS.parked}
            return not any((await uncommitted(self.kafka.address, GROUP, topics)).values())

        await eventually(
            nothing_left, timeout=_DECIDED_SECONDS, what="every record behind the group's offsets"
        )

    async def rewind(self) -> None:
        """Set the group's offsets to the start, as Kafka's own tool does for a group without members."""
        offsets = await committed_offsets(self.kafka.address, GROUP, TOPICS.completions)
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.kafka.address, group_id=GROUP, enable_auto_commit=False
        )
        await consumer.start()
        try:
            partitions = [TopicPartition(TOPICS.completions, number) for number in offsets]
            consumer.assign(partitions)
            await consumer.commit(dict.fromkeys(partitions, 0))
        finally:
            await consumer.stop()

    async def forget_group(self) -> None:
        """Delete the group and all it has committed, as a broker does when its retention is over."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.kafka.address)
        await admin.start()
        try:
            node = await admin.find_coordinator(GROUP)
            answer = await admin._send_request(DeleteGroupsRequest([GROUP]), node)
            assert [code for _, code in answer.results] == [0], answer
        finally:
            await admin.close()
        assert await committed_offsets(self.kafka.address, GROUP, TOPICS.completions) == {}

    def copy_temporal(self) -> Path:
        """Copy the data of the Temporal server, which is stopped; return where the copy is."""
        copy = self.folder / "copy"
        shutil.copytree(self._temporal_data, copy)
        return copy

    def restore_temporal(self, copy: Path) -> None:
        """Give the Temporal server, which is stopped, the data of a copy."""
        shutil.rmtree(self._temporal_data)
        shutil.copytree(copy, self._temporal_data)

    @property
    def _temporal_data(self) -> Path:
        return self.folder / "temporal"

    @property
    def _config(self) -> Path:
        return self.folder / "relay.toml"

    def _settings(self) -> str:
        return f"""
[kafka]
bootstrap_servers = "{self.kafka.address}"
group_id = "{GROUP}"
empty_fetch_pause_ms = {EMPTY_FETCH_PAUSE_MS}

[temporal]
address = "{self.temporal.address}"
namespaces = ["default"]

[http]
address = "127.0.0.1:0"
"""


class Typing:
    """Types what a section of a page says, in its order."""

    def __init__(self, stack: Stack, section: Section) -> None:
        self._stack = stack
        self._left = section.commands
        self._title = section.title

    async def next(self, **values: str) -> Said:
        """Run the section's next command, with what it leaves to be filled in."""
        return await self._stack.command(*self._next(values))

    @contextlib.asynccontextmanager
    async def relay(self, **values: str) -> AsyncIterator[Process]:
        """Run the relay that the section's next command starts."""
        command, *arguments = self._next(values)
        assert command == "run"
        async with self._stack.relay(*arguments) as process:
            yield process

    def is_at_its_end(self) -> bool:
        """Tell whether everything has been typed."""
        return not self._left

    def _next(self, values: dict[str, str]) -> Sequence[str]:
        assert self._left, f"{self._title}: the page says nothing more to type"
        return filled_in(self._left.pop(0), values)
