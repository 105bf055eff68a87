"""Room `tests/bench`, part a: what an event costs the relay, beside a bare loop of calls.

The relay is a process with everything on; the bare loop is one that only makes
the calls; between them the floor, the libraries of the relay with no logic at all.
All talk to one null frontend. Rounds alternate, medians count.
"""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import asdict, dataclass, field
from typing import Any

from tests.bench import kafka, processes
from tests.bench.board import Board
from tests.bench.errors import BenchError
from tests.bench.events import completions, publish_at_once
from tests.bench.in_flight import InFlight, watched
from tests.bench.kafka import LOOK_SECONDS, Broker, Progress
from tests.bench.processes import Measured
from tests.bench.report import Found, Target
from tests.bench.run import Run
from tests.support import Topics, eventually

_WARM_UP = 2_000
_ROUND_SECONDS = 300.0
CPU_TARGET = 1.35
CPU_AIM = 1.2
_LOOP = "bare loop"
_FLOOR = "floor: the libraries alone"
_RELAY = "relay"


@dataclass(frozen=True, slots=True)
class Round:
    """One round of one way."""

    events: int
    seconds: float
    cpu_seconds: float
    in_flight: InFlight = field(default_factory=InFlight)
    """As seen of a relay."""

    @property
    def per_second(self) -> float:
        return self.events / self.seconds

    @property
    def cpu_micros(self) -> float:
        """Of an event."""
        return self.cpu_seconds / self.events * 1e6


@dataclass(slots=True)
class Bench:
    """A relay at work for one null frontend, whose activities are used up in order."""

    broker: Broker
    topics: Topics
    temporal: str
    board: Board
    process: Measured
    progress: Progress
    numbers: Numbers

    async def backlog(self, events: int) -> Round:
        """Let the relay, which has nothing to do, find a backlog; return when it is committed.

        Raises:
            BenchError: an activity was completed twice.
            AssertionError: it took too long.
        """
        first = self.numbers.take(events)
        records = list(completions(first, events))
        begun: list[float] = []

        def now() -> None:
            begun.extend((time.monotonic_ns(), self.process.cpu_seconds()))

        last = first + events - 1
        applied = self.board.applied_at[first : last + 1]
        async with watched(self.process) as seen:
            await publish_at_once(self.broker.address, self.topics.completions, records, now=now)
            await eventually(
                lambda: all(applied),
                timeout=_ROUND_SECONDS,
                every=LOOK_SECONDS,
                what=f"{events} events applied",
            )
            await self.progress.all_committed(within=_ROUND_SECONDS)
            cpu = self.process.cpu_seconds() - begun[1]
        if self.board.repeated:
            raise BenchError(f"{self.board.repeated} calls for activities that were completed")
        return Round(events, (max(applied) - begun[0]) / 1e9, cpu, seen)


