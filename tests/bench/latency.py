"""Room `tests/bench`, parts c and d: how long an event takes, and whether others hold it up.

From the moment it is given to a Kafka producer (`acks=all`, no linger), or the
call is begun, to the moment the null frontend has it: one clock, and a frontend
that adds nothing of its own. The development server would add a wait of its own
that is longer than the relay's whole way, and at 200 a second it is more than
half full.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

from aiokafka import AIOKafkaProducer
from tests.bench import plots, processes
from tests.bench.board import Board
from tests.bench.cost import Bench, Numbers, at_work
from tests.bench.errors import BenchError
from tests.bench.events import completed, reference
from tests.bench.pace import paced
from tests.bench.report import Found, Target, percentile
from tests.bench.run import Run
from tests.support import eventually

_PER_SECOND = 200
_FAIL_EVERY = 100
_FAIL_SECONDS = 10.0
_RECOVER_SECONDS = 90.0
"""The relay waits 30 s at most between two tries."""
OTHERS_TARGET = 1.2
_QUIET = "quiet"
_FAILING = "one key in a hundred fails"


@dataclass(frozen=True, slots=True)
class Latencies:
    """Milliseconds of single events."""

    milliseconds: Sequence[float]

    def __getitem__(self, percent: int) -> float:
        return percentile(self.milliseconds, percent)

    def to_json(self) -> dict[str, float]:
        return (
            {"events": len(self.milliseconds)}
            | {f"p{percent}_ms": self[percent] for percent in (50, 90, 99)}
            | {"max_ms": max(self.milliseconds)}
        )


async def measure_latency(run: Run) -> Found:
    """Run part c."""
    seconds, rounds = (1, 1) if run.quick else (15, 3)
    count = _PER_SECOND * seconds
    ways: dict[str, list[float]] = {"direct": [], "relay": []}
    # The baseline uses up activities to warm up, and so does the relay.
    tokens = (rounds + 1) * (2 * count + 4_000)
    async with processes.frontend(run.folder, tokens) as (temporal, board, _):
        numbers = Numbers(board)
        async with at_work(run, temporal, board, numbers) as bench:
            for number in range(rounds):
                run.say(f"c: round {number + 1} of {rounds}: direct, {_PER_SECOND} a second")
                ways["direct"] += await _direct(temporal, board, numbers, count)
                run.say(f"c: round {number + 1} of {rounds}: relay, {_PER_SECOND} a second")
                ways["relay"] += (await _relayed(bench, count, _PER_SECOND)).milliseconds
    latencies = {way: Latencies(values) for way, values in ways.items()}
    found = Found(
        title=f"c. Until applied, at {_PER_SECOND} events a second: {count * rounds:,} events each",
        headings=("ms", "p50", "p90", "p99", "longest"),
        rows=[
            (
                way,
                *(f"{one[percent]:.2f}" for percent in (50, 90, 99)),
                f"{max(one.milliseconds):.2f}",
            )
            for way, one in latencies.items()
        ],
        figures={way: one.to_json() for way, one in latencies.items()},
    )
    if run.broker.empty_fetch_pause_ms:
        found.notes.append(
            f"The relay waits up to {run.broker.empty_fetch_pause_ms} ms after an empty fetch, which "
            "the embedded broker answers at once (kafka.empty_fetch_pause_ms); Apache Kafka needs "
            "no such wait: --kafka apache."
        )
    found.plot = plots.distribution(
        run.plots / "c-latency.png",
        {way: one.milliseconds for way, one in latencies.items()},
        title=found.title,
    )
    return found


async def _direct(temporal: str, board: Board, numbers: Numbers, count: int) -> list[float]:
    warm = 1_000
    first = numbers.take(count + warm)
    loop = await processes.direct(
        temporal, first=first, events=count, warm_up=warm, rate=_PER_SECOND
    )
    return [
        (board.applied_at[first + warm + number] - begun) / 1e6
        for number, begun in enumerate(loop["begun"])
    ]


async def _relayed(
    bench: Bench, count: int, per_second: float, *, failing: bool = False
) -> Latencies:
    """Publish at an even rate and return the latencies; of those that do not fail, where some do."""
    first = bench.numbers.take(count)
    board = bench.board
    fails = range(first, first + count, _FAIL_EVERY) if failing else range(0)
    for number in fails:
        board.fails[number] = 1
    try:
        begun = await _publish(bench, first, count, per_second)
    finally:
        for number in fails:
            board.fails[number] = 0
    applied = board.applied_at[first : first + count]
    await eventually(lambda: all(applied), timeout=_RECOVER_SECONDS, what=f"{count} events applied")
    if any(applied[number - first] < begun[-1] for number in fails):
        raise BenchError("what should have failed was applied")
    return Latencies(
        [
            (at - begun[number]) / 1e6
            for number, at in enumerate(applied)
            if first + number not in fails
        ]
    )


async def _publish(bench: Bench, first: int, count: int, per_second: float) -> list[int]:
    records = [completed(reference(first + number)) for number in range(count)]
    begun = [0] * count
    async with AIOKafkaProducer(bootstrap_servers=bench.broker.address, acks="all") as producer:
        await producer.partitions_for(bench.topics.completions)

        async def publish(number: int) -> None:
            record = records[number]
            begun[number] = time.monotonic_ns()
            await producer.send_and_wait(
                bench.topics.completions,
                record.value,
                key=record.key,
                headers=list(record.headers),
            )

        await paced(count, per_second, publish)
    return begun


async def measure_isolation(run: Run) -> Found:
    """Run part d; each of the two goes first in every other round.

    Or what gets slower, or warmer, in the course of a run would be the other one's.
    """
    per_second, seconds, rounds = (200, 1.0, 1) if run.quick else (500, _FAIL_SECONDS, 4)
    count = int(per_second * seconds)
    rows: dict[str, list[Latencies]] = {_QUIET: [], _FAILING: []}
    tokens = 2 * rounds * count + 4_000
    async with (
        processes.frontend(run.folder, tokens) as (temporal, board, _),
        at_work(run, temporal, board, Numbers(board)) as bench,
    ):
        for number in range(rounds):
            turns = (_FAILING, _QUIET) if number % 2 else (_QUIET, _FAILING)
            for name in turns:
                run.say(f"d: round {number + 1} of {rounds}: {name}")
                rows[name].append(
                    await _relayed(bench, count, per_second, failing=name == _FAILING)
                )
    quiet, others = (
        {percent: statistics.median(one[percent] for one in them) for percent in (50, 99)}
        for them in rows.values()
    )
    found = Found(
        title=f"d. {per_second} events a second for {seconds:g} s, one key in a hundred answered "
        f"UNAVAILABLE: until the others are applied, median of {rounds}",
        headings=("ms", "p50", "p99"),
        rows=[
            (name, f"{one[50]:.2f}", f"{one[99]:.2f}")
            for name, one in zip(rows, (quiet, others), strict=True)
        ],
        targets=[
            Target(
                "p99 of the others, times that of a quiet run",
                others[99] / quiet[99],
                OTHERS_TARGET,
            )
        ],
        figures={name: [one.to_json() for one in them] for name, them in rows.items()},
    )
    found.notes.append("Every event that failed was applied within its retries afterwards.")
    found.plot = plots.distribution(
        run.plots / "d-others.png",
        {
            name: [value for one in them for value in one.milliseconds]
            for name, them in rows.items()
        },
        title="d. Time until applied of the events that do not fail",
    )
    return found
