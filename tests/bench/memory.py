"""Room `tests/bench`, part e: the relay's resident memory with a backlog of a million events.

Two phases: Temporal is away while the backlog waits (every call is answered
UNAVAILABLE), then the backlog is worked off. What one namespace costs that is sick
beside others that are well is not measured here: its events are begun and wait, as
many as the windows hold, at some 12 kB each (settings `relay.window`).

The most is the kernel's own (VmHWM): samples miss what lies between two of them,
and none are taken while the backlog is published.
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
_WITHOUT_GRPC = (
    "The Python package grpc cannot be imported in this relay: it is not in the relay's own lock "
    "(requirements.lock) and comes with tools of development; the SDK would import it, for 10 MB."
)


@dataclass(frozen=True, slots=True)
class Sample:
    """Memory at a moment."""

    seconds: float
    megabytes: float
    applied: int


@dataclass(frozen=True, slots=True)
class Phases:
    """A relay's memory from its first events on, in megabytes."""

    before: float
    outage: list[Sample]
    resumed: list[Sample]
    work: list[Sample]
    peaks: list[float | None]
    """As the kernel keeps it from the process's start on: idle, with the backlog published, and at the
    end; None: it keeps none."""

    @property
    def samples(self) -> list[Sample]:
        """All of them."""
        return [*self.outage, *self.resumed, *self.work]

    @property
    def most_sampled(self) -> float:
        return max(one.megabytes for one in self.samples)

    @property
    def most(self) -> float:
        # The kernel's two counters may differ by some pages.
        return max(self.most_sampled, self.peaks[-1] or 0.0)


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
        peaks = [_peak(bench)]
        board.all_fail = True
        await _publish(run, bench, events)
        peaks.append(_peak(bench))
        begin = time.monotonic()
        run.say(f"e: {away:g} s of an outage, {events:,} events waiting")
        outage = await _sample(bench, begin, away)
        board.all_fail = False
        resumed = await _sample_until(bench, begin, board.applied + warm)
        run.say(f"e: {working:g} s of work on the backlog")
        work = await _sample(bench, begin, working)
        peaks.append(_peak(bench))
    seen = Phases(before, outage, resumed, work, peaks)
    found = _found(events, seen)
    found.notes.append(f"Kafka: {run.broker.kind}.")
    if run.broker.kind == "embedded":
        found.notes.append(
            "The embedded broker answers a fetch with all that a partition has, however little is "
            "asked for: these figures are the broker's. Install Java and Maven, or give --kafka."
        )
    found.plot = plots.over_time(
        run.plots / "e-memory.png",
        [one.seconds for one in seen.samples],
        [one.megabytes for one in seen.samples],
        title=f"{found.title}: {away:g} s of an outage, then at work",
        label="MB",
    )
    return found


def _found(events: int, seen: Phases) -> Found:
    left = events - (seen.work[-1].applied - seen.outage[0].applied)
    sizes = [one.megabytes for one in seen.work]
    outage = statistics.median(one.megabytes for one in seen.outage)
    at_work = statistics.median(sizes)
    return Found(
        title=f"e. Resident memory of the relay, {events:,} events waiting",
        headings=("", "MB"),
        rows=[
            ("idle, warmed up", f"{seen.before:.0f}"),
            ("outage, median", f"{outage:.0f}"),
            ("at work, median", f"{at_work:.0f}"),
            ("most of the samples", f"{seen.most_sampled:.0f}"),
            ("most since it started", f"{seen.most:.0f}"),
            ("slope at work, a minute", f"{_slope(seen.work):+.2f}"),
        ],
        targets=[
            Target("most resident memory", seen.most, MEMORY_TARGET, unit=" MB"),
            Target(
                "flat: most less least while at work, of the median",
                100 * (max(sizes) - min(sizes)) / at_work,
                SPREAD_TARGET,
                unit=" %",
            ),
        ],
        figures=_figures(seen, left),
        notes=[
            f"{left:,} of the events were still waiting at the end; 1 MB is 1,000,000 bytes.",
            "Most since it started: of the samples alone, this system keeps no other."
            if seen.peaks[-1] is None
            else "Most since it started: VmHWM, kept by the kernel, the backlog's publishing included.",
            _WITHOUT_GRPC,
        ],
    )


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


def _peak(bench: Bench) -> float | None:
    peak = bench.process.peak_resident_bytes()
    return None if peak is None else peak / _MB


def _slope(samples: list[Sample]) -> float:
    """Return megabytes a minute, by least squares."""
    line = statistics.linear_regression(
        [one.seconds / 60 for one in samples], [one.megabytes for one in samples]
    )
    return line.slope


def _figures(seen: Phases, left: int) -> dict[str, Any]:
    return {
        "idle_mb": seen.before,
        "most_mb": seen.most,
        "most_sampled_mb": seen.most_sampled,
        "most_mb_idle_published_end": seen.peaks,
        "waiting_at_the_end": left,
        "slope_mb_a_minute": _slope(seen.work),
        "samples": {
            name: [[one.seconds, one.megabytes, one.applied] for one in samples]
            for name, samples in (
                ("outage", seen.outage),
                ("resumed", seen.resumed),
                ("work", seen.work),
            )
        },
    }
