"""One cluster's probe, and under which names its state is told."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable
from typing import cast

import pytest
from tests.unit.relay.fakes import OK, PATIENCE, Script, VirtualClock

from completion_relay.cluster import Cluster, ClusterObserver
from completion_relay.completer import Completer
from completion_relay.connections import TemporalConnection
from completion_relay.health import Health
from completion_relay.identity import RecordMark
from completion_relay.means import Means
from completion_relay.neighbours import Neighbours
from completion_relay.observe import Observer
from completion_relay.settings import ClusterSettings, TemporalSettings
from completion_relay.verdict import NAMESPACE_NOT_FOUND, Answer, Sign, Status

WEST = TemporalConnection(
    TemporalSettings(),
    ClusterSettings(name="west", address="west:7233", namespaces=("orders", "stock")),
)
UNAVAILABLE = Answer(Status.UNAVAILABLE, "connection refused")
MARK = RecordMark("e-1", "completions", 3, 7)


class EndlessPause(VirtualClock):
    """Time that stands still at the first sleep."""

    def __init__(self) -> None:
        super().__init__()
        self.is_reached = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds)
        self.is_reached.set()
        await asyncio.Event().wait()


class Answers:
    """Describes namespaces as it is told to."""

    def __init__(self, **answers: Answer) -> None:
        self._answers = answers
        self.asked: list[str] = []
        self.meanwhile: Callable[[], None] = lambda: None
        """Happens while an answer is under way."""

    async def describe_namespace(self, namespace: str) -> Answer:
        self.asked.append(namespace)
        self.meanwhile()
        return self._answers.get(namespace, OK)


def told(health: Health) -> ClusterObserver:
    return ClusterObserver(Observer(namespaces=("west/orders", "west/stock"), health=health), WEST)


async def probed(answers: Answers, health: Health, means: Means | None = None) -> float:
    """Probe once; return the seconds until the next time."""
    clock = EndlessPause()
    means = dataclasses.replace(means or Script().means, clock=clock)
    cluster = Cluster(WEST, means=means, completer=cast("Completer", answers), told=told(health))
    probing = asyncio.create_task(cluster.probe_for_ever())
    async with asyncio.timeout(10):
        await clock.is_reached.wait()
    probing.cancel()
    await asyncio.gather(probing, return_exceptions=True)
    return clock.waits[0]


async def test_a_cluster_that_answers_is_well_and_is_asked_about_each_namespace() -> None:
    answers, health = Answers(), Health()
    await probed(answers, health)
    assert health.problems == {}
    assert answers.asked == ["orders", "stock"]


async def test_a_cluster_that_is_away_is_told_once_with_where_it_is_and_is_soon_asked_again() -> (
    None
):
    answers, health = Answers(orders=UNAVAILABLE), Health()
    soon = await probed(answers, health)
    (problem,) = health.problems.items()
    assert problem[0] == "temporal west"
    assert "west:7233 cannot be reached" in problem[1]
    assert "[[temporal.clusters]] west" in problem[1]
    assert answers.asked == ["orders"]
    assert soon < await probed(Answers(), health)


@pytest.mark.parametrize("answer", [OK, UNAVAILABLE], ids=["well", "away"])
async def test_a_cluster_that_turned_away_while_it_was_asked_stays_so(answer: Answer) -> None:
    """An answer that was under way is older than what the events have met."""
    answers, health, means = Answers(stock=answer), Health(), Script().means

    def turn_away() -> None:
        if answers.asked != ["orders", "stock"]:
            return
        means.gate.is_away = True
        health.report("temporal west", "away: as events say")

    answers.meanwhile = turn_away
    await probed(answers, health, means)
    assert health.problems == {"temporal west": "away: as events say"}


async def test_a_namespace_that_is_throttled_has_been_reached() -> None:
    health = Health()
    await probed(Answers(orders=Answer(Status.RESOURCE_EXHAUSTED, "rate limit")), health)
    assert health.problems == {}


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (
            Answer(Status.NOT_FOUND, "no", frozenset({NAMESPACE_NOT_FOUND})),
            "namespaces of cluster west",
        ),
        (Answer(Status.UNAUTHENTICATED, "expired"), "[[temporal.clusters]] west"),
    ],
)
async def test_a_namespace_that_is_not_right_is_told_under_its_clusters_name(
    answer: Answer, said: str
) -> None:
    health = Health()
    await probed(Answers(stock=answer), health)
    (problem,) = health.problems.items()
    assert problem[0] == "namespace west/stock"
    assert said in problem[1]


async def test_what_events_meet_on_their_way_is_told_under_the_clusters_name() -> None:
    health = Health()
    told(health).away("UNAVAILABLE: connection refused")
    assert list(health.problems) == ["temporal west"]
    told(health).back()
    assert health.problems == {}
    told(health).halted("orders", "PERMISSION_DENIED")
    assert list(health.problems) == ["completing in west/orders"]
    told(health).resumed("orders")
    assert health.problems == {}


async def test_the_end_of_an_outage_is_noticed_within_five_seconds_however_long_it_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Events wait longer between their tries, but all of them together wait for this."""
    clock, many = VirtualClock(), asyncio.Event()

    async def away(*_: object) -> Answer:
        if len(clock.waits) >= 30:
            many.set()
            await asyncio.Event().wait()
        return UNAVAILABLE

    monkeypatch.setattr(Completer, "describe_namespace", away)
    cluster = await Cluster.connect(
        WEST,
        max_in_flight=1,
        max_looks=1,
        rates={},
        neighbours=Neighbours(),
        patience=PATIENCE,
        observer=Observer(namespaces=("west/orders", "west/stock"), health=Health()),
        clock=clock,
    )
    for event in range(100):
        cluster.means.gate.noted(event, Sign.FAILING)
    async with asyncio.timeout(10):
        await many.wait()
    cluster.close()
    assert max(clock.waits) <= 5.0
    assert sum(clock.waits) > 60.0
