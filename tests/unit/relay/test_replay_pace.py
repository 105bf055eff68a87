"""`replay --rate`: what a replay has sent is never ahead of what was asked for by more than a second or two."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from completion_relay.replay import sending


@given(
    rate=st.floats(1.0, 500.0),
    works=st.lists(st.floats(0.0, 5.0), min_size=1, max_size=30),
)
def test_events_are_sent_no_faster_than_the_rate_whatever_sending_takes(
    rate: float, works: list[float]
) -> None:
    now, sent = 1_000.0, []

    async def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sending, "time", SimpleNamespace(monotonic=lambda: now))
        patch.setattr(sending, "sleep", sleep)
        pace = sending._Pace(rate)
        for seconds in works:
            now += seconds
            sent.append((now, pace.records))
            _run(pace, pace.records)
    for first, (begun, _) in enumerate(sent):
        for last in range(first, len(sent)):
            count = sum(records for _, records in sent[first : last + 1])
            # What a second takes may go at once, and one second late is made up for.
            assert count <= rate * (sent[last][0] - begun + 2.0) + 1


def _run(pace: sending._Pace, count: int) -> None:
    coroutine = pace.after(count)
    with pytest.raises(StopIteration):
        coroutine.send(None)


def test_without_a_rate_nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    async def sleep(seconds: float) -> None:
        raise AssertionError(f"waited {seconds} s")

    monkeypatch.setattr(sending, "sleep", sleep)
    _run(sending._Pace(None), 10_000)
