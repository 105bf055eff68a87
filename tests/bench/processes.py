"""Room `tests/bench`: the processes that are measured, and what the system says of them.

Touches processes (all of them under the guard of `completion_relay.embedded`, so
that none outlives the bench), their CPU time and resident memory.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import re
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import psutil
from tests.bench.board import Board
from tests.bench.errors import BenchError
from tests.support import Topics

from completion_relay.embedded.process import HOST, ServerProcess, connectable, free_port
from completion_relay.status_page import PageError, ReplicaState, read_page

_READY_SECONDS = 60.0
_JOINED_SECONDS = 170.0
"""noida-db 0.2.3 may leave two members that join at once without partitions until the rebalance's
time-out, a minute and more, is over."""
_AS_INSTALLED = (
    "import runpy, sys; sys.modules['grpc'] = None; "
    "runpy.run_module('completion_relay', run_name='__main__', alter_sys=True)"
)
"""`-m completion_relay` without grpcio, which is a tool of development and not in requirements.lock: the
SDK imports it where it is there, which takes 10 MB (measured) that no relay in production has."""
_PAGE_TIMEOUT = aiohttp.ClientTimeout(total=10.0)
_numbers = itertools.count(1)


class Measured:
    """A process under guard, or several: CPU time and memory, children included."""

    def __init__(self, *servers: ServerProcess, pages: Sequence[str] = ()) -> None:
        """Measure nothing yet.

        Args:
            servers: The process; several are measured as one.
            pages: HOST:PORT of their pages, where they are relays.
        """
        self._servers = servers
        self._pages = pages

    def and_also(self, other: Measured) -> Measured:
        """Return both as one."""
        return Measured(*self._servers, *other._servers, pages=[*self._pages, *other._pages])

    def _processes(self) -> list[psutil.Process]:
        found: list[psutil.Process] = []
        for server in self._servers:
            if server.pid is None:
                raise BenchError(f"{server.name} ended: see {server.log}")
            found += psutil.Process(server.pid).children(recursive=True)
        return found

    def pids(self) -> list[int]:
        """Return the processes' ids."""
        return [process.pid for process in self._processes()]

    def cpu_seconds(self) -> float:
        """Return user and system time so far, seconds."""
        times = [process.cpu_times() for process in self._processes()]
        return sum(time.user + time.system for time in times)

    def resident_bytes(self) -> int:
        """Return the resident memory now, bytes."""
        return sum(process.memory_info().rss for process in self._processes())

    def peak_resident_bytes(self) -> int | None:
        """Return the most resident memory so far, bytes, as the kernel keeps it; None: it keeps none.

        Of several processes the sum of each one's most, which need not have been at one time.
        """
        peaks = [peak_resident_bytes(pid) for pid in self.pids()]
        return None if None in peaks else sum(peak or 0 for peak in peaks)

    async def states(self) -> list[ReplicaState]:
        """Return how the relay's processes find themselves (/status); none of what is no relay.

        Raises:
            BenchError: one does not answer.
        """
        found: list[ReplicaState] = []
        for page in self._pages:
            try:
                async with (
                    aiohttp.ClientSession(timeout=_PAGE_TIMEOUT) as session,
                    session.get(f"http://{page}/status") as response,
                ):
                    found += read_page(await response.read())
            except (aiohttp.ClientError, TimeoutError, PageError) as error:
                logs = ", ".join(str(server.log) for server in self._servers)
                raise BenchError(f"http://{page}/status: {error!r}: see {logs}") from None
        return found


def peak_resident_bytes(pid: int) -> int | None:
    """Return the most memory that a process has had resident, bytes; None where no /proc tells."""
    try:
        status = Path(f"/proc/{pid}/status").read_text("utf-8")
    except FileNotFoundError:
        return None
    found = re.search(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)
    return int(found[1]) * 1024 if found else None


