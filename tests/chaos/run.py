"""Room `tests/chaos`: one run, from its servers' start to its figures. Touches all of the folder."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from temporalio.client import Client
from tests.chaos import plan as planning
from tests.chaos.cluster import LinkedKafka
from tests.chaos.emit import Emitter
from tests.chaos.faults import Faults
from tests.chaos.found import Finding
from tests.chaos.gather import gather
from tests.chaos.judge import judge
from tests.chaos.leaks import leaks
from tests.chaos.load import Waiting, connect
from tests.chaos.metrics import Scraped
from tests.chaos.plan import Fault
from tests.chaos.proxy import Link
from tests.chaos.relays import GUARD_KILLED, Line, Relays
from tests.chaos.report import Report, events_by_kind, load_figures
from tests.chaos.script import (
    Item,
    Kind,
    addresses,
    early_ones,
    ending,
    script,
    waiting_for,
)
from tests.chaos.steps import SETTINGS, TOPICS, all_end, create_topics, settle

from completion_relay.embedded import TemporalServer

GROUP = "chaos"
_SCRAPE_SECONDS = 1.0


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
    folder: Path
    pages: dict[str, str] = field(default_factory=dict)
    """The latest page of metrics of each relay."""
    tokens: list[bytes] = field(default_factory=list)
    """All that were handed over."""

    async def scrape(self) -> None:
        """Take in every relay's metrics, and notice relays that ended."""
        for relay in tuple(self.relays.running.values()):
            if not relay.is_frozen and (text := await relay.metrics()):
                self.scraped.take(relay.name, text)
                self.pages[relay.name] = text
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
            await waiting.start(waiting_for(items), say, late=early_ones(items))
            ends = ending(items)
            await waiting.ask_to_cancel(one for one in ends if ends[one] is Kind.CANCELED)
            for number in range(planning.FIRST_RELAYS):
                await stage.relays.add(number)
            await asyncio.gather(*(relay.serving() for relay in stage.relays.running.values()))
            emitter = Emitter(
                stage.kafka.address,
                TOPICS["completions"],
                run.seed,
                waiting.references,
                waiting.second,
                begin=waiting.begin,
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
                await all_end(stage.client, ends)
            stage.tokens = waiting.tokens()
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
        yield Stage(run, kafka, temporal, links, client, relays, say, Scraped(), folder)


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
    found = await gather(stage.client, stage.kafka.address, GROUP, TOPICS, waiting_for(items))
    findings = judge(run.seed, items, found)
    said = {
        **{log.name: log.read_text("utf-8", "replace") for log in stage.folder.glob("relay-*.log")},
        **{f"metrics of {relay}": page for relay, page in stage.pages.items()},
        "the audit trail": "\n".join(map(str, found.audit)),
    }
    findings += _findings_of(
        {
            "relays that ended by themselves": relays.ended_by_themselves,
            # Amid faults a drain may take longer than the guard's patience.
            "relays that did not stop with 0": [
                *(code for code in relays.exit_codes[:in_quiet] if code not in {0, GUARD_KILLED}),
                *(code for code in relays.exit_codes[in_quiet:] if code),
            ],
            "places that show a token": leaks(stage.tokens, said),
            "metrics of the contract that are missing": stage.scraped.missing(),
            "metrics that never moved": stage.scraped.unmoved(),
            "metrics with labels that are not the contract's": stage.scraped.mislabelled(),
        }
    )
    return Report(
        title="chaos",
        seed=run.seed,
        seconds=run.seconds,
        settled_after=settled,
        load=load_figures(items, found.main.values()),
        events=events_by_kind(run.seed, items, found),
        faults={str(kind): done[kind] for kind in planning.Kind if kind in run.kinds},
        told={
            "sends that were repeated": emitter.repeated,
            "kB through the links to Kafka": sum(link.passed for link in kafka_links) // 1000,
            "kB through the links to Temporal": sum(link.passed for link in temporal_links) // 1000,
            "connections cut": sum(link.ended for link in (*kafka_links, *temporal_links)),
            "commits of the group": len(found.commits),
            "of them with records settled ahead": sum(bool(one.metadata) for one in found.commits),
            "audit records": len(found.audit),
            "parked copies": sum(map(len, found.parked.values())),
            "signals": len(found.signals),
            "removed amid faults, killed after 10 s": relays.exit_codes[:in_quiet].count(
                GUARD_KILLED
            ),
        },
        findings=findings,
    )


def _findings_of(lists: Mapping[str, Sequence[object]]) -> list[Finding]:
    return [Finding(name, len(found), [str(one) for one in found]) for name, found in lists.items()]
