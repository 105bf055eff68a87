"""Room `tests/chaos`: one run, from its servers' start to its figures. Touches all of the folder."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from aiokafka.errors import KafkaError
from temporalio.client import Client, WorkflowFailureError
from temporalio.service import RPCError
from tests.chaos import plan as planning
from tests.chaos.cluster import LinkedKafka
from tests.chaos.faults import Faults
from tests.chaos.gather import gather, uncommitted
from tests.chaos.judge import Finding, Found, judge
from tests.chaos.load import Emitter, Garbage, Item, Waiting, addresses, connect, script
from tests.chaos.metrics import Scraped
from tests.chaos.plan import Fault
from tests.chaos.proxy import Link
from tests.chaos.relays import GUARD_KILLED, Line, Relays
from tests.chaos.report import Report
from tests.support import eventually

from completion_relay.embedded import TemporalServer

GROUP = "chaos"
TOPICS = {
    "completions": "completions",
    "audit": "completions.audit",
    "dead_letter": "completions.dead-letter",
    "parked": "completions.parked",
}
"""The relay's defaults (contract section 2)."""
SETTINGS = {
    "COMPLETION_RELAY_KAFKA__SESSION_TIMEOUT_MS": str(int(planning.SESSION_SECONDS * 1000)),
    "COMPLETION_RELAY_KAFKA__REBALANCE_TIMEOUT_MS": "15000",
    "COMPLETION_RELAY_RELAY__DRAIN_TIMEOUT": "4",
    # So that what waits for a server that is back does not outlast a short run's end.
    "COMPLETION_RELAY_RELAY__RETRY_MAXIMUM": "2",
    # Several relays share a development server that takes 300 completions a second (SQLite).
    "COMPLETION_RELAY_RELAY__MAX_IN_FLIGHT": "64",
}
_SCRAPE_SECONDS = 1.0
_WORKFLOWS_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What is asked for."""

    seed: int
    activities: int
    seconds: float
    """How long faults and emission last."""
    settle: float = 120.0
    """How long the quiet at the end may take."""
    pause: float = 2.0
    """Mean time between two faults."""
    kinds: frozenset[planning.Kind] = planning.ALL
    settings: Mapping[str, str] = field(default_factory=dict)
    """The relays' further environment variables."""

    def plan(self) -> tuple[Fault, ...]:
        """Return the faults, from the seed alone."""
        return planning.plan(self.seed, self.seconds, pause=self.pause, kinds=self.kinds)

    def script(self) -> tuple[Item, ...]:
        """Return what is emitted, from the seed alone."""
        return script(self.seed, addresses(self.activities))


@dataclass
class Stage:
    """The servers and relays of a run, and what was seen of them meanwhile."""

    run: Run
    kafka: LinkedKafka
    temporal: TemporalServer
    temporal_links: Sequence[Link]
    client: Client
    relays: Relays
    say: Callable[[str], None]
    scraped: Scraped

    async def scrape(self) -> None:
        """Take in every relay's metrics, and notice relays that ended."""
        for relay in tuple(self.relays.running.values()):
            if not relay.is_frozen and (text := await relay.metrics()):
                self.scraped.take(relay.name, text)
        self.relays.look()

    @contextlib.asynccontextmanager
    async def scraping(self) -> AsyncIterator[None]:
        """Scrape as Prometheus would, while the block lasts and once after it."""

        async def for_ever() -> None:
            while True:
                await self.scrape()
                await asyncio.sleep(_SCRAPE_SECONDS)

        task = asyncio.create_task(for_ever())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await self.scrape()


async def settle(kafka: str, group: str, within: float, say: Callable[[str], None]) -> float:
    """Wait until the group has committed everything; return the seconds it took, or -1.

    Args:
        kafka: `bootstrap_servers`.
        group: The relays' consumer group.
        within: Seconds.
        say: Told how many records are left.
    """
    loop = asyncio.get_running_loop()
    begun = loop.time()
    said = 0

    async def nothing_is_left() -> bool:
        nonlocal said
        with contextlib.suppress(KafkaError):
            behind = sum((await uncommitted(kafka, group, TOPICS)).values())
            if behind != said:
                said = behind
                say(f"quiet: {behind} records behind")
            return not behind
        return False

    try:
        await eventually(nothing_is_left, timeout=within)
    except AssertionError:
        return -1.0
    return loop.time() - begun