@contextlib.asynccontextmanager
async def frontend(folder: Path, tokens: int) -> AsyncIterator[tuple[str, Board, Measured]]:
    """Run a null frontend; yield its address, its board and the process."""
    number = next(_numbers)
    port = free_port()
    path = folder / f"board-{number}"
    server = ServerProcess("null frontend", folder / f"frontend-{number}.log")
    with Board(path, tokens) as board:
        await server.start(
            [
                *(sys.executable, "-m", "tests.bench.frontend"),
                *("--port", str(port), "--board", path, "--tokens", str(tokens)),
            ]
        )
        try:
            await server.ready(lambda: connectable(port), within=_READY_SECONDS)
            yield f"{HOST}:{port}", board, Measured(server)
        finally:
            await server.stop()
    path.unlink()


@contextlib.asynccontextmanager
async def relay(
    folder: Path,
    *,
    kafka: str,
    temporal: str,
    topics: Topics,
    empty_fetch_pause_ms: int,
    log_level: str | None = None,
    in_flight: int | None = None,
    processes: int = 1,
) -> AsyncIterator[Measured]:
    """Run `completion-relay run` with its defaults but for what is given; yield it once ready.

    Its log goes to a file, as a container's does. Of several processes, the children import grpcio
    where it is there: their memory is not that of production.
    """
    number = next(_numbers)
    settings: dict[str, dict[str, object]] = {
        "kafka": {
            "bootstrap_servers": kafka,
            "group_id": f"{topics.completions}.group",
            "empty_fetch_pause_ms": empty_fetch_pause_ms,
        },
        "topics": {
            name: getattr(topics, name)
            for name in ("completions", "audit", "dead_letter", "parked", "signals")
        },
        "temporal": {"address": temporal, "namespaces": ["default"]},
        "relay": {} if in_flight is None else {"max_in_flight": in_flight},
        "log": {} if log_level is None else {"level": log_level},
    }
    config = folder / f"relay-{number}.toml"
    # JSON's strings, numbers and arrays are TOML's too.
    config.write_text(
        "".join(
            f"[{section}]\n"
            + "".join(f"{name} = {json.dumps(value)}\n" for name, value in of.items())
            for section, of in settings.items()
        ),
        "utf-8",
    )
    port = free_port()
    server = ServerProcess("relay", folder / f"relay-{number}.log")

    async def ready() -> None:
        await connectable(port)
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://{HOST}:{port}/readyz") as response,
        ):
            if response.status != 200:
                raise BenchError(await response.text())

    await server.start(
        [
            *(sys.executable, "-c", _AS_INSTALLED, "run"),
            *("--config", config, "--http", f"{HOST}:{port}", "--processes", str(processes)),
        ]
    )
    try:
        await server.ready(ready, within=_JOINED_SECONDS)
        yield Measured(server, pages=[f"{HOST}:{port}"])
    finally:
        await server.stop()


@contextlib.asynccontextmanager
async def floor(
    folder: Path,
    *,
    kafka: str,
    temporal: str,
    topics: Topics,
    empty_fetch_pause_ms: int,
    in_flight: int,
) -> AsyncIterator[Measured]:
    """Run the libraries alone (`tests.bench.floor`); yield it at once: it is ready when it works."""
    server = ServerProcess("the libraries alone", folder / f"floor-{next(_numbers)}.log")
    await server.start(
        [
            *(sys.executable, "-m", "tests.bench.floor"),
            *("--kafka", kafka, "--temporal", temporal, "--in-flight", str(in_flight)),
            *("--topic", topics.completions, "--audit-topic", topics.audit),
            *("--group", f"{topics.completions}.group"),
            *("--empty-fetch-pause-ms", str(empty_fetch_pause_ms)),
        ]
    )
    try:
        yield Measured(server)
    finally:
        await server.stop()


async def direct(temporal: str, **options: object) -> dict[str, Any]:
    """Run the baseline (`tests.bench.direct`) and return what it prints."""
    arguments = [
        part
        for name, value in options.items()
        for part in (f"--{name.replace('_', '-')}", str(value))
    ]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.bench.direct", "--temporal", temporal, *arguments),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        out, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise BenchError(f"tests.bench.direct ended with exit code {process.returncode}")
    found: dict[str, Any] = json.loads(out)
    return found
