"""What `audit show` tells where not all of it can be had."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import GroupAuthorizationFailedError, KafkaError
from tests.unit.relay.trails import SECOND, decision
from typer.testing import CliRunner, Result

from completion_relay import audit_original
from completion_relay.cli.app import app
from completion_relay.cli.audit import show
from completion_relay.cli.audit.decisions import Decisions
from completion_relay.cli.audit.options import selection
from completion_relay.settings import Settings
from completion_relay.topic_admin import TopicError
from completion_relay.undecided.record import Undecided
from completion_relay.undecided.search import Found, Wanted
from completion_schemas.audit import AuditRecord
from completion_schemas.times import UnixNanos

WANTED = Wanted("e")
ASKED = selection(since=None, event_id="e")


def has(monkeypatch: pytest.MonkeyPatch, *records: AuditRecord, looked: Found | KafkaError) -> None:
    """Have the trail hold these records, and a look among the undecided come to something."""

    async def decided(*_: Any) -> Decisions:
        return Decisions(list(records), [])

    async def originals(*_: Any) -> tuple[dict[Any, Any], dict[str, str]]:
        return {}, {}

    async def look(*_: Any) -> Found:
        if isinstance(looked, KafkaError):
            raise looked
        return looked

    monkeypatch.setattr(show, "decisions_on", decided)
    monkeypatch.setattr(show, "originals", originals)
    monkeypatch.setattr(show, "look", look)


async def test_who_may_not_see_the_group_is_told_what_the_trail_has(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    has(monkeypatch, decision("e", decided=1), looked=GroupAuthorizationFailedError())
    story = await show._story(Settings(), WANTED, ASKED, whole=True)
    assert story.records
    assert story.not_looked == "GroupAuthorizationFailedError"


async def test_where_the_trail_has_nothing_a_refusal_is_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Or an event that waits would be said to be nowhere."""
    has(monkeypatch, looked=GroupAuthorizationFailedError())
    with pytest.raises(GroupAuthorizationFailedError):
        await show._story(Settings(), WANTED, ASKED, whole=True)


def test_where_an_earlier_decision_was_not_asked_for_it_is_not_said_that_there_is_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    has(monkeypatch, looked=Found())
    command = ["audit", "show", "e", "--from", "2026-01-31"]
    done = CliRunner().invoke(app, command, prog_name="completion-relay")
    assert done.exit_code == 1
    assert "No decision about event e since 2026-01-31 00:00:00.000Z is on" in done.stderr
    assert ": it was decided before --from, it was not sent to completions" in done.stderr


