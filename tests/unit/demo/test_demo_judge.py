"""The demo's judgement: right only if all three witnesses say what they should."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.strategies import audit_records
from tests.unit.demo.demo_scene import (
    after_the_kill,
    as_it_should_be,
    audit,
    circumstances,
    mark,
)

from completion_relay.demo.judge import Line, Seen, judge, judge_scene, once_each, taken_over
from completion_relay.demo.script import Ending, Got, Part, script
from completion_schemas.audit import AuditRecord
from completion_schemas.dispositions import Disposition

PARTS = {part.ending: part for part in script()}
SUCCESS = PARTS[Ending.SUCCESS]


@pytest.mark.parametrize("part", script(), ids=lambda part: part.name)
def test_an_execution_that_went_as_it_should_is_right(part: Part) -> None:
    assert judge(part, as_it_should_be(part)).problems == ()


def _without_audit(seen: Seen) -> Seen:
    return replace(seen, trail=(), ended_by="")


def _with_another_duplicate(seen: Seen) -> Seen:
    more = replace(seen.trail[0], offset=99, disposition=Disposition.DUPLICATE)
    return replace(seen, trail=(*seen.trail, more))


def _applied_twice(seen: Seen) -> Seen:
    return replace(seen, trail=(*seen.trail, replace(seen.trail[0], offset=99)))


def _said_otherwise_by_another(seen: Seen) -> Seen:
    other = replace(seen.trail[0], relay_id="relay-2", disposition=Disposition.UNKNOWN)
    return replace(seen, trail=(*seen.trail, other))


def _said_twice_by_the_same(seen: Seen) -> Seen:
    return replace(seen, trail=(*seen.trail, seen.trail[0]))


def _with_another_event_id(seen: Seen) -> Seen:
    return replace(seen, trail=(seen.trail[0], replace(seen.trail[0], event_id="x", relay_id="y")))


@pytest.mark.parametrize(
    ("breaks", "problem"),
    [
        (lambda seen: replace(seen, agent="TERMINATED"), "agent should be COMPLETED, is TERM"),
        (lambda seen: replace(seen, agent=""), "agent should be COMPLETED, is not there"),
        (lambda seen: replace(seen, got=None), "caller should get completed: .* got nothing"),
        (lambda seen: replace(seen, got=Got("completed", "else")), "got completed: else"),
        (lambda seen: replace(seen, got=Got("failed", "x", "E")), "got failed: E: x"),
        (_without_audit, "trail should say completed applied, says nothing"),
        (_with_another_duplicate, "says completed applied, completed duplicate"),
        (_applied_twice, "says completed applied, completed applied"),
        (_said_otherwise_by_another, "contradicts itself"),
        (_said_twice_by_the_same, "same relay wrote of the same record twice"),
        (_with_another_event_id, "same event id"),
        (lambda seen: replace(seen, ended_by="worker@host"), "history should name .* worker@host"),
        (lambda seen: replace(seen, ended_by=""), "history should name .* nothing"),
    ],
)
def test_one_thing_that_is_wrong_is_named(breaks: Callable[[Seen], Seen], problem: str) -> None:
    line = judge(SUCCESS, breaks(as_it_should_be(SUCCESS)))

    assert not line.is_right
    assert any(_matches(problem, said) for said in line.problems), line.problems


def _matches(pattern: str, text: str) -> bool:
    begin, dots, end = pattern.partition(" .* ")
    return begin in text and (not dots or end in text.partition(begin)[2])


@given(st.sampled_from(script()), st.sampled_from(script()))
def test_what_one_ending_looks_like_is_wrong_for_every_other_execution(
    part: Part, other: Part
) -> None:
    assert judge(part, as_it_should_be(other)).is_right == (part == other)


@given(st.sampled_from(script()), st.lists(audit_records(), min_size=1, max_size=3))
def test_a_record_that_does_not_belong_there_is_never_right(
    part: Part, strangers: list[AuditRecord]
) -> None:
    seen = as_it_should_be(part)

    assert not judge(part, replace(seen, trail=(*seen.trail, *strangers))).is_right


def test_a_record_that_the_killed_relay_could_not_commit_counts_once() -> None:
    seen = as_it_should_be(SUCCESS)
    again = replace(seen, trail=(*seen.trail, after_the_kill(seen.trail[0])))

    line = judge(SUCCESS, again)

    assert line.is_right
    assert line.decisions == seen.trail


def test_history_may_name_either_record_only_if_it_was_applied() -> None:
    part = PARTS[Ending.SENT_TWICE]
    seen = as_it_should_be(part)

    line = judge(part, replace(seen, ended_by=mark(seen.trail[1])))

    assert not line.is_right


def lines() -> list[Line]:
    return [judge(part, as_it_should_be(part, n)) for n, part in enumerate(script())]


def all_records(judged: list[Line]) -> list[AuditRecord]:
    """Return the scene's trail: the second half was decided after the kill."""
    records = [record for line in judged for record in line.seen.trail]
    half = len(records) // 2
    return [*records[:half], *map(after_the_kill, records[half:])]


def test_a_scene_as_it_should_be_is_right() -> None:
    judged = lines()

    checks = judge_scene(judged, circumstances(*all_records(judged)))

    assert all(check.is_right for check in checks), checks


@pytest.mark.parametrize("peak", [0, 4])
def test_no_more_waiting_activities_than_slots_prove_nothing(peak: int) -> None:
    judged = lines()

    checks = judge_scene(judged, circumstances(*all_records(judged), peak=peak))

    assert [check.is_right for check in checks] == [False, True, True]


def test_a_scene_without_a_killed_relay_is_not_right() -> None:
    judged = lines()

    checks = judge_scene(judged, circumstances(*all_records(judged), killed=""))

    assert [check.is_right for check in checks] == [True, False, True]


def test_a_relay_that_was_killed_when_all_was_over_proves_nothing() -> None:
    judged = lines()
    records = [record for line in judged for record in line.seen.trail]

    checks = judge_scene(judged, circumstances(*records))

    assert [check.is_right for check in checks] == [True, False, True]


def test_a_record_of_nobodys_makes_the_scene_wrong() -> None:
    judged = lines()
    stranger = audit(SUCCESS, partition=11, offset=1_000)

    checks = judge_scene(judged, circumstances(*all_records(judged), stranger))

    assert [check.is_right for check in checks] == [True, True, False]


def test_taken_over_is_what_was_decided_after_the_kill_on_the_killed_relays_partitions() -> None:
    before = audit(SUCCESS, partition=1, offset=1)
    after = after_the_kill(audit(SUCCESS, partition=1, offset=2))
    elsewhere = after_the_kill(audit(SUCCESS, partition=2, offset=1))

    assert taken_over(circumstances(before, after, elsewhere)) == (after,)


@given(st.lists(audit_records(), max_size=5))
def test_once_each_keeps_the_first_record_of_every_position(trail: list[AuditRecord]) -> None:
    positions = [(record.topic, record.partition, record.offset) for record in trail]

    kept = once_each([*trail, *(replace(record, relay_id="later") for record in trail)])

    assert kept == tuple(trail[positions.index(where)] for where in dict.fromkeys(positions))
