"""What a look at Temporal says would become of an event that is put again."""

from __future__ import annotations

import dataclasses

import pytest

from completion_relay.connections import temporal_connections
from completion_relay.evidence import Decided, Question
from completion_relay.identity import RecordMark
from completion_relay.replay.again import Changes
from completion_relay.replay.lookups import Asked, LookUps, _away, _outlook
from completion_relay.route import Destination
from completion_relay.settings import Settings, TemporalSettings
from completion_relay.verdict import Answer, Status
from completion_schemas.dispositions import Disposition

ASKED = Asked(
    Destination("", "orders"),
    Question(
        mark=RecordMark("e", "completions", 0, -1),
        outcome="completed",
        workflow_id="w",
        run_id="r",
        activity_id="1",
    ),
    is_heartbeat=False,
)


def test_what_was_failed_for_its_size_would_be_dead_lettered_for_it_again() -> None:
    """A plan said that 3 MB would be a duplicate, and they were too large as before."""
    found = Decided(Disposition.DUPLICATE, "FAILED by e", of_another_in_its_stead=True)
    outlook = _outlook(found, ASKED)
    assert outlook.would == "dead_lettered (too_large)"
    assert outlook.detail.startswith("failed in its stead, and unless the limit was raised")


@pytest.mark.parametrize(
    ("of_another_in_its_stead", "is_called_too_large"), [(False, False), (True, True)]
)
def test_what_was_not_too_large_itself_would_be_a_duplicate(
    *, of_another_in_its_stead: bool, is_called_too_large: bool
) -> None:
    """A failure of the callee's own may be of the type that stands for one that is too large."""
    found = Decided(
        Disposition.DUPLICATE, "FAILED by e", of_another_in_its_stead=of_another_in_its_stead
    )
    asked = Asked(
        ASKED.to, ASKED.question, is_heartbeat=False, is_called_too_large=is_called_too_large
    )
    assert _outlook(found, asked).would == Disposition.DUPLICATE


async def test_a_cluster_that_is_away_is_said_with_the_reason_alone() -> None:
    """Its client says it in Rust's debug format."""
    looks = LookUps(
        Settings(temporal=TemporalSettings(address="127.0.0.1:1")), Changes("completions")
    )
    asked = dataclasses.replace(ASKED, to=Destination(looks._connections[0].name, "orders"))
    assert await looks.look(asked) is None
    (said,) = looks.away
    assert said.startswith(
        "Temporal at 127.0.0.1:1 could not be reached: Connection refused: check"
    )


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (Status.UNAVAILABLE, "could not be reached: rate limit exceeded: check that it runs"),
        (Status.RESOURCE_EXHAUSTED, "answered RESOURCE_EXHAUSTED: rate limit exceeded: try again"),
    ],
)
def test_a_server_that_answers_is_not_said_to_be_away(status: Status, said: str) -> None:
    """Many look-ups may meet a rate limit, and one was told to check that it runs."""
    (connection,) = temporal_connections(
        Settings(temporal=TemporalSettings(address="127.0.0.1:1")).temporal
    )
    text = _away(connection, Answer(status, "rate limit exceeded"))
    assert text.startswith(f"Temporal at 127.0.0.1:1 {said}")