async def test_what_was_decided_a_moment_ago_does_not_wait_as_well(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A commit can be seen a little later than the records of the same transaction."""
    waits = Undecided(
        topic="completions",
        partition=0,
        offset=7,
        first_partition=0,
        first_offset=7,
        written_at=UnixNanos(0),
        event_id="e",
        type="completed",
        is_event=True,
    )
    again = dataclasses.replace(waits, offset=9, first_offset=9)
    record = dataclasses.replace(decision("e", decided=1), offset=7)
    found = Found(undecided={event.place: event for event in (waits, again)})
    has(monkeypatch, record, looked=found)
    story = await show._story(Settings(), WANTED, ASKED, whole=True)
    assert story.undecided("completions") == [again]


async def test_a_program_is_told_the_records_and_nothing_is_looked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    has(monkeypatch, looked=GroupAuthorizationFailedError())
    assert (await show._story(Settings(), WANTED, ASKED, whole=False)).not_looked == ""


def test_a_program_is_told_how_far_an_index_goes_that_answers_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A later decision may be on the topic, which cannot be read."""

    async def decided(*_: Any) -> Decisions:
        return Decisions([decision("e", decided=1)], [], 7 * SECOND)

    monkeypatch.setattr(show, "decisions_on", decided)
    done = CliRunner().invoke(app, ["audit", "show", "e", "--json"], prog_name="completion-relay")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["event_id"] == "e"
    assert "The index goes as far as 1970-01-01 00:00:07.000Z" in done.stderr


async def test_a_topic_that_takes_too_long_is_named_with_why_and_what_was_read_stays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is not called one that is not there."""

    class Slow:
        @classmethod
        @contextlib.asynccontextmanager
        async def open(cls, _: object, topic: str) -> AsyncIterator[Slow]:
            if topic == "gone":
                raise TopicError("topic gone does not exist")
            yield cls()

        async def record_at(self, _: TopicPartition, offset: int) -> None:
            if offset:
                await asyncio.Event().wait()

    monkeypatch.setattr(audit_original, "_LOOK_SECONDS", 0.01)
    monkeypatch.setattr(audit_original, "TopicReader", Slow)
    places = [("slow", 0, 0), ("slow", 0, 1), ("gone", 0, 0)]
    found, not_read = await audit_original.originals({}, places)
    assert found == {("slow", 0, 0): None}
    assert not_read == {
        "gone": "is not there, or this user may not see it",
        "slow": "took more than 0.01 s",
    }


def told(
    monkeypatch: pytest.MonkeyPatch, *records: AuditRecord, config: Path, options: str = ""
) -> Result:
    """Return what is shown of an event that has these records; Temporal says nothing new."""

    async def ask(*_: Any) -> str:
        return "as it was"

    @contextlib.contextmanager
    def reaching(_: Any) -> Iterator[None]:
        yield

    has(monkeypatch, *records, looked=Found())
    monkeypatch.setattr(show, "ask", ask)
    monkeypatch.setattr(show, "reaching_temporal", reaching)
    args = ["audit", "show", "e", "--config", str(config), *options.split()]
    return CliRunner().invoke(app, args, prog_name="completion-relay")


def of_activity(number: int, namespace: str = "orders") -> AuditRecord:
    ids = {"workflow_id": "w", "run_id": "r", "activity_id": str(number)}
    return decision("e", decided=number + 1, namespace=namespace, **ids)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Settings of two clusters; neither says where its UI is."""
    file = tmp_path / "relay.toml"
    file.write_text(
        "[temporal]\naddress = '127.0.0.1:1'\n"
        "[[temporal.clusters]]\nname = 'west'\naddress = '127.0.0.1:1'\nnamespaces = ['orders']\n"
    )
    return file


NO_LINKS = "There are no links to Temporal's UI: set "


def test_where_there_is_no_link_the_settings_that_give_one_are_named_once(
    monkeypatch: pytest.MonkeyPatch, config: Path
) -> None:
    records = [of_activity(1), of_activity(2), of_activity(3, "west/orders")]
    done = told(monkeypatch, *records, config=config)
    both = "temporal.ui_url and ui_url of the [[temporal.clusters]] west"
    assert done.stderr == f"{NO_LINKS}{both}.\n"
    done = told(monkeypatch, *records[:2], config=config)
    assert done.stderr == f"{NO_LINKS}temporal.ui_url.\n"


def test_no_setting_is_named_where_it_would_give_no_link(
    monkeypatch: pytest.MonkeyPatch, config: Path
) -> None:
    """The run is not known, or nobody asks Temporal, or the setting is there."""
    unknown = dataclasses.replace(of_activity(1), run_id="")
    assert told(monkeypatch, unknown, config=config).stderr == ""
    assert told(monkeypatch, of_activity(1), config=config, options="--no-temporal").stderr == ""
    monkeypatch.setenv("COMPLETION_RELAY_TEMPORAL__UI_URL", "http://ui:8233")
    done = told(monkeypatch, of_activity(1), config=config)
    assert "http://ui:8233/namespaces/orders/workflows/w/r/history" in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("activities", "said"),
    [
        (5, ""),
        (6, "1 more activity of this event is not"),
        (8, "3 more activities of this event are not"),
    ],
)
def test_activities_that_are_not_asked_about_are_counted(
    monkeypatch: pytest.MonkeyPatch, config: Path, activities: int, said: str
) -> None:
    done = told(monkeypatch, *map(of_activity, range(activities)), config=config)
    assert done.stdout.count("now at Temporal") == 5
    assert said in done.stderr
    assert bool(said) is ("asked about" in done.stderr)


@pytest.mark.parametrize(("deliveries", "said"), [(20, ""), (23, "and not of 3 more.")])
def test_deliveries_whose_own_records_are_not_read_are_counted(
    monkeypatch: pytest.MonkeyPatch, config: Path, deliveries: int, said: str
) -> None:
    records = [of_activity(1)] * deliveries
    done = told(monkeypatch, *records, config=config, options="--no-temporal")
    assert said in done.stderr
    assert bool(said) is ("own records" in done.stderr)
