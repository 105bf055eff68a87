"""Room `tests/chaos`: relays as processes that are killed, frozen and stopped. Touches processes.

Black box: the command line and `COMPLETION_RELAY_*`. Each runs under a guard, so
that none is left however the harness goes.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from completion_relay.embedded.process import HOST, ServerProcess, free_port

_READY_SECONDS = 60.0
GUARD_KILLED = 128 + signal.SIGKILL
"""The exit code of a relay that did not stop within the guard's time (10 s)."""
_UNHANDLED = 128 + signal.SIGTERM


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """How a relay reaches the servers."""

    kafka: str
    temporal: str


class RelayProcess(ServerProcess):
    """One `completion-relay run`.

    Args:
        name: The `relay_id` in its audit records; no two processes of a run share one.
        line: Its way to the servers.
        group: Kafka's consumer group.
        folder: For its log.
        settings: Environment variables.
        python_path: Where its code is; None: where that of this process is.
    """

    def __init__(
        self,
        name: str,
        line: Line,
        *,
        group: str,
        folder: Path,
        settings: Mapping[str, str],
        python_path: str | None = None,
    ) -> None:
        super().__init__(name, folder / f"{name}.log")
        self.http = f"{HOST}:{free_port()}"
        environment = {**settings, "COMPLETION_RELAY_RELAY__RELAY_ID": name}
        if python_path is not None:
            environment["PYTHONPATH"] = python_path
        self._command = [
            *("env", *(f"{key}={value}" for key, value in environment.items())),
            *(sys.executable, "-m", "completion_relay", "run"),
            *("--kafka", line.kafka, "--temporal", line.temporal, "--namespace", "default"),
            *("--group", group, "--http", self.http),
        ]
        self.is_frozen = False

    @property
    def is_running(self) -> bool:
        """Whether the process is there, frozen or not."""
        return self.pid is not None

    async def launch(self) -> None:
        """Start it; returns at once."""
        await self.start(self._command)

    async def serving(self) -> None:
        """Return when `/readyz` says so.

        Raises:
            ServerFailedError: it ended or took too long.
        """

        async def probe() -> None:
            async with aiohttp.ClientSession(raise_for_status=True) as session:
                await session.get(f"http://{self.http}/readyz")

        await self.ready(probe, within=_READY_SECONDS)

    async def metrics(self) -> str:
        """Return the text of `/metrics`, empty when it does not answer now."""
        return await self._page("metrics")

    async def readiness(self) -> str:
        """Return the text of `/readyz`, empty when it does not answer now."""
        return await self._page("readyz")

    async def _page(self, name: str) -> str:
        limit = aiohttp.ClientTimeout(total=1.0)
        with contextlib.suppress(aiohttp.ClientError, TimeoutError):
            async with (
                aiohttp.ClientSession(timeout=limit) as session,
                session.get(f"http://{self.http}/{name}") as response,
            ):
                return await response.text()
        return ""

    def freeze(self) -> None:
        """Stop it where it stands (SIGSTOP)."""
        self.is_frozen = True
        self._signal(signal.SIGSTOP)
        if self.pid is not None:
            os.kill(self.pid, signal.SIGCONT)  # the guard must stay awake to be one

    def wake(self) -> None:
        """Let it go on (SIGCONT)."""
        self.is_frozen = False
        self._signal(signal.SIGCONT)

    async def terminate(self) -> int:
        """Ask it to drain and stop (SIGTERM); return its exit code."""
        guard = self._guard
        await self.stop()
        return -1 if guard is None or guard.returncode is None else guard.returncode

    def _signal(self, number: signal.Signals) -> None:
        if self.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, number)


class Relays:
    """The relays of a run, by number; each process that ever ran has a name of its own.

    Args:
        lines: Relay n is on line n modulo their count.
        group: Kafka's consumer group.
        folder: For the logs.
        settings: Environment variables of all of them.
    """

    def __init__(
        self, lines: list[Line], *, group: str, folder: Path, settings: Mapping[str, str]
    ) -> None:
        self._lines = lines
        self._group = group
        self._folder = folder
        self._settings = settings
        self._started = 0
        self.running: dict[int, RelayProcess] = {}
        self.exit_codes: list[int] = []
        """Of those that were asked to stop."""
        self.ended_by_themselves: list[str] = []

    async def add(self, number: int) -> RelayProcess:
        """Start relay `number`; returns before it serves."""
        self._started += 1
        relay = RelayProcess(
            f"relay-{number}.{self._started}",
            self._lines[number % len(self._lines)],
            group=self._group,
            folder=self._folder,
            settings=self._settings,
        )
        self.running[number] = relay
        await relay.launch()
        return relay

    async def remove(self, number: int) -> None:
        """Stop relay `number` with SIGTERM."""
        relay = self.running.pop(number)
        self._look(relay)
        code = await relay.terminate()
        # Still importing: it could not handle the signal yet, and had begun nothing.
        has_begun = bool(relay.last_lines()) or code != _UNHANDLED
        self.exit_codes.append(code if has_begun else 0)

    async def kill(self, number: int) -> None:
        """End relay `number` with SIGKILL."""
        relay = self.running.pop(number)
        self._look(relay)
        await relay.kill()

    def look(self) -> None:
        """Note those that ended though nobody ended them."""
        for relay in self.running.values():
            self._look(relay)

    def _look(self, relay: RelayProcess) -> None:
        if not relay.is_running and relay.name not in self.ended_by_themselves:
            self.ended_by_themselves.append(relay.name)

    async def close(self) -> None:
        """End all of them."""
        await asyncio.gather(*(relay.kill() for relay in self.running.values()))
        self.running.clear()
