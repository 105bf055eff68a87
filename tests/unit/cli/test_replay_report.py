"""What `replay` says of its plan."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import Any, cast

import pytest

from completion_relay.cli.replay_order import How
from completion_relay.cli.replay_report import _rows, _size, print_not_decided
from completion_relay.cli.replay_run import _not_done
from completion_relay.replay.again import Kept
from completion_relay.replay.headers import Position
from completion_relay.replay.plan import Plan, Treated, Treatment
from completion_relay.replay.selection import Selection
from completion_schemas.cloudevents import encode_record
from completion_schemas.dispositions import Disposition
from completion_schemas.events import (
    ActivityReference,
    Completed,
    CompletionEvent,
    Heartbeat,
    Outcome,
    UnixNanos,
)


def test_what_was_deleted_since_the_replay_began_is_said_with_the_most_that_it_can_be() -> None:
    rows = dict(_rows(Plan(cut=3)))
    assert rows["up to 3"] == "deleted from the topic since the replay began, and not sent"


def test_what_an_operator_skipped_is_said_with_how_to_send_it_all_the_same() -> None:
    rows = dict(_rows(Plan(treatments=Counter({Treatment.SKIPPED: 2}))))
    assert "--event-id ID or --disposition skipped sends it all the same" in rows["2"]


def treated(activity: str, outcome: Outcome) -> Treated:
    event = CompletionEvent(
        event_id="e",
        occurred_at=UnixNanos(1),
        activity=ActivityReference(workflow_id="w", run_id="r", activity_id=activity),
        outcome=outcome,
    )
    kept = Kept(Position("completions", 0, 1), 0, encode_record(event))
    return Treated(kept, event, Treatment.SEND, 0)


def planned(*looked: tuple[Treated, str | None], not_asked: int = 0) -> dict[str, str]:
    """Return the rows of a plan of these, by what they say."""
    plan = Plan(treatments=Counter({Treatment.SEND: len(looked) + not_asked}))
    for of, would in looked:
        plan.look(of, would)
    return {what.strip(): events for events, what in _rows(plan)}


def test_several_events_of_one_activity_are_said_to_be_taken_each_alone() -> None:
    """Of 300 that would be applied one was, and 299 were in conflict with it."""
    one, other = treated("1", Completed()), treated("2", Completed())
    rows = planned(*[(of, Disposition.APPLIED) for of in (one, one, one, other)])
    assert (
        rows[
            "would now be: applied, each taken alone: 2 of them come after another of their activity"
        ]
        == "4"
    )


def test_what_does_not_end_an_activity_keeps_no_later_event_of_it_from_being_applied() -> None:
    beat, last = treated("1", Heartbeat()), treated("1", Completed())
    rows = planned(*[(of, Disposition.APPLIED) for of in (beat, beat, last)])
    assert rows["would now be: applied"] == "3"
    same = treated("2", Completed())
    assert planned(*[(same, Disposition.DUPLICATE)] * 2)["would now be: duplicate"] == "2"


def test_what_was_not_looked_at_is_said_with_its_own_cause() -> None:
    rows = planned((treated("1", Completed()), None), not_asked=2)
    assert rows["not looked at: Temporal could not be asked"] == "1"
    assert rows["not looked at (--look-ups)"] == "2"


def test_what_ended_otherwise_is_said_to_be_by_a_replay_only_where_there_was_one() -> None:
    left_out = Counter({Treatment.SINCE: 3, Treatment.OTHERWISE: 4})
    rows = dict(_rows(Plan(treatments=left_out)))
    assert rows["3"] == "left out: ended otherwise since, by a replay"
    assert rows["4"] == "left out: ended otherwise than is asked for, or not decided"


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (999, "999 bytes"),
        (5_530, "5.5 kB"),
        (1_200_000, "1.2 MB"),
        (2_345 * 10**9, "2345.0 GB"),
    ],
)
def test_a_size_is_said_in_a_unit_of_its_own(count: int, said: str) -> None:
    """It was `0.00553 MB`."""
    assert _size(count) == said


def how() -> How:
    return How(
        dry_run=False,
        yes=False,
        from_file=None,
        to_file=None,
        parked_file=None,
        rate=None,
        wait=0.0,
        as_json=False,
    )


def test_where_nothing_would_be_sent_it_is_not_said_how_to_send_it() -> None:
    """It was said to add --yes to send 0 events."""
    left_out = Plan(treatments=Counter({Treatment.SKIPPED: 2}))
    assert _not_done(left_out, how()) == "Nothing was sent, and --yes would send nothing."
    one = Plan(treatments=Counter({Treatment.SEND: 1}))
    assert _not_done(one, how()) == "Nothing was sent: add --yes to send 1 event."


@pytest.mark.parametrize(
    ("since", "said"),
    [
        (None, "No decision about e1, e2 is on completions.audit: "),
        (1, "No decision since 1970-01-01 00:00:00.000Z about e1, e2 is on completions.audit: "),
    ],
)
def test_events_without_a_decision_are_named_with_the_command_that_finds_them(
    since: int | None, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    selection = Selection(since=None if since is None else UnixNanos(since))
    reading = SimpleNamespace(not_decided=["e1", "e2"], order=SimpleNamespace(selection=selection))
    print_not_decided(cast("Any", reading), "completions.audit")
    note = capsys.readouterr().err
    assert note.startswith(said)
    assert note.endswith("see `completion-relay audit show ID`.\n")
