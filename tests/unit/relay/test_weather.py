"""Whether a cluster is away as a whole: the state machine, and the gate around it on a manual clock."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.relay.fakes import ManualClock, RecordingObserver

from completion_relay.bell import Waiter
from completion_relay.gate import WeatherGate
from completion_relay.verdict import Answer, Sign, Status
from completion_relay.weather import State, Streak, Weather

UNAVAILABLE = Answer(Status.UNAVAILABLE, "connection refused")
PLENTY = 60.0
"""Seconds that no test needs."""


def test_one_event_that_fails_for_ever_is_no_outage() -> None:
    """A poison token alone must not stop the others."""
    weather = Weather()
    assert not any(weather.failed("poison", now=float(i)) for i in range(1_000))
    assert weather.state is State.FAIR


def test_several_events_failing_make_a_doubt() -> None:
    weather = Weather()
    assert [weather.failed(event, now=0.0) for event in "abc"] == [False, False, True]
    assert weather.state is State.DOUBTFUL


def test_one_shard_that_is_away_is_no_outage_while_others_answer() -> None:
    weather = Weather()
    for i in range(1_000):
        assert not weather.failed(i, now=float(i))
        weather.answered()


def test_the_probe_makes_an_outage_of_a_doubt() -> None:
    weather = doubtful()
    assert not weather.probed(definite=False, now=0.0)
    assert weather.state is State.AWAY


def test_the_probe_refutes_a_doubt() -> None:
    weather = doubtful()
    assert weather.probed(definite=True, now=0.0)
    assert weather.state is State.FAIR


def test_a_doubt_that_was_refuted_is_not_raised_again_at_once() -> None:
    """One shard is away, and nobody has an event for another: its retries fail and fail."""
    weather = Weather()
    now, doubts = 0.0, 0
    for step in range(36_000):  # an hour of ten failures a second
        now = step / 10
        if weather.failed(step, now=now):
            doubts += 1
            weather.probed(definite=True, now=now)
    assert doubts < 130


def doubtful() -> Weather:
    weather = Weather()
    for event in "abc":
        weather.failed(event, now=0.0)
    return weather


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("failed"), st.integers(0, 5)),
            st.tuples(st.just("answered"), st.just(0)),
            st.tuples(st.just("probed"), st.booleans()),
        ),
        max_size=100,
    )
)
def test_in_any_history_only_the_probe_makes_it_away_and_any_answer_makes_it_fair(
    history: list[tuple[str, int]],
) -> None:
    weather = Weather()
    failing: set[int] = set()
    for now, (what, which) in enumerate(history):
        before = weather.state
        if what == "failed":
            failing.add(which)
            doubted = weather.failed(which, now=float(now))
            assert doubted == (before is State.FAIR and weather.state is State.DOUBTFUL)
            assert not doubted or len(failing) >= 3
        elif what == "answered":
            assert weather.answered() == (before is not State.FAIR)
            assert weather.state is State.FAIR
            failing.clear()
        else:
            ended = weather.probed(definite=bool(which), now=float(now))
            assert ended == (before is not State.FAIR and bool(which))
            if before is State.FAIR or which:
                assert weather.state is State.FAIR
            else:
                assert weather.state is State.AWAY
        if weather.state is State.AWAY and before is not State.AWAY:
            assert (what, which) == ("probed", False)


def test_a_streak_is_of_different_events_without_an_answer() -> None:
    streak = Streak()
    for event in "aaab":
        streak.failed(event)
    assert not streak.is_long
    streak.failed("c")
    assert streak.is_long
    streak.answered()
    assert not streak.is_long


class Probes:
    """Answers that a test gives to the probe."""

    def __init__(self) -> None:
        self.made = 0
        self._answers: asyncio.Queue[Answer] = asyncio.Queue()
        self._asked = asyncio.Semaphore(0)

    async def probe(self) -> Answer:
        self.made += 1
        self._asked.release()
        return await self._answers.get()

    async def asked(self) -> None:
        """Wait until the next probe is out."""
        await self._asked.acquire()

    def answer(self, answer: Answer) -> None:
        self._answers.put_nowait(answer)


class Sky:
    """A gate and what is around it."""

    def __init__(self) -> None:
        self.journal: list[str] = []
        self.clock = ManualClock()
        self.probes = Probes()
        self.gate = WeatherGate(
            probe=self.probes.probe,
            wait_after=float,
            observer=RecordingObserver(self.journal),
            clock=self.clock,
        )

    async def doubt(self) -> None:
        for event in "abc":
            self.gate.noted(event, Sign.FAILING)
        await self.probes.asked()

    async def outage(self) -> None:
        await self.doubt()
        self.probes.answer(UNAVAILABLE)
        await self.clock.until_pending(1)


async def passed(sky: Sky) -> None:
    """Wait for the gate, as events do."""
    waiter = Waiter()
    while sky.gate.is_closed:
        await waiter.wait(sky.clock, None, sky.gate.opened)


@pytest.fixture
async def sky() -> AsyncIterator[Sky]:
    sky = Sky()
    yield sky
    sky.gate.close()


async def test_the_gate_is_open_while_nothing_is_known(sky: Sky) -> None:
    await asyncio.wait_for(passed(sky), PLENTY)
    assert not sky.gate.is_closed


async def test_a_doubt_holds_events_back_for_one_probe_and_nobody_is_alarmed(sky: Sky) -> None:
    await sky.doubt()
    passing = asyncio.create_task(passed(sky))
    assert (sky.gate.is_closed, sky.gate.is_away) == (True, False)
    sky.probes.answer(Answer(Status.OK))
    await asyncio.wait_for(passing, PLENTY)
    assert (sky.gate.returns, sky.journal, sky.probes.made) == (0, [], 1)


async def test_an_outage_is_told_once_however_many_probes_fail(sky: Sky) -> None:
    await sky.outage()
    for _ in range(5):
        sky.clock.advance(10.0)
        await sky.probes.asked()
        sky.probes.answer(UNAVAILABLE)
        await sky.clock.until_pending(1)
    assert sky.gate.is_away
    assert sky.journal == ["away"]


async def test_probes_go_out_one_at_a_time_with_a_growing_wait(sky: Sky) -> None:
    await sky.outage()
    waits = []
    for _ in range(4):
        (ends,) = sky.clock.pending
        waits.append(ends - sky.clock.monotonic())
        sky.clock.advance(waits[-1])
        await sky.probes.asked()
        for event in "defg":  # calls that were under way
            sky.gate.noted(event, Sign.FAILING)
        assert sky.clock.pending == []
        sky.probes.answer(UNAVAILABLE)
        await sky.clock.until_pending(1)
    assert waits == [1.0, 2.0, 3.0, 4.0]
    assert sky.probes.made == 5


@pytest.mark.parametrize(
    "definite",
    [
        Answer(Status.OK),
        Answer(Status.NOT_FOUND, "no such namespace"),
        Answer(Status.PERMISSION_DENIED, "not yours"),
        Answer(Status.RESOURCE_EXHAUSTED, "too many", cause="RPS_LIMIT"),
    ],
    ids=lambda answer: str(answer.status),
)
async def test_any_definite_answer_to_the_probe_opens_the_gate(sky: Sky, definite: Answer) -> None:
    await sky.outage()
    passing = [asyncio.create_task(passed(sky)) for _ in range(100)]
    sky.clock.advance(1.0)
    await sky.probes.asked()
    sky.probes.answer(definite)
    await asyncio.wait_for(asyncio.gather(*passing), PLENTY)
    assert (sky.gate.is_away, sky.gate.returns, sky.journal) == (False, 1, ["away", "back"])


async def test_the_late_answer_of_an_event_opens_the_gate_too(sky: Sky) -> None:
    await sky.outage()
    sky.gate.noted("a", Sign.WELL)
    await asyncio.wait_for(passed(sky), PLENTY)
    assert sky.journal == ["away", "back"]


async def test_the_next_doubt_waits_for_no_backoff_of_the_probes_before(sky: Sky) -> None:
    """The gate would be closed for as long, with nobody to open it."""
    await sky.outage()
    sky.gate.noted("a", Sign.WELL)
    assert sky.clock.monotonic() == 0.0
    async with asyncio.timeout(PLENTY):
        await sky.doubt()
    sky.probes.answer(Answer(Status.OK))
    await asyncio.wait_for(passed(sky), PLENTY)
    assert sky.clock.monotonic() == 0.0


async def test_a_throttled_or_halted_namespace_is_not_away(sky: Sky) -> None:
    for event in range(100):
        sky.gate.noted(event, Sign.THROTTLED)
        sky.gate.noted(event, Sign.HALTED)
    assert not sky.gate.is_closed


async def test_whoever_is_told_of_an_outage_is_told_when_it_is_one(sky: Sky) -> None:
    told: list[bool] = []
    sky.gate.when_away(lambda: told.append(sky.gate.is_away))
    await sky.doubt()
    assert told == []
    sky.probes.answer(UNAVAILABLE)
    await sky.clock.until_pending(1)
    assert told == [True]
