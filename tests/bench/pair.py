"""Room `tests/bench`, part f: two relays of one group beside one."""

from __future__ import annotations

import os
import statistics
from dataclasses import asdict

from tests.bench import processes
from tests.bench.cost import Numbers, Round, at_work
from tests.bench.report import Found
from tests.bench.run import Run


async def measure(run: Run) -> Found:
    """Run part f."""
    events, rounds = (2_000, 1) if run.quick else (run.events, run.rounds)
    took: dict[str, list[Round]] = {"one process": [], "two processes": []}
    warm = 2_000
    async with (
        processes.frontend(run.folder, rounds * (2 * events + warm) + 2_000) as (
            temporal,
            board,
            _,
        ),
        at_work(run, temporal, board, Numbers(board)) as bench,
    ):
        for number in range(rounds):
            run.say(f"f: round {number + 1} of {rounds}: one process")
            took["one process"].append(await bench.backlog(events))
            async with processes.relay(
                run.folder,
                kafka=run.broker.address,
                temporal=temporal,
                topics=bench.topics,
                empty_fetch_pause_ms=run.broker.empty_fetch_pause_ms,
            ):
                await bench.backlog(warm)
                run.say(f"f: round {number + 1} of {rounds}: two processes")
                took["two processes"].append(await bench.backlog(events))
    speeds = {
        name: statistics.median(one.per_second for one in them) for name, them in took.items()
    }
    found = Found(
        title=f"f. Two relays of one group beside one: {events:,} events a round, median of {rounds}",
        headings=("", "events a second", "times one"),
        rows=[
            (name, f"{speed:,.0f}", f"{speed / speeds['one process']:.2f}")
            for name, speed in speeds.items()
        ],
        figures={
            name: {"per_second": speeds[name], "rounds": [asdict(one) for one in them]}
            for name, them in took.items()
        },
    )
    found.notes.append(
        f"Reported, without a target: the relays, the null frontend and the broker share "
        f"{os.cpu_count()} cores."
    )
    return found
