"""One cluster's probe, and under which names its state is told."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable
from typing import cast

import pytest
from tests.support import eventually
from tests.unit.relay.fakes import OK, PATIENCE, Script, VirtualClock
from tests.unit.relay.ways import PLENTY, event, mark

from completion_relay.clock import SystemClock
from completion_relay.cluster import Cluster, ClusterObserver
from completion_relay.completer import Completer
from completion_relay.connections import TemporalConnection
from completion_relay.decide import decide
from completion_relay.health import Health
from completion_relay.identity import RecordMark
from completion_relay.means import Means
from completion_relay.neighbours import Neighbours
from completion_relay.observe import Observer
from completion_relay.settings import ClusterSettings, TemporalSettings
from completion_relay.verdict import NAMESPACE_NOT_FOUND, Answer, Sign, Status
from completion_schemas.dispositions import Disposition

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
    answers, health = Answers(orders=UNAVAILABLE, stock=UNAVAILABLE), Health()
    soon = await probed(answers, health)
    (problem,) = health.problems.items()
    assert problem[0] == "temporal west"
    assert "west:7233 cannot be reached" in problem[1]
    assert "[[temporal.clusters]] west" in problem[1]
    assert soon < await probed(Answers(), health)


@pytest.mark.parametrize("away", ["orders", "stock"])
async def test_a_cluster_of_which_one_namespace_answers_is_there_and_the_other_one_is_named(
    away: str,
) -> None:
    """One address may be a frontend that routes by namespace."""
    answers, health = Answers(**{away: UNAVAILABLE}), Health()
    await probed(answers, health)
    assert answers.asked == ["orders", "stock"]
    assert health.problems == {
        f"namespace west/{away}": "cannot be reached (UNAVAILABLE: connection refused)"
    }
    await probed(Answers(), health)
    assert health.problems == {}


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


def completes_where_it_answers(monkeypatch: pytest.MonkeyPatch, away: set[str]) -> None:
    """Have each cluster answer OK to everything but what is about these namespaces."""

    async def answer(_: Completer, namespace: str, *_args: object) -> Answer:
        return UNAVAILABLE if namespace in away else OK

    monkeypatch.setattr(Completer, "describe_namespace", answer)
    monkeypatch.setattr(Completer, "send", answer)


async def west() -> Cluster:
    return await Cluster.connect(
        WEST,
        max_in_flight=4,
        max_looks=1,
        rates={},
        neighbours=Neighbours(),
        patience=PATIENCE,
        observer=Observer(namespaces=("west/orders", "west/stock"), health=Health()),
        clock=SystemClock(),
    )


@pytest.mark.parametrize(("away", "well"), [("orders", "stock"), ("stock", "orders")])
async def test_one_namespace_that_is_away_behind_a_routing_frontend_holds_up_no_other(
    monkeypatch: pytest.MonkeyPatch, away: str, well: str
) -> None:
    """The first one alone was asked whether the cluster is there, and nothing of the others went on."""
    completes_where_it_answers(monkeypatch, {away})
    cluster = await west()
    failing = [
        asyncio.create_task(decide(cluster.means, event(number), away, mark(number)))
        for number in range(3)
    ]
    try:
        gate = cluster.means.gate
        await eventually(lambda: cluster.means.bulkheads[away].is_sick, what="three that fail")
        async with asyncio.timeout(PLENTY):
            decision = await decide(cluster.means, event(3), well, mark(3))
        assert decision.disposition is Disposition.APPLIED
        assert (gate.is_away, gate.returns) == (False, 0)
    finally:
        for task in failing:
            task.cancel()
        await asyncio.gather(*failing, return_exceptions=True)
        cluster.close()


async def test_a_cluster_that_is_away_is_back_as_soon_as_one_namespace_of_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    away = {"orders", "stock"}
    completes_where_it_answers(monkeypatch, away)
    cluster = await west()
    gate = cluster.means.gate
    for number in range(3):
        gate.noted(number, Sign.FAILING)
    try:
        await eventually(lambda: gate.is_away, what="a cluster that is away")
        away.remove("stock")
        await eventually(lambda: not gate.is_closed, what="the gate's opening")
    finally:
        cluster.close()


async def test_who_answers_first_ends_the_probe_and_nobody_is_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of a namespace that says nothing one would know only after the deadline of the call."""
    asked: list[str] = []
    is_over = asyncio.Event()

    async def answer(_: Completer, namespace: str) -> Answer:
        asked.append(namespace)
        if namespace == "orders":
            try:
                await asyncio.Event().wait()
            finally:
                is_over.set()
        return OK

    monkeypatch.setattr(Completer, "describe_namespace", answer)
    cluster = await west()
    gate = cluster.means.gate
    for number in range(3):
        gate.noted(number, Sign.FAILING)
    await eventually(lambda: not gate.is_closed, what="the end of the doubt")
    assert asked == ["orders", "stock"]
    async with asyncio.timeout(PLENTY):
        await is_over.wait()


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
    for number in range(100):
        cluster.means.gate.noted(number, Sign.FAILING)
    async with asyncio.timeout(10):
        await many.wait()
    cluster.close()
    assert max(clock.waits) <= 5.0
    assert sum(clock.waits) > 60.0


async def test_a_rate_limit_holds_for_the_namespace_of_that_cluster_alone() -> None:
    """With one call a hundred seconds, the second event waits although nothing is under way."""
    cluster = await Cluster.connect(
        WEST,
        max_in_flight=10,
        max_looks=10,
        rates={"west/stock": 0.01, "orders": 0.01},
        neighbours=Neighbours(),
        patience=PATIENCE,
        observer=Observer(namespaces=("west/orders", "west/stock"), health=Health()),
        clock=SystemClock(),
    )
    bulkheads = cluster.means.bulkheads
    admitted = {
        name: [bulkheads[name].try_enter() for _ in range(2)] for name in ("orders", "stock")
    }
    cluster.close()
    assert admitted == {"orders": [True, True], "stock": [True, False]}
