"""`make bench`: the relay beside direct completion, as ratios, in one run.

python -m tests.bench [--only a,b,...] [--quick] [--kafka embedded|apache|HOST:PORT]
                      [--json FILE] [--plots FOLDER] [--events N] [--rounds N] [--strict]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from aiokafka.errors import KafkaError
from rich.console import Console
from rich.text import Text
from temporalio.service import RPCError
from tests.bench import cost, databases, kafka, latency, memory, pair, reading, real
from tests.bench.errors import BenchError
from tests.bench.report import Found, machine, other_work
from tests.bench.run import Run

from completion_relay.embedded import EmbeddedError

_WIDTH = 110
"""Columns of a report that goes to a file."""

PARTS: dict[str, tuple[str, Callable[[Run], Awaitable[Found]]]] = {
    "a": ("CPU of an event, beside a bare loop of calls", cost.measure),
    "b": ("throughput on a development server, beside direct completion", real.measure),
    "c": ("time until applied at 200 events a second", latency.measure_latency),
    "d": ("one key in a hundred fails: are the others held up", latency.measure_isolation),
    "e": ("memory with a backlog of a million events", memory.measure),
    "f": ("two processes beside one", pair.measure),
    "g": ("reading the audit trail, beside a bare aiokafka read", reading.measure),
    "h": ("the audit trail in DuckDB beside SQLite, ten million records", databases.measure),
}


async def bench(given: argparse.Namespace, console: Console, out: dict[str, Any]) -> bool:
    """Run the parts that were asked for; return whether every target was met."""
    met = True
    given.plots.mkdir(parents=True, exist_ok=True)
    with console.status("starting") as status:
        say = status.update if console.is_terminal else _note
        for part in given.only:
            found = await _measured(PARTS[part][1], given, say)
            found.print_to(console)
            out["parts"][part] = found.to_json()
            met = met and all(target.met for target in found.targets)
    return met


async def _measured(
    part: Callable[[Run], Awaitable[Found]],
    given: argparse.Namespace,
    say: Callable[[str], None],
) -> Found:
    # With a broker of its own, unless one is given: with some 100,000 records of part a the embedded
    # one works for itself for minutes, on a whole core, which the next part is to have (part b: 0.80
    # times direct instead of 1.00).
    with tempfile.TemporaryDirectory(prefix="completion-relay-bench-") as folder:
        async with kafka.broker(given.kafka, Path(folder)) as broker:
            run = Run(
                broker=broker,
                folder=Path(folder),
                plots=given.plots,
                quick=given.quick,
                events=given.events,
                rounds=given.rounds,
                say=say,
            )
            return await part(run)


def _note(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def _parts(text: str) -> Sequence[str]:
    parts = text.split(",")
    unknown = sorted(set(parts) - set(PARTS))
    if unknown:
        raise argparse.ArgumentTypeError(
            f"no part {', '.join(unknown)}: choose of {', '.join(PARTS)}"
        )
    return parts


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="make bench",
        description=(__doc__ or "").splitlines()[0],
        epilog="parts: " + "; ".join(f"{name}: {what}" for name, (what, _) in PARTS.items()),
    )
    parser.add_argument("--only", type=_parts, default=list(PARTS), metavar="a,b,…")
    parser.add_argument(
        "--quick", action="store_true", help="try the harness: the figures mean nothing"
    )
    parser.add_argument("--kafka", default="embedded", metavar="embedded|apache|HOST:PORT")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    parser.add_argument("--plots", type=Path, default=Path(".cache/bench"), metavar="FOLDER")
    parser.add_argument("--events", type=int, default=20_000, help="of a round of part a")
    parser.add_argument("--rounds", type=int, default=3, help="of part a")
    parser.add_argument("--strict", action="store_true", help="exit 1 when a target is missed")
    return parser.parse_args()


def main() -> int:
    """Run the bench; 0: measured, 1: could not be, or `--strict` and a target was missed."""
    given = _arguments()
    console = Console()
    if not console.is_terminal:
        console = Console(width=_WIDTH)
    out: dict[str, Any] = {"quick": given.quick, "kafka": given.kafka, "machine": machine()}
    out["parts"] = {}
    out["warning"] = other_work()
    if out["warning"]:
        console.print(Text(out["warning"], style="bold yellow"))
    try:
        met = asyncio.run(bench(given, console, out))
    except (BenchError, EmbeddedError, KafkaError, RPCError, OSError, AssertionError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    finally:
        if given.json:
            given.json.write_text(json.dumps(out, indent=2) + "\n", "utf-8")
    return 0 if met or not given.strict else 1


if __name__ == "__main__":
    sys.exit(main())
