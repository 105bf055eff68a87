"""Commands of this project as processes of their own, and whether they left anything running."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from completion_relay.embedded.lock import DataLock

_PROC = Path("/proc")

needs_proc = pytest.mark.skipif(
    not _PROC.is_dir(), reason="who is left running is read from /proc, which only Linux has"
)


@contextlib.asynccontextmanager
async def command(*arguments: str | Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """Start `python -m ...` in a session of its own, as a terminal would; kill it in the end."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("COMPLETION_RELAY_", "TEMPORAL_"))
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", *(str(argument) for argument in arguments)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
        env=environment,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def line_with(process: asyncio.subprocess.Process, text: str) -> str:
    """Return the first line of standard output that has `text` in it."""
    assert process.stdout is not None
    async with asyncio.timeout(60):
        async for line in process.stdout:
            if text in line.decode():
                return line.decode()
    raise AssertionError(f"it ended without saying {text!r}")


def running_with(text: str) -> list[str]:
    """Return the command lines of processes with `text` in their arguments or environment."""
    found = []
    for process in _PROC.glob("[0-9]*"):
        try:
            arguments = (process / "cmdline").read_bytes()
            if text.encode() in arguments + (process / "environ").read_bytes():
                found.append(arguments.replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue  # it has ended, or is somebody else's
    return found


async def servers_are_gone(data: Path) -> None:
    """Wait until both servers of a data folder have ended: their guards hold its lock."""
    lock = DataLock(data)
    await lock.acquire()
    lock.release()
