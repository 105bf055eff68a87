"""Room `demo`: the processes on the stage: two relays in one group, and the samples' worker.

Each runs under a guard of `embedded`, so that none outlives the demo. Touches
processes and their HTTP pages.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import aiohttp

from completion_relay.demo.script import SLOTS
from completion_relay.embedded import EMPTY_FETCH_PAUSE_MS, EmbeddedStack, ServerFailedError
from completion_relay.embedded.process import HOST, ServerProcess, connectable, free_port
from completion_relay.first_of import end_all
from completion_relay.load import PREFIX, load_settings
from completion_relay.settings import Settings

RELAYS: Final = ("relay-1", "relay-2")

_READY_SECONDS = 45.0

# `-P`: a folder named like one of our modules where the demo is started must not be imported.
_PYTHON: Final = (sys.executable, "-P", "-m")


class Overrides:
    """The settings that the scene needs, above those of a file and the environment."""

    def __init__(self, stack: EmbeddedStack) -> None:
        """Take the servers' addresses."""
        self.sections: dict[str, dict[str, Any]] = {
            "kafka": {
                "bootstrap_servers": stack.kafka,
                "security_protocol": "PLAINTEXT",
                # The least that brokers take by default (group.min.session.timeout.ms): a
                # killed relay is replaced as soon as can be.
                "session_timeout_ms": 6_000,
                "rebalance_timeout_ms": 10_000,
                "empty_fetch_pause_ms": EMPTY_FETCH_PAUSE_MS,
            },
            "temporal": {
                "address": stack.temporal,
                "namespaces": ("default",),
                # The user's own profile may ask for TLS or another place.
                "config_file": "/dev/null",
            },
            "relay": {"drain_timeout": 4.0, "commit_interval": 0.5},
        }

    def settings(self, config: Path | None) -> Settings:
        """Return all settings as one relay has them.

        Raises:
            ConfigurationError: one of the file's or the environment's is wrong.
        """
        return load_settings(config, self.sections)

    def variables(self, **more: Mapping[str, Any]) -> list[str]:
        """Return them as `NAME=VALUE` for env(1)."""
        return [
            f"{PREFIX}{section.upper()}__{name.upper()}={_text(value)}"
            for section, values in [*self.sections.items(), *more.items()]
            for name, value in values.items()
        ]


class Member:
    """A process that should not end by itself."""

    def __init__(self, name: str, logs: Path) -> None:
        """Start nothing yet."""
        self.name = name
        self.http = f"{HOST}:{free_port()}"
        self.is_alive = False
        self._process = ServerProcess(name, logs / f"{name}.log")

    async def start(self, command: Sequence[str], page: str) -> None:
        """Start it and return once it serves `page` with 200.

        Raises:
            ServerFailedError: it did not come so far.
        """
        await self._process.start(command)
        await self._process.ready(lambda: self._serves(page), within=_READY_SECONDS)
        self.is_alive = True

    async def kill(self) -> None:
        """End it at once (SIGKILL) and wait until it is gone."""
        self.is_alive = False
        await self._process.kill()

    async def stop(self) -> None:
        """End it as an operator would (SIGTERM) and wait until it is gone."""
        self.is_alive = False
        await self._process.stop()

    async def ended(self) -> None:
        """Wait until it ends without having been asked to, which it should not.

        Raises:
            ServerFailedError: it did.
        """
        try:
            await self._process.ended()
        except ServerFailedError:
            if self.is_alive:
                raise
        await asyncio.Event().wait()

    async def _serves(self, page: str) -> None:
        await connectable(int(self.http.rpartition(":")[2]))
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://{self.http}{page}") as answer,
        ):
            answer.raise_for_status()


class Company:
    """All of them."""

    def __init__(self, logs: Path) -> None:
        """Start nothing yet; `on_stage` does."""
        self.worker = Member("worker", logs)
        self.relays = {name: Member(name, logs) for name in RELAYS}

    @property
    def members(self) -> tuple[Member, ...]:
        """Worker and relays."""
        return (self.worker, *self.relays.values())

    @contextlib.asynccontextmanager
    async def on_stage(
        self, overrides: Overrides, settings: Settings, config: Path | None
    ) -> AsyncIterator[None]:
        """Have them all ready for the length of the context.

        Raises:
            ServerFailedError: one of them did not come up.
        """
        try:
            await together(self._start_worker(settings), self._start_relays(overrides, config))
            yield
        finally:
            await asyncio.gather(*(member.stop() for member in self.members))

    async def _start_worker(self, settings: Settings) -> None:
        await self.worker.start(
            (
                *(*_PYTHON, "completion_workflow.samples"),
                *("--temporal", str(settings.temporal.address)),
                *("--kafka", settings.kafka.bootstrap_servers),
                *("--topic", settings.topics.completions),
                *("--caller-slots", str(SLOTS)),
                *("--metrics", self.worker.http),
            ),
            "/metrics",
        )

    async def _start_relays(self, overrides: Overrides, config: Path | None) -> None:
        # One after the other: a member that joins while another one's join is being settled may
        # leave both without partitions for good (the embedded broker, noida-db 0.2.3; DESIGN.md).
        file = ("--config", str(config)) if config else ()
        for relay in self.relays.values():
            variables = overrides.variables(
                relay={"relay_id": relay.name}, kafka={"client_id": relay.name}
            )
            command = (*_PYTHON, "completion_relay", "run", *file, "--http", relay.http)
            await relay.start(("env", *variables, *command), "/readyz")


async def together(*work: Coroutine[Any, Any, None]) -> None:
    """Do all of it side by side; the first error ends the rest."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        await asyncio.gather(*tasks)
    finally:
        await end_all(tasks)


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
