"""Room `tests/bench`, part b: throughput on a real development server, beside direct completion.

The server (SQLite) is the bottleneck of both ways, and noisy: many short rounds,
the ways taking turns at going first.

Both are given their activities in one order, shuffled: a server completes a
workflow's activities one after the other, so it matters how many of one workflow
are under way at once, and the partitions, which the relay reads in turn, would
spread what the bare loop would do in a row. An order that is random stays so
however it is dealt out, and callees that end when they do have no other.

A round's speed is from its first completion to its last, so that neither
connecting nor Kafka's first fetch counts, and both times are the server's, from
the workflows' histories: one clock, and nothing that one way does and the other
does not between the answer and the look at the clock.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import statistics
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from temporalio import activity, workflow
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client
from temporalio.worker import UnsandboxedWorkflowRunner, Worker
from tests.bench import kafka, processes
from tests.bench.errors import BenchError
from tests.bench.events import completed, publish_at_once
from tests.bench.in_flight import InFlight, watched
from tests.bench.kafka import Broker, Progress
from tests.bench.processes import Measured
from tests.bench.report import Found, Target
from tests.bench.run import Run
from tests.support import Topics, consume_all, eventually

from completion_relay.embedded import TemporalServer
from completion_schemas.audit import decode_audit
from completion_schemas.dispositions import Disposition
from completion_schemas.events import ActivityReference

_FAN = 50
_IN_FLIGHT = 64
_ROUND_SECONDS = 120.0
_HAND_OFF_SECONDS = 30.0
_HAND_OFF_TRIES = 5
THROUGHPUT_TARGET = 0.95


@workflow.defn
class Fan:
    """Waits for many activities at once."""

    @workflow.run
    async def run(self, width: int) -> None:
        await asyncio.gather(
            *(
                workflow.execute_activity("wait", start_to_close_timeout=timedelta(minutes=10))
                for _ in range(width)
            )
        )


@dataclass
class Waiting:
    """The activities that wait."""

    references: list[ActivityReference] = field(default_factory=list)

    def whole(self) -> list[ActivityReference]:
        """Return those of the workflows of which all wait, in the order of their workflows."""
        waiting = Counter(one.workflow_id for one in self.references)
        return sorted(
            (one for one in self.references if waiting[one.workflow_id] == _FAN),
            key=lambda one: one.workflow_id,
        )

    @activity.defn(name="wait")
    async def wait(self) -> None:
        self.references.append(ActivityReference.from_info(activity.info()))
        activity.raise_complete_async()


async def hand_offs(client: Client, count: int) -> list[ActivityReference]:
    """Return the references of so many activities that wait, in the order of their workflows.

    Raises:
        BenchError: they do not.
    """
    waiting = Waiting()
    queue = f"bench-{uuid.uuid4()}"
    async with Worker(
        client,
        task_queue=queue,
        workflows=[Fan],
        activities=[waiting.wait],
        # The sandbox would load this whole module again for each worker.
        workflow_runner=UnsandboxedWorkflowRunner(),
    ):
        # On a busy machine the answer to a poll may be lost: the server then takes an activity for
        # started that no worker has, until it times out. Another workflow is quicker.
        for _ in range(_HAND_OFF_TRIES):
            for _ in range(len(waiting.whole()), count, _FAN):
                await client.start_workflow(
                    Fan.run, _FAN, id=f"fan-{uuid.uuid4()}", task_queue=queue
                )
            with contextlib.suppress(AssertionError):
                await eventually(lambda: len(waiting.whole()) >= count, timeout=_HAND_OFF_SECONDS)
                return waiting.whole()[:count]
    raise BenchError(f"{len(waiting.whole())} of {count} activities were handed off")


def in_one_order(
    references: Sequence[ActivityReference], *, seed: int
) -> dict[str, list[ActivityReference]]:
    """Give each way half of the workflows, and both halves the same random order.

    Args:
        references: In the order of their workflows, an even number of them.
        seed: Of the order.
    """
    count = len(references) // 2
    order = random.Random(seed).sample(range(count), count)
    return {
        "direct": [references[place] for place in order],
        "relay": [references[count + place] for place in order],
    }


async def completed_at(client: Client, references: Sequence[ActivityReference]) -> list[int]:
    """Return when the activities of these workflows were completed, by the server's clock, ns.

    Raises:
        BenchError: some were not.
    """
    times: list[int] = []
    for workflow_id, run_id in {(one.workflow_id, one.run_id) for one in references}:
        handle = client.get_workflow_handle(workflow_id, run_id=run_id)
        times += [
            event.event_time.ToNanoseconds()
            async for event in handle.fetch_history_events()
            if event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED
        ]
    if len(times) != len(references):
        raise BenchError(f"{len(times)} of {len(references)} activities are completed in history")
    return times


async def measure(run: Run) -> Found:
    """Run part b."""
    events, rounds = (100, 1) if run.quick else (500, 10)
    speeds: dict[str, list[float]] = {"direct": [], "relay": []}
    async with (
        TemporalServer(data=run.folder / "temporal", logs=run.folder) as server,
        _relay(run.broker, run.folder, server.address) as way,
    ):
        client = await Client.connect(server.address)
        for number in range(rounds):
            run.say(f"b: round {number + 1} of {rounds}: {2 * events} activities hand off")
            halves = in_one_order(await hand_offs(client, 2 * events), seed=number)
            # Each goes first in every other round: the server slows down as it fills.
            for name in sorted(halves, reverse=bool(number % 2)):
                run.say(f"b: round {number + 1} of {rounds}: {name}")
                if name == "relay":
                    await way.through_the_relay(halves[name])
                else:
                    await _direct(run.folder, server.address, halves[name])
            # Not before both are done: reading histories is work for the server.
            for name, half in halves.items():
                times = await completed_at(client, half)
                speeds[name].append((len(times) - 1) / (max(times) - min(times)) * 1e9)
    return _found(events, speeds, InFlight.of_all(way.in_flight))


def _found(events: int, speeds: Mapping[str, Sequence[float]], in_flight: InFlight) -> Found:
    medians = {name: statistics.median(them) for name, them in speeds.items()}
    ratios = [relay / direct for direct, relay in zip(*speeds.values(), strict=True)]
    ratio = statistics.median(ratios)
    seen = {"direct": InFlight(), "relay": in_flight}
    found = Found(
        title=f"b. Development server, {_IN_FLIGHT} in flight: {events:,} completions a round, "
        f"median of {len(ratios)}",
        headings=(
            *("", "completions a second", "lowest", "highest"),
            *("lowest limit", "most under way"),
        ),
        rows=[
            (
                *(name, f"{medians[name]:,.0f}", f"{min(them):,.0f}", f"{max(them):,.0f}"),
                *seen[name].cells(),
            )
            for name, them in speeds.items()
        ],
        targets=[
            Target(
                "throughput, times direct, median of the rounds' ratios",
                ratio,
                THROUGHPUT_TARGET,
                at_most=False,
            )
        ],
        figures={
            "per_second": medians,
            "ratio": ratio,
            "ratios": ratios,
            "rounds": speeds,
            "lowest_limit": in_flight.lowest_limit,
            "most_in_flight": in_flight.most,
        },
    )
    found.notes.append(
        f"{_IN_FLIGHT} in flight is a setting, and fixed for direct completion: the lowest limit is what "
        "the relay allowed itself, as its /status says four times a second."
    )
    return found


async def _direct(folder: Path, temporal: str, references: Sequence[ActivityReference]) -> None:
    tokens = folder / "tokens"
    tokens.write_text("\n".join(one.task_token for one in references), "ascii")
    await processes.direct(temporal, tokens=tokens, in_flight=_IN_FLIGHT)


@dataclass(slots=True)
class _Way:
    broker: Broker
    topics: Topics
    progress: Progress
    process: Measured
    in_flight: list[InFlight] = field(default_factory=list)
    """Of each round."""
    decided: int = 0

    async def through_the_relay(self, references: Sequence[ActivityReference]) -> None:
        records = [completed(one) for one in references]
        async with watched(self.process) as seen:
            await publish_at_once(
                self.broker.address, self.topics.completions, records, now=lambda: None
            )
            await self.progress.all_committed(within=_ROUND_SECONDS)
        self.in_flight.append(seen)
        trail = [
            decode_audit(record.value)
            for record in await consume_all(self.broker.address, self.topics.audit)
        ]
        wrong = [one for one in trail if one.disposition is not Disposition.APPLIED]
        if wrong:
            raise BenchError(f"{len(wrong)} events were not applied: {wrong[0]}")
        new, self.decided = len(trail) - self.decided, len(trail)
        if new != len(references):
            raise BenchError(f"{new} audit records for {len(references)} events")


@contextlib.asynccontextmanager
async def _relay(broker: Broker, folder: Path, temporal: str) -> AsyncIterator[_Way]:
    topics = await broker.topics()
    async with (
        processes.relay(
            folder,
            kafka=broker.address,
            temporal=temporal,
            topics=topics,
            empty_fetch_pause_ms=broker.empty_fetch_pause_ms,
            in_flight=_IN_FLIGHT,
        ) as process,
        kafka.progress(broker, topics) as progress,
    ):
        yield _Way(broker, topics, progress, process)
