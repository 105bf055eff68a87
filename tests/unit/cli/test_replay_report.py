"""What `replay` says of its plan."""

from __future__ import annotations

from completion_relay.cli.replay_report import _rows
from completion_relay.replay.plan import Plan


def test_what_was_deleted_since_the_replay_began_is_said_with_the_most_that_it_can_be() -> None:
    rows = dict(_rows(Plan(cut=3)))
    assert rows["up to 3"] == "deleted from the topic since the replay began, and not sent"
