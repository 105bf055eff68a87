"""An indexer that has the topic open for long: the topic, or the index, may become another one meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.unit.relay.trails import MemoryTrail, decision

from completion_relay.audit_index.duck import DuckFile
from completion_relay.audit_index.following import follow
from completion_relay.audit_index.indexing import Indexer
from completion_relay.audit_index.store import AuditIndexError, OtherTopicError


def append(trail: MemoryTrail, *names: str) -> None:
    for number, name in enumerate(names):
        trail.append(decision(name, decided=number), written=number)


@pytest.fixture
def store(tmp_path: Path) -> DuckFile:
    store = DuckFile(tmp_path / "audit.duckdb")
    store.prepare("audit")
    return store


async def test_what_comes_is_added_to_what_is_there(store: DuckFile) -> None:
    trail = MemoryTrail(partitions=2)
    indexer = Indexer(trail, store)
    for names in (("a", "b"), (), ("c",)):
        append(trail, *names)
        await indexer.catch_up()
    assert [row[2] for row in store.rows(0, 0, 9)] == ["a", "b", "c"]
    assert indexer.added.records == 3


@pytest.mark.parametrize("records", ["p", "pqrstuvw"])
async def test_a_topic_that_is_made_anew_while_it_is_open_is_not_added_to_the_former(
    store: DuckFile, records: str
) -> None:
    """One record is fewer than are indexed, eight are more."""
    trail = MemoryTrail()
    append(trail, "a", "b", "c")
    indexer = Indexer(trail, store)
    await indexer.catch_up()
    trail.make_anew()
    append(trail, *records)
    with pytest.raises(OtherTopicError, match="the topic was made anew or cut"):
        await indexer.catch_up()
    assert [row[2] for row in store.rows(0, 0, 9)] == ["a", "b", "c"]


async def test_an_index_that_is_made_anew_for_another_topic_takes_nothing_of_this_one(
    store: DuckFile,
) -> None:
    trail = MemoryTrail()
    append(trail, "a")
    indexer = Indexer(trail, store)
    await indexer.catch_up()
    store.prepare("another.audit", rebuild=True)
    append(trail, "b")
    with pytest.raises(OtherTopicError, match=r"of the topic another\.audit, not of audit"):
        await indexer.catch_up()
    assert store.progress() == {}


async def test_who_follows_tells_of_all_that_was_added_also_before_it_ended_badly(
    store: DuckFile,
) -> None:
    trail, added = MemoryTrail(), 0
    append(trail, "a", "b", "c")

    def count(records: int) -> None:
        nonlocal added
        added += records
        if added == 3:
            trail.make_anew()

    @contextlib.asynccontextmanager
    async def opened() -> AsyncIterator[MemoryTrail]:
        yield trail

    with pytest.raises(OtherTopicError):
        await follow(opened, store, asyncio.Event(), say=lambda _: None, added=count)
    assert added == 3


def test_a_folder_that_may_not_be_entered_is_the_databases_trouble_and_nobody_elses(
    store: DuckFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An OSError would be told as a Kafka that cannot be reached."""

    def exists(_: Path) -> bool:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "exists", exists)
    with pytest.raises(AuditIndexError, match="cannot be opened: Permission denied: let this user"):
        store.progress()
