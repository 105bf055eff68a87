"""The bench's own events and pace."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.bench import pace
from tests.bench.errors import TooSlowError
from tests.bench.events import completed, completions, reference, task_token
from tests.bench.report import Target

from completion_relay.task_token import read_token
from completion_schemas.cloudevents import decode_record


@given(st.integers(0, 99_999_998))
def test_a_record_from_the_template_is_the_event_of_its_number(number: int) -> None:
    first, second = completions(number, 2)
    for record, expected in ((first, number), (second, number + 1)):
        made = completed(reference(expected))
        event = decode_record(record.headers, record.value)
        assert record.key == made.key
        assert event == dataclasses.replace(
            decode_record(made.headers, made.value), occurred_at=event.occurred_at
        )


@given(st.integers(0, 99_999_999))
def test_a_token_reads_like_one_of_temporals_and_ends_in_its_number(number: int) -> None:
    token = task_token(number)
    hint = read_token(token)
    assert hint is not None
    assert hint.activity_id == f"{number:08d}"
    assert int(token[-8:]) == number
    assert len(token) < 128


@pytest.mark.parametrize(
    ("value", "at_most", "met"), [(1.2, True, True), (1.3, True, False), (1.2, False, True)]
)
def test_a_target_is_met_at_its_limit(value: float, at_most: bool, met: bool) -> None:  # noqa: FBT001 - a parameter of the test
    assert Target("x", value, 1.2, at_most=at_most).met is met


async def test_the_pace_is_kept_whatever_the_answers_take(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "_LATE_SECONDS", 60.0)  # a machine may stand still
    begun: list[float] = []
    ended = asyncio.Event()

    async def start(number: int) -> None:
        begun.append(asyncio.get_running_loop().time())
        if number == 19:
            ended.set()
        await ended.wait()  # no answer comes before the last one has begun

    await asyncio.wait_for(pace.paced(20, 1_000, start), 60)
    assert begun[-1] - begun[0] >= 0.018


async def test_a_machine_that_is_too_slow_for_the_pace_is_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def start(_: int) -> None:
        raise AssertionError("nothing is begun")

    monkeypatch.setattr(pace, "_LATE_SECONDS", -1.0)  # even in time is too late
    with pytest.raises(TooSlowError, match="call 1 of 2"):
        await pace.paced(2, 1_000, start)
