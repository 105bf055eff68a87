"""What `replay` says of its plan."""

from __future__ import annotations

from collections import Counter

from completion_relay.cli.replay_report import _rows
from completion_relay.replay.plan import Plan, Treatment


def test_what_was_deleted_since_the_replay_began_is_said_with_the_most_that_it_can_be() -> None:
    rows = dict(_rows(Plan(cut=3)))
    assert rows["up to 3"] == "deleted from the topic since the replay began, and not sent"


def test_what_an_operator_skipped_is_said_with_how_to_send_it_all_the_same() -> None:
    rows = dict(_rows(Plan(treatments=Counter({Treatment.SKIPPED: 2}))))
    assert "--event-id ID or --disposition skipped sends it all the same" in rows["2"]
