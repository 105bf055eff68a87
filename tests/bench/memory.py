"""Room `tests/bench`, part e: the relay's resident memory with a backlog of a million events.

Two phases: Temporal is away while the backlog waits (every call is answered
UNAVAILABLE), then the backlog is worked off. What one namespace costs that is sick
beside others that are well is not measured here: its events are begun and wait, as
many as the windows hold, at some 12 kB each (settings `relay.window`).
"""

from __future__ import annotations

import asyncio
import dataclasses
import shutil
import statistics
import time
from dataclasses import dataclass
from typing import Any

from tests.bench import kafka, plots, processes
from tests.bench.cost import Bench, Numbers, at_work
from tests.bench.errors import BenchError
from tests.bench.events import publish_fast
from tests.bench.report import Found, Target
from tests.bench.run import Run

_APACHE_NEEDS = ("java", "mvn")
_EVERY_SECONDS = 0.5
_RESUMED_SECONDS = 60.0
"""For the first events to be applied once the outage is over."""
_MB = 1e6
MEMORY_TARGET = 150.0
SPREAD_TARGET = 10.0


@dataclass(frozen=True, slots=True)
class Sample:
    """Memory at a moment."""

    seconds: float
    megabytes: float
    applied: int


async def measure(run: Run) -> Found:
    """Run part e."""
    # noida-db 0.2.3 answers a fetch with all that a partition has (11 MB where 1 MB was asked for,
    # measured): the consumer's memory is then the broker's choice.
    as_it_is = (
        run.broker.kind != "embedded" or run.quick or not all(map(shutil.which, _APACHE_NEEDS))
    )
    if as_it_is:
        return await _measure(run)
    run.say("e: starting Apache Kafka, which keeps to the fetch sizes asked for")
    async with kafka.broker("apache", run.folder) as broker:
        return await _measure(dataclasses.replace(run, broker=broker))


async def _measure(run: Run) -> Found:
    events, away, working = (20_000, 1.0, 3.0) if run.quick else (1_000_000, 20.0, 60.0)
    # Until queues are full and caches warm, which memory that is flat says nothing of.
    warm = events // 20
    async with (
        processes.frontend(run.folder, events + 4_000) as (temporal, board, _),
        at_work(run, temporal, board, Numbers(board)) as bench,
    ):
        before = bench.process.resident_bytes() / _MB
        board.all_fail = True
        await _publish(run, bench, events)
        begin = time.monotonic()
        run.say(f"e: {away:g} s of an outage, {events:,} events waiting")
        outage = await _sample(bench, begin, away)
        board.all_fail = False
        resumed = await _sample_until(bench, begin, board.applied + warm)
        run.say(f"e: {working:g} s of work on the backlog")
        work = await _sample(bench, begin, working)
    everything = (*outage, *resumed, *work)
    peak = max(one.megabytes for one in everything)
    left = events - (work[-1].applied - outage[0].applied)
    sizes = [one.megabytes for one in work]
    found = Found(
        title=f"e. Resident memory of the relay, {events:,} events waiting",
        headings=("", "MB"),
        rows=[
            ("idle, warmed up", f"{before:.0f}"),
            ("outage, median", f"{statistics.median(one.megabytes for one in outage):.0f}"),
            ("at work, median", f"{statistics.median(one.megabytes for one in work):.0f}"),
            ("most", f"{peak:.0f}"),
            ("slope at work, a minute", f"{_slope(work):+.2f}"),
        ],
        targets=[
            Target("most resident memory", peak, MEMORY_TARGET, unit=" MB"),
            Target(
                "flat: most less least while at work, of the median",
                100 * (max(sizes) - min(sizes)) / statistics.median(sizes),
                SPREAD_TARGET,
                unit=" %",
            ),
        ],
        figures=_figures(before, outage, resumed, work, left),
        notes=[f"{left:,} of the events were still waiting at the end; 1 MB is 1,000,000 bytes."],
    )
    found.notes.append(f"Kafka: {run.broker.kind}.")
    if run.broker.kind == "embedded":
        found.notes.append(
            "The embedded broker answers a fetch with all that a partition has, however little is "
            "asked for: these figures are the broker's. Install Java and Maven, or give --kafka."
        )
    found.plot = plots.over_time(
        run.plots / "e-memory.png",
        [one.seconds for one in everything],
        [one.megabytes for one in everything],
        title=f"{found.title}: {away:g} s of an outage, then at work",
        label="MB",
    )
    return found


async def _publish(run: Run, bench: Bench, events: int) -> None:
    out = 0

    def published(count: int) -> None:
        nonlocal out
        out += count
        if out % 50_000 < count:
            run.say(f"e: {out:,} of {events:,} events published")

    first = bench.numbers.take(events)
    await publish_fast(
        bench.broker.address, bench.topics.completions, first, events, published=published
    )


async def _sample(bench: Bench, begin: float, seconds: float) -> list[Sample]:
    samples: list[Sample] = []
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        samples.append(
            Sample(
                time.monotonic() - begin,
                bench.process.resident_bytes() / _MB,
                bench.board.applied,
            )
        )
        await asyncio.sleep(_EVERY_SECONDS)
    return samples


async def _sample_until(bench: Bench, begin: float, applied: int) -> list[Sample]:
    """Take samples until so many events are applied.

    Raises:
        BenchError: that took longer than any outage may be noticed late.
    """
    samples: list[Sample] = []
    until = time.monotonic() + _RESUMED_SECONDS
    while not samples or samples[-1].applied < applied:
        if time.monotonic() > until:
            raise BenchError(f"{bench.board.applied} events applied {_RESUMED_SECONDS:g} s later")
        samples += await _sample(bench, begin, _EVERY_SECONDS)
    return samples


def _slope(samples: list[Sample]) -> float:
    """Return megabytes a minute, by least squares."""
    line = statistics.linear_regression(
        [one.seconds / 60 for one in samples], [one.megabytes for one in samples]
    )
    return line.slope


def _figures(
    before: float, outage: list[Sample], resumed: list[Sample], work: list[Sample], left: int
) -> dict[str, Any]:
    return {
        "idle_mb": before,
        "waiting_at_the_end": left,
        "slope_mb_a_minute": _slope(work),
        "samples": {
            name: [[one.seconds, one.megabytes, one.applied] for one in samples]
            for name, samples in (("outage", outage), ("resumed", resumed), ("work", work))
        },
    }
