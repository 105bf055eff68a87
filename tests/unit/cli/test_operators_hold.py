"""An event that an operator parked is said to wait until the operator's time."""

from __future__ import annotations

import dataclasses

import pytest

from completion_relay.cli.audit.story import print_waits
from completion_relay.cli.status_report import _undecided
from completion_relay.cli.times import show_time
from completion_relay.instruction import Hold
from completion_relay.status.judge import Oldest
from completion_relay.undecided.record import Undecided
from completion_schemas.times import UnixNanos

MINUTE = 60 * 10**9
NOW = UnixNanos(1_700_000_000 * 10**9)
UNTIL = UnixNanos(NOW + 60 * MINUTE)
NEXT = UnixNanos(NOW + MINUTE)
"""When the parked copy comes by, and is written anew if it is still to wait."""
HELD = Undecided(
    topic="completions.parked",
    partition=0,
    offset=9,
    first_partition=0,
    first_offset=7,
    written_at=NOW,
    event_id="early1",
    type="completed",
    is_event=True,
    parked_times=2,
    not_before=NEXT,
    reason="by ann: ticket 7",
    hold=Hold(by="ann", why="ticket 7", until=UNTIL),
)
ENDED = dataclasses.replace(
    HELD,
    reason="the activity is not scheduled yet",
    hold=Hold(by="ann", why="ticket 7", until=UnixNanos(NOW - MINUTE)),
)


def of_status(event: Undecided) -> str:
    found = Oldest(event=event, age_seconds=60.0, here_seconds=60.0, is_stuck=False)
    return _undecided(found, NOW)[-1]


def of_show(event: Undecided, capsys: pytest.CaptureFixture[str]) -> str:
    print_waits([event], NOW)
    return capsys.readouterr().out


def test_what_an_operator_parked_waits_until_the_operators_time(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The time of its next pass was shown: a minute ahead, of an hour."""
    assert of_status(HELD) == f"parked by ann until {show_time(UNTIL)}: ticket 7"
    said = of_show(HELD, capsys)
    assert f"parked by  ann until {show_time(UNTIL)}" in said
    assert "why        ticket 7\n" in said
    assert show_time(NEXT) not in said


def test_an_event_whose_hold_is_over_is_tried_again_at_its_own_time(
    capsys: pytest.CaptureFixture[str],
) -> None:
    again = f"again by {show_time(NEXT)}: the activity is not scheduled yet"
    assert of_status(ENDED) == f"parked 2 times, {again}"
    said = of_show(ENDED, capsys)
    assert f"tried again by  {show_time(NEXT)}" in said
    assert "ann" not in said
