"""One event's decisions come from the index as far as it goes, and from the topic beyond."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pytest
from tests.integration.cli.conftest import Commands
from tests.integration.cli.trail import decision, write
from tests.integration.relay.waiting import Scene, completed, event
from tests.support import Topics

from completion_relay.audit_index import tables
from completion_schemas.audit import AuditRecord
from completion_schemas.dispositions import Disposition
from completion_schemas.events import ActivityReference

SKIP = ("--by", "ann", "--why", "ticket 7", "--yes", "--json")


@pytest.fixture
async def index(
    commands: Commands, topics: Topics, kafka_address: str, tmp_path: Path
) -> tuple[str, ...]:
    """An index with a decision of event `e`, marked so that one sees who answers."""
    file = tmp_path / "audit.duckdb"
    await write(kafka_address, topics, of_event(topics), decision("another"))
    option = ("--database", str(file))
    assert (await commands("audit", "index", *option)).code == 0
    change(file, "update {records} set detail = 'by the index'")
    return option


def of_event(topics: Topics, **changes: Any) -> AuditRecord:
    return decision("e", topic=topics.completions, **changes)


def change(file: Path, sql: str) -> None:
    """Run a statement in the index."""
    with duckdb.connect(file) as db:
        db.execute(sql.format(records=tables.TABLE, progress=tables.PROGRESS))


@pytest.mark.parametrize(("name", "place"), [("e", "0/17"), ("0/17", "0/17")])
async def test_what_the_index_has_is_not_read_on_the_topic(
    commands: Commands, index: tuple[str, ...], name: str, place: str
) -> None:
    done = await commands("skip", name, *SKIP, *index)
    assert done.code == 1
    assert [found["detail"] for found in done.objects] == ["by the index"]
    assert f"Event {name} is decided already: applied (by the index)" in done.err


async def test_what_was_decided_since_is_read_on_the_topic(
    commands: Commands, topics: Topics, kafka_address: str, index: tuple[str, ...]
) -> None:
    again = of_event(topics, offset=18, disposition=Disposition.DUPLICATE, detail="by the topic")
    await write(kafka_address, topics, again, decision("younger", detail="by the topic"))
    skipped = await commands("skip", "e", *SKIP, *index)
    assert [found["detail"] for found in skipped.objects] == ["by the index", "by the topic"]
    shown = await commands("audit", "show", "e", "--json", *index)
    assert shown.objects == skipped.objects
    only_there = await commands("skip", "younger", *SKIP, *index)
    assert [found["detail"] for found in only_there.objects] == ["by the topic"]


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("is not there", "has no index of the audit trail: make it with"),
        ("is of another topic", "its index is of the topic x, not of"),
        ("is of one that was made anew", "the topic was made anew or cut"),
        ("begins later than that", "the topic was made anew or cut"),
    ],
)
async def test_an_index_that_cannot_be_asked_is_named_and_the_topic_is_read(
    commands: Commands, index: tuple[str, ...], how: str, said: str
) -> None:
    wrong = {
        "is not there": f"drop table {tables.ABOUT}",
        "is of another topic": f"update {tables.ABOUT} set topic = 'x'",
        "is of one that was made anew": "update {progress} set next_offset = 99",
        "begins later than that": "update {progress} set begin_offset = 1",
    }
    change(Path(index[1]), wrong[how])
    done = await commands("skip", "e", *SKIP, *index)
    assert done.code == 1
    assert [found["detail"] for found in done.objects] == ["Temporal took it"]
    assert "The index cannot be asked, so the topic is read: " in done.err
    assert said in done.err


async def test_that_there_is_no_such_event_is_true_of_the_topic_too(
    commands: Commands, index: tuple[str, ...]
) -> None:
    done = await commands("skip", "nobody", *SKIP, *index)
    assert done.code == 1
    assert "No event nobody is on" in done.err


async def test_a_replay_by_ids_judges_by_the_index_and_by_what_came_since(
    commands: Commands, scene: Scene, tmp_path: Path
) -> None:
    """The index says `conflict`, the topic `applied`: one sees which was taken."""
    option = ("--database", str(tmp_path / "audit.duckdb"))
    sent = [await put(scene, event_id) for event_id in ("e1", "e2", "other")]
    await write(scene.kafka, scene.topics, sent[0], sent[2])
    assert (await commands("audit", "index", *option)).code == 0
    change(tmp_path / "audit.duckdb", "update {records} set disposition = 'conflict'")
    await write(scene.kafka, scene.topics, sent[1])
    by_ids = ("replay", "--event-id", "e1", "--event-id", "e2", "--look-ups", "0", "--json")
    (plan,) = (await commands(*by_ids, *option)).objects
    assert (plan["to_send"], plan["by_last"]) == (2, {"conflict": 1, "applied": 1})
    (plan,) = (await commands(*by_ids)).objects
    assert plan["by_last"] == {"applied": 2}


async def put(scene: Scene, event_id: str) -> AuditRecord:
    """Put an event; return what a relay would have decided of it."""
    reference = ActivityReference(workflow_id="w", run_id="r", activity_id=event_id)
    at = await scene.emit(event(reference, completed(), event_id=event_id))
    return decision(event_id, topic=at.topic, partition=at.partition, offset=at.offset)
