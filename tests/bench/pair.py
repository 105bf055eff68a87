"""Room `tests/bench`, part f: two processes beside one, started by hand or by `run --processes 2`.

Each way has the machine to itself, with topics of its own: a member that only
waits asks the broker for events fifty times a second. They take turns at going
first. CPU is that of all of a way's processes, a supervisor's included.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import statistics
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager

from tests.bench import processes
from tests.bench.board import Board
from tests.bench.cost import Bench, Numbers, Round, at_work
from tests.bench.report import Found
from tests.bench.run import Run
from tests.support import eventually

_WARM_UP = 2_000
_SHARED_SECONDS = 170.0
"""noida-db may take a minute and more to give two members that join at once their partitions, or never
do (tests/unlike_kafka.py): then the part has to be run again."""

Start = Callable[[Run, str, Board, Numbers], AbstractAsyncContextManager[Bench]]


@contextlib.asynccontextmanager
async def _two_runs(
    run: Run, temporal: str, board: Board, numbers: Numbers
) -> AsyncIterator[Bench]:
    async with (
        at_work(run, temporal, board, numbers) as one,
        processes.relay(
            run.folder,
            kafka=run.broker.address,
            temporal=temporal,
            topics=one.topics,
            empty_fetch_pause_ms=run.broker.empty_fetch_pause_ms,
        ) as other,
    ):
        both = dataclasses.replace(one, process=one.process.and_also(other))
        await _shared_out(both)
        await both.backlog(_WARM_UP)
        yield both


@contextlib.asynccontextmanager
async def _one_run_of_two(
    run: Run, temporal: str, board: Board, numbers: Numbers
) -> AsyncIterator[Bench]:
    async with at_work(run, temporal, board, numbers, processes=2) as bench:
        await _shared_out(bench)
        await bench.backlog(_WARM_UP)
        yield bench


async def _shared_out(bench: Bench) -> None:
    """Return once each of the two has partitions: else one is measured and the other waits."""

    async def shared() -> bool:
        states = await bench.process.states()
        return len(states) == 2 and all(state.partitions for state in states)

    await eventually(shared, timeout=_SHARED_SECONDS, what="partitions for both processes")


_ONE = "one process"
_WAYS: dict[str, Start] = {
    _ONE: at_work,
    "two of `run`": _two_runs,
    "`run --processes 2`": _one_run_of_two,
}


async def measure(run: Run) -> Found:
    """Run part f."""
    events, rounds = (2_000, 1) if run.quick else (run.events, run.rounds)
    took: dict[str, list[Round]] = {name: [] for name in _WAYS}
    tokens = rounds * len(_WAYS) * (events + 2 * _WARM_UP)
    async with processes.frontend(run.folder, tokens) as (temporal, board, _):
        numbers = Numbers(board)
        for number in range(rounds):
            first = number % len(_WAYS)
            names = list(_WAYS)
            for name in names[first:] + names[:first]:
                run.say(f"f: round {number + 1} of {rounds}: {name}")
                async with _WAYS[name](run, temporal, board, numbers) as bench:
                    took[name].append(await bench.backlog(events))
    return _found(events, took)


def _found(events: int, took: Mapping[str, Sequence[Round]]) -> Found:
    speeds = {
        name: statistics.median(one.per_second for one in them) for name, them in took.items()
    }
    micros = {
        name: statistics.median(one.cpu_micros for one in them) for name, them in took.items()
    }
    found = Found(
        title=f"f. Two processes beside one: {events:,} events a round, "
        f"median of {len(took[_ONE])}",
        headings=("", "events a second", "times one", "µs an event", "times one"),
        rows=[
            (
                *(name, f"{speeds[name]:,.0f}", f"{speeds[name] / speeds[_ONE]:.2f}"),
                *(f"{micros[name]:.1f}", f"{micros[name] / micros[_ONE]:.2f}"),
            )
            for name in took
        ],
        figures={
            name: {
                "per_second": speeds[name],
                "cpu_micros": micros[name],
                "rounds": [dataclasses.asdict(one) for one in them],
            }
            for name, them in took.items()
        },
    )
    found.notes.append(
        f"Reported, without a target: the relays, the null frontend and the broker share "
        f"{os.cpu_count()} cores. CPU is that of all of a row's processes together."
    )
    return found
