"""Room `tests/bench`: where the relay's microseconds go, by `py-spy` while it works off a backlog.

    python -m tests.bench.profile [--events N] [--in-flight N] [--log-level LEVEL] [--out FILE]

Prints the functions with the most time of their own and, by file, the time spent
in it and below; FILE has the stacks, one a line with its count, as flame graph
programs take them. py-spy sees Python; what the SDK's native threads use is told
beside it. Touches processes.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import shutil
import signal
import sys
import tempfile
from collections import Counter
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table
from tests.bench import kafka, processes
from tests.bench.cost import Bench, Numbers, Round, at_work
from tests.bench.errors import BenchError
from tests.bench.run import Run

_RATE = 100
"""Samples a second. py-spy stops the process for each."""
_LOOP = "asyncio/runners.py: Runner.run"
"""The last frame before the event loop, which is native."""
_FRAME = re.compile(r"(?P<function>.+?) \((?P<file>.+?)(:\d+)?\)$")


async def profiled(bench: Bench, pid: int, events: int, out: Path) -> Round:
    """Work off a backlog under py-spy."""
    beside_python = Path(sys.executable).parent / "py-spy"
    spy = str(beside_python) if beside_python.is_file() else shutil.which("py-spy")
    if spy is None:
        raise BenchError("py-spy is not installed: pip install py-spy")
    process = await asyncio.create_subprocess_exec(
        *(spy, "record", "--pid", str(pid), "--rate", str(_RATE)),
        *("--format", "raw", "--output", str(out)),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        return await bench.backlog(events)
    finally:
        process.send_signal(signal.SIGINT)
        await process.wait()


def show(out: Path, took: Round, threads: tuple[float, float], console: Console) -> None:
    """Print what the stacks say."""
    own: Counter[str] = Counter()
    below: Counter[str] = Counter()
    for line in out.read_text("utf-8").splitlines():
        stack, _, count = line.rpartition(" ")
        frames = [_named(frame) for frame in stack.split(";")]
        if _LOOP not in frames:
            continue  # one of the SDK's native threads that holds the interpreter for a moment
        frames = frames[frames.index(_LOOP) :]  # above it is how the process was started
        own[frames[-1]] += int(count)
        below.update(dict.fromkeys(frames, int(count)))
    total = sum(own.values()) or 1
    python = threads[0] / took.events * 1e6
    for title, counts, top in (("own time", own, 40), ("with what it calls", below, 70)):
        table = Table(title=f"{title}, of {total} samples", title_justify="left")
        table.add_column("function")
        table.add_column("share", justify="right")
        table.add_column("µs an event", justify="right")
        for name, samples in counts.most_common(top):
            table.add_row(name, f"{samples / total:.1%}", f"{samples / total * python:.1f}")
        console.print(table)
    console.print(
        f"{took.events} events, {took.per_second:,.0f} a second; CPU of an event: "
        f"{took.cpu_micros:.1f} µs, of which main thread {python:.1f}, "
        f"other threads (the SDK's native ones) {threads[1] / took.events * 1e6:.1f}"
    )


def _named(frame: str) -> str:
    found = _FRAME.match(frame)
    if not found:
        return frame
    file = Path(found["file"])
    return f"{'/'.join(file.parts[-2:])}: {found['function']}"


def _thread_seconds(pid: int) -> tuple[float, float]:
    threads = psutil.Process(pid).threads()
    main = sum(thread.user_time + thread.system_time for thread in threads if thread.id == pid)
    return main, sum(thread.user_time + thread.system_time for thread in threads) - main


async def profile(given: argparse.Namespace, console: Console) -> None:
    """Run a relay for a null frontend and profile a backlog."""
    with tempfile.TemporaryDirectory(prefix="completion-relay-bench-") as name:
        folder = Path(name)
        async with (
            kafka.broker(given.kafka, folder) as broker,
            processes.frontend(folder, 2 * given.events + 10_000) as (temporal, board, _),
        ):
            run = Run(broker, folder, folder, False, given.events, 1, console.print)
            async with at_work(
                run,
                temporal,
                board,
                Numbers(board),
                in_flight=given.in_flight,
                log_level=given.log_level,
            ) as bench:
                (pid,) = bench.process.pids()
                before = _thread_seconds(pid)
                took = await profiled(bench, pid, given.events, given.out)
                after = _thread_seconds(pid)
    show(given.out, took, (after[0] - before[0], after[1] - before[1]), console)


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--in-flight", type=int, default=64)
    parser.add_argument("--log-level", default="INFO")
    parser.add_argument("--kafka", default="embedded", metavar="embedded|apache|HOST:PORT")
    parser.add_argument("--out", type=Path, default=Path(".cache/bench/relay.stacks"))
    given = parser.parse_args()
    given.out.parent.mkdir(parents=True, exist_ok=True)
    try:
        asyncio.run(profile(given, Console()))
    except BenchError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(1)


if __name__ == "__main__":
    main()
