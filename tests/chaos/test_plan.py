"""The plan of faults: from the seed alone, and never too much at once."""

from __future__ import annotations

from itertools import combinations, pairwise

from hypothesis import given
from hypothesis import strategies as st
from tests.chaos.plan import (
    BROKER_RECOVERY_SECONDS,
    BROKERS,
    FEWEST_RELAYS,
    FIRST_RELAYS,
    LINES,
    MOST_RELAYS,
    RELAYS_ONLY,
    SESSION_SECONDS,
    Kind,
    plan,
    resource,
)

seeds = st.integers(0, 2**32)
lengths = st.floats(10, 150)
pauses = st.floats(1, 5)


@given(seeds, lengths, pauses)
def test_the_same_seed_gives_the_same_plan(seed: int, seconds: float, pause: float) -> None:
    assert plan(seed, seconds, pause=pause) == plan(seed, seconds, pause=pause)


def test_another_seed_gives_another_plan() -> None:
    assert len({plan(seed, 60) for seed in range(20)}) == 20


@given(seeds, lengths, pauses)
def test_at_most_one_broker_is_down_and_the_next_goes_only_when_it_has_caught_up(
    seed: int, seconds: float, pause: float
) -> None:
    killed = [f for f in plan(seed, seconds, pause=pause) if f.kind is Kind.BROKER_KILLED]
    for one, next_one in pairwise(killed):
        assert one.ends + BROKER_RECOVERY_SECONDS <= next_one.at


@given(seeds, lengths, pauses)
def test_nothing_has_two_faults_at_a_time(seed: int, seconds: float, pause: float) -> None:
    for one, other in combinations(plan(seed, seconds, pause=pause), 2):
        if resource(one) == resource(other):
            assert one.ends <= other.at


@given(seeds, lengths, pauses)
def test_every_fault_is_made_good_before_the_quiet(seed: int, seconds: float, pause: float) -> None:
    assert all(0 <= fault.at <= fault.ends <= seconds for fault in plan(seed, seconds, pause=pause))


@given(seeds, lengths, pauses)
def test_relays_are_few_and_never_too_few_and_only_those_that_run_are_hit(
    seed: int, seconds: float, pause: float
) -> None:
    running = set(range(FIRST_RELAYS))
    for fault in plan(seed, seconds, pause=pause):
        if fault.kind is Kind.RELAY_ADDED:
            assert fault.target not in running
            running.add(fault.target)
        elif fault.kind.startswith("relay"):
            assert fault.target in running
            if fault.kind is Kind.RELAY_REMOVED:
                running.remove(fault.target)
        assert FEWEST_RELAYS <= len(running) <= MOST_RELAYS


@given(seeds, lengths)
def test_targets_are_there_and_a_frozen_relay_outsleeps_its_session(
    seed: int, seconds: float
) -> None:
    for fault in plan(seed, seconds):
        if fault.kind is Kind.BROKER_KILLED:
            assert fault.target in range(BROKERS)
        elif not fault.kind.startswith("relay"):
            assert fault.target in range(LINES)
        if fault.kind is Kind.RELAY_FROZEN:
            assert fault.seconds > SESSION_SECONDS


@given(seeds)
def test_two_minutes_have_every_kind_of_fault(seed: int) -> None:
    assert {fault.kind for fault in plan(seed, 120)} == set(Kind)


@given(seeds)
def test_only_the_kinds_that_are_asked_for_come(seed: int) -> None:
    assert {fault.kind for fault in plan(seed, 60, kinds=RELAYS_ONLY)} == RELAYS_ONLY
