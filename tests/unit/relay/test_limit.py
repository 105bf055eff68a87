"""How much may go to a namespace at once, and how fast: arithmetic, and what holds in any history."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from completion_relay.limit import ConcurrencyLimit, Pace

AT_ONCE = 0.005
"""Seconds: the latency of a healthy Temporal."""


def answer(limit: ConcurrencyLimit, *, at: float, seconds: float = AT_ONCE) -> None:
    """Have a call come through, with as many under way as the limit lets."""
    limit.answered(started=at - seconds, ended=at, in_flight=limit.calls)


def refused(limit: ConcurrencyLimit, *, at: float) -> bool:
    return limit.refused(started=at - AT_ONCE, now=at)


def test_a_healthy_namespace_is_given_the_maximum_from_the_start() -> None:
    assert ConcurrencyLimit(maximum=64).calls == 64


def test_a_refusal_takes_a_share() -> None:
    limit = ConcurrencyLimit(maximum=100)
    assert refused(limit, at=1.0)
    assert limit.calls == 70


def test_refusals_of_one_round_trip_count_once() -> None:
    """All calls under way are refused together; each of them would otherwise take a share."""
    limit = ConcurrencyLimit(maximum=100)
    assert [limit.refused(started=0.9, now=1.0 + i / 1000) for i in range(50)] == [True] + [
        False
    ] * 49
    assert limit.calls == 70


def test_a_refusal_of_a_call_made_after_the_decrease_counts_again() -> None:
    limit = ConcurrencyLimit(maximum=100)
    refused(limit, at=1.0)
    assert limit.refused(started=1.1, now=1.2)
    assert limit.calls == 49


def test_a_round_trip_of_successes_adds_one_call() -> None:
    limit = ConcurrencyLimit(maximum=100)
    refused(limit, at=1.0)
    for i in range(71):
        answer(limit, at=2.0 + i / 1000)
    assert limit.calls == 71


def test_a_limit_that_is_not_used_does_not_grow() -> None:
    limit = ConcurrencyLimit(maximum=100)
    refused(limit, at=1.0)
    for i in range(1_000):
        limit.answered(started=2.0 + i, ended=2.0 + i + AT_ONCE, in_flight=34)
    assert limit.calls == 70


def test_latency_that_rises_to_several_times_the_least_decreases() -> None:
    limit = ConcurrencyLimit(maximum=100)
    answer(limit, at=1.0, seconds=0.1)
    for i in range(50):
        answer(limit, at=10.0 + i / 1000, seconds=2.0)
    assert limit.calls < 100


def test_one_slow_call_decreases_nothing() -> None:
    limit = ConcurrencyLimit(maximum=100)
    for i in range(20):
        answer(limit, at=1.0 + i, seconds=0.1)
    answer(limit, at=30.0, seconds=2.0)
    assert limit.calls == 100


def test_latency_that_a_busy_event_loop_explains_decreases_nothing() -> None:
    limit = ConcurrencyLimit(maximum=100)
    answer(limit, at=1.0, seconds=0.001)
    for i in range(1_000):
        answer(limit, at=10.0 + i / 100, seconds=0.2)
    assert limit.calls == 100


def test_a_small_server_that_a_full_window_makes_slow_keeps_it() -> None:
    """What they wait for is each other: fewer calls at once would be fewer completions."""
    limit = ConcurrencyLimit(maximum=64)
    answer(limit, at=1.0, seconds=0.01)
    for i in range(1_000):
        answer(limit, at=10.0 + i / 150, seconds=64 / 150)
    assert limit.calls == 64


def test_a_temporal_that_has_moved_away_is_not_slow_for_ever() -> None:
    """The least latency ages: after two of its periods what is usual now is what counts."""
    limit = ConcurrencyLimit(maximum=10)
    answer(limit, at=1.0, seconds=0.05)
    for second in range(2, 2_000):
        answer(limit, at=float(second), seconds=1.5)
    assert limit.calls == 10


@given(
    maximum=st.integers(1, 1_000),
    calls=st.lists(
        st.tuples(
            st.floats(0.0, 5.0),  # since the call before
            st.floats(0.0, 20.0),  # its latency
            st.floats(0.0, 1.0),  # of the limit under way
            st.sampled_from(["answered", "refused", "outage"]),
        ),
        max_size=60,
    ),
)
def test_the_limit_is_never_below_one_nor_above_the_maximum(
    maximum: int, calls: list[tuple[float, float, float, str]]
) -> None:
    limit = ConcurrencyLimit(maximum=maximum)
    now = 100.0
    for since, latency, share, what in calls:
        now += since
        before = limit.calls
        if what == "answered":
            in_flight = max(1, int(share * limit.calls))
            limit.answered(started=now - latency, ended=now, in_flight=in_flight)
            assert limit.calls <= before + 1
        elif what == "refused":
            limit.refused(started=now - latency, now=now)
            assert limit.calls <= before
        else:
            limit.restart(8, now=now)
            assert limit.calls <= 8
        assert 1 <= limit.calls <= maximum


def test_a_pace_lets_calls_through_at_its_rate() -> None:
    pace = Pace(10.0)
    assert pace.wait(0.0) == 0.0
    assert pace.wait(0.0) == 0.0  # a tenth of a second's worth beyond the first
    assert pace.wait(0.0) > 0.0
    assert pace.wait(0.1) == 0.0


@given(
    rate=st.floats(0.1, 10_000),
    gaps=st.lists(st.floats(0.0, 0.5), min_size=1, max_size=200),
)
def test_a_pace_is_kept_over_any_time(rate: float, gaps: list[float]) -> None:
    pace = Pace(rate)
    let_through: list[float] = []
    now = 0.0
    for gap in gaps:
        now += gap
        if pace.wait(now) == 0.0:
            let_through.append(now)
    for first in range(len(let_through)):
        seconds = now - let_through[first]
        assert len(let_through) - first <= rate * (seconds + 0.1) + 1 + 1e-6


@given(rate=st.floats(0.1, 10_000), times=st.integers(1, 50))
def test_whoever_waits_as_long_as_the_pace_says_goes(rate: float, times: int) -> None:
    pace = Pace(rate)
    now = 0.0
    for _ in range(times):
        now += pace.wait(now)
        now += 1e-9  # what floats lose
        pace.wait(now)
    assert pace.wait(now + 1.0 / rate) == 0.0