class Numbers:
    """Activities not used yet."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._next = 0

    def take(self, count: int) -> int:
        """Return the first of so many."""
        first, self._next = self._next, self._next + count
        if self._next > self._board.tokens:
            raise BenchError(
                f"{self._next} activities are needed, the board has {self._board.tokens}"
            )
        return first


@contextlib.asynccontextmanager
async def at_work(
    run: Run, temporal: str, board: Board, numbers: Numbers, **options: Any
) -> AsyncIterator[Bench]:
    """Start a relay and warm it up."""
    topics = await run.broker.topics()
    relay = processes.relay(
        run.folder,
        kafka=run.broker.address,
        temporal=temporal,
        topics=topics,
        empty_fetch_pause_ms=run.broker.empty_fetch_pause_ms,
        **options,
    )
    async with _warm(run, temporal, (board, numbers), topics, relay) as bench:
        yield bench


@contextlib.asynccontextmanager
async def _floor(
    run: Run, temporal: str, board: Board, numbers: Numbers, *, in_flight: int
) -> AsyncIterator[Bench]:
    """Start the libraries alone and warm them up."""
    topics = await run.broker.topics()
    floor = processes.floor(
        run.folder,
        kafka=run.broker.address,
        temporal=temporal,
        topics=topics,
        empty_fetch_pause_ms=run.broker.empty_fetch_pause_ms,
        in_flight=in_flight,
    )
    async with _warm(run, temporal, (board, numbers), topics, floor) as bench:
        yield bench


@contextlib.asynccontextmanager
async def _warm(
    run: Run,
    temporal: str,
    activities: tuple[Board, Numbers],
    topics: Topics,
    starting: AbstractAsyncContextManager[Measured],
) -> AsyncIterator[Bench]:
    async with starting as process, kafka.progress(run.broker, topics) as progress:
        bench = Bench(run.broker, topics, temporal, activities[0], process, progress, activities[1])
        await bench.backlog(_WARM_UP // 4 if run.quick else _WARM_UP)
        yield bench


async def measure(run: Run) -> Found:
    """Run part a."""
    events, rounds = (1_000, 1) if run.quick else (run.events, run.rounds)
    found = Found(
        title=f"a. CPU of an event: {events:,} events a round, median of {rounds}",
        headings=(
            *("in flight", "what", "µs an event", "x bare loop", "x floor", "events/s"),
            *("lowest limit", "most under way"),
        ),
    )
    for width in (64,) if run.quick else (64, 256):
        await _at(width, found, run, events=events, rounds=rounds)
    found.notes.append(
        "CPU: user and system of the process alone, until everything is committed. The bare loop, "
        "the relay, the null frontend and an embedded broker share this machine's cores: events a "
        "second are less than on machines of their own. CPU of an event is hardly, unless others "
        "work here too: then whatever is done in batches is done in smaller ones."
    )
    found.notes.append(
        "In flight is a setting, and fixed but for the relay: the lowest limit is what it allowed itself, "
        "as its /status says four times a second, which its CPU includes."
    )
    return found


async def _at(width: int, found: Found, run: Run, *, events: int, rounds: int) -> None:
    loop_events = events if run.quick else 2 * events
    tokens = rounds * (loop_events + 2_000 + 2 * events) + 2 * _WARM_UP
    bare: list[Round] = []
    answering: list[float] = []
    async with contextlib.AsyncExitStack() as stack:
        temporal, board, server = await stack.enter_async_context(
            processes.frontend(run.folder, tokens)
        )
        numbers = Numbers(board)
        benches = {
            _FLOOR: await stack.enter_async_context(
                _floor(run, temporal, board, numbers, in_flight=width)
            )
        }
        benches[_RELAY] = await stack.enter_async_context(
            at_work(run, temporal, board, numbers, in_flight=width)
        )
        rounds_of: dict[str, list[Round]] = {what: [] for what in benches}
        for number in range(rounds):
            run.say(f"a: {width} in flight, round {number + 1} of {rounds}: {_LOOP}")
            first = numbers.take(loop_events + 2_000)
            calls, cpu = board.calls, server.cpu_seconds()
            loop = await processes.direct(
                temporal, first=first, events=loop_events, in_flight=width, warm_up=2_000
            )
            answering.append((server.cpu_seconds() - cpu) / (board.calls - calls))
            bare.append(Round(loop["events"], loop["seconds"], loop["cpu_seconds"]))
            for what, bench in benches.items():
                run.say(f"a: {width} in flight, round {number + 1} of {rounds}: {what}")
                rounds_of[what].append(await bench.backlog(events))
    answer = statistics.median(answering)
    found.figures[f"{width}/null frontend"] = {"cpu_micros": answer * 1e6}
    found.notes.append(
        f"The null frontend used {answer * 1e6:.0f} µs a call of the bare loop's, {width} in flight: "
        f"it is the bottleneck beyond {1 / answer:,.0f} calls a second."
    )
    _report(found, width, {_LOOP: bare, **rounds_of})


def _report(found: Found, width: int, rounds_of: Mapping[str, Sequence[Round]]) -> None:
    micros = {
        what: statistics.median(one.cpu_micros for one in rounds)
        for what, rounds in rounds_of.items()
    }
    for what, rounds in rounds_of.items():
        ratio, beyond_floor = micros[what] / micros[_LOOP], micros[what] / micros[_FLOOR]
        per_second = statistics.median(one.per_second for one in rounds)
        seen = InFlight.of_all(one.in_flight for one in rounds)
        found.rows.append(
            (
                str(width),
                what,
                f"{micros[what]:.1f}",
                f"{ratio:.2f}",
                f"{beyond_floor:.2f}",
                f"{per_second:,.0f}",
                *seen.cells(),
            )
        )
        found.figures[f"{width}/{what}"] = {
            "in_flight": width,
            "cpu_micros": micros[what],
            "ratio": ratio,
            "ratio_to_floor": beyond_floor,
            "per_second": per_second,
            "lowest_limit": seen.lowest_limit,
            "most_in_flight": seen.most,
            "aim": CPU_AIM,
            "rounds": [asdict(one) for one in rounds],
        }
        if what == _RELAY:
            found.targets.append(
                Target(
                    f"CPU of an event, {width} in flight, times the bare loop's",
                    ratio,
                    CPU_TARGET,
                )
            )