async def carry_out(run: Run, folder: Path, say: Callable[[str], None]) -> Report:
    """Do one run.

    Args:
        run: What is asked for.
        folder: For data and logs.
        say: Told of the progress, a line at a time.

    Raises:
        ServerFailedError: a server did not start, which is the harness's failure.
    """
    items = run.script()
    async with _stage(run, folder, say) as stage:
        waiting = Waiting(stage.client)
        async with waiting.worker():
            await waiting.start(run.activities, say)
            for number in range(planning.FIRST_RELAYS):
                await stage.relays.add(number)
            await asyncio.gather(*(relay.serving() for relay in stage.relays.running.values()))
            emitter = Emitter(
                stage.kafka.address, TOPICS["completions"], run.seed, waiting.references
            )
            faults = Faults(stage.kafka, stage.temporal, stage.temporal_links, stage.relays, say)
            async with stage.scraping():
                async with asyncio.TaskGroup() as at_once:
                    at_once.create_task(faults.carry_out(run.plan()))
                    at_once.create_task(emitter.emit(items, seconds=run.seconds))
                settled = await settle(stage.kafka.address, GROUP, run.settle, say)
                if settled < 0:
                    for number, relay in stage.relays.running.items():
                        say(f"relay {number}: {await relay.readiness()}")
                await all_end(stage.client, run.activities)
            return await _report(stage, items, emitter, faults.done, settled)


@contextlib.asynccontextmanager
async def _stage(run: Run, folder: Path, say: Callable[[str], None]) -> AsyncIterator[Stage]:
    async with contextlib.AsyncExitStack() as stack:
        say("three brokers and Temporal start")
        temporal = TemporalServer(data=folder / "temporal", logs=folder)
        kafka = LinkedKafka(folder)
        await stack.enter_async_context(temporal)
        await stack.enter_async_context(kafka)
        links = [
            await stack.enter_async_context(Link(temporal.port)) for _ in range(planning.LINES)
        ]
        await create_topics(kafka.address)
        relays = Relays(
            [
                Line(kafka=kafka.line_address(n), temporal=link.address)
                for n, link in enumerate(links)
            ],
            group=GROUP,
            folder=folder,
            settings={**SETTINGS, **run.settings},
        )
        stack.push_async_callback(relays.close)
        client = await connect(temporal.address)
        yield Stage(run, kafka, temporal, links, client, relays, say, Scraped())


async def create_topics(kafka: str) -> None:
    """Create the five topics as an operator does.

    Raises:
        RuntimeError: the command refused.
    """
    command = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "completion_relay", "topics", "create", "--kafka", kafka),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await command.communicate()
    if command.returncode != 0:
        raise RuntimeError(f"completion-relay topics create: {said.decode()}")


async def all_end(client: Client, activities: int) -> None:
    """Wait for the workflows, a bounded time: one that does not end is found by its history."""
    ids = sorted({workflow for workflow, _ in addresses(activities)})
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_WORKFLOWS_SECONDS):
            for workflow in ids:
                with contextlib.suppress(WorkflowFailureError, RPCError):
                    await client.get_workflow_handle(workflow).result()


async def _report(
    stage: Stage,
    items: Sequence[Item],
    emitter: Emitter,
    done: Counter[planning.Kind],
    settled: float,
) -> Report:
    run, relays = stage.run, stage.relays
    kafka_links = [link for node in stage.kafka.nodes for link in node.links]
    temporal_links = stage.temporal_links
    in_quiet = len(relays.exit_codes)
    await asyncio.gather(*(relays.remove(number) for number in tuple(relays.running)))
    found = await gather(
        stage.client, stage.kafka.address, GROUP, TOPICS, addresses(run.activities)
    )
    findings = judge(run.seed, items, found)
    findings += _findings_of(
        {
            "relays that ended by themselves": relays.ended_by_themselves,
            # Amid faults a drain may take longer than the guard's patience.
            "relays that did not stop with 0": [
                *(code for code in relays.exit_codes[:in_quiet] if code not in {0, GUARD_KILLED}),
                *(code for code in relays.exit_codes[in_quiet:] if code),
            ],
            "metrics of the contract that are missing": stage.scraped.missing(),
            "metrics that never moved": stage.scraped.unmoved(),
        }
    )
    return Report(
        title="chaos",
        seed=run.seed,
        seconds=run.seconds,
        settled_after=settled,
        load=load_figures(run.activities, items, found),
        faults={str(kind): done[kind] for kind in planning.Kind if kind in run.kinds},
        told={
            "sends that were repeated": emitter.repeated,
            "kB through the links to Kafka": sum(link.passed for link in kafka_links) // 1000,
            "kB through the links to Temporal": sum(link.passed for link in temporal_links) // 1000,
            "connections cut": sum(link.ended for link in (*kafka_links, *temporal_links)),
            "commits of the group": len(found.commits),
            "audit records": len(found.audit),
            "removed amid faults, killed after 10 s": relays.exit_codes[:in_quiet].count(
                GUARD_KILLED
            ),
        },
        findings=findings,
    )


def load_figures(activities: int, items: Sequence[Item], found: Found) -> dict[str, int]:
    """Return what a run's load was."""
    garbage = sum(isinstance(item, Garbage) for item in items)
    return {
        "activities": activities,
        "records on the main topic": len(found.main),
        "of them duplicates": len(found.main) - garbage - activities,
        "of them garbage": garbage,
    }


def _findings_of(lists: Mapping[str, Sequence[object]]) -> list[Finding]:
    return [Finding(name, len(found), [str(one) for one in found]) for name, found in lists.items()]
