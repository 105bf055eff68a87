"""`completion-relay audit index`, and the commands that ask what it keeps, on a real broker and databases."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.bench.reading import _write as write_many
from tests.integration.cli.conftest import Commands
from tests.integration.cli.trail import decision, write
from tests.support import PARTITIONS, Topics, eventually, produce

from completion_relay.audit_index import tables
from completion_relay.audit_index.opening import store_at
from completion_relay.audit_index.store import NoIndexError
from completion_relay.cli.times import show_time
from completion_schemas.audit import encode_audit
from completion_schemas.dispositions import DeadLetterReason, Disposition

MANY = 60_000
"""More than two batches of an indexer."""


async def started(commands: Commands, *args: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "completion_relay", *args, "--config", str(commands.config)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=os.environ,
    )


async def begun(database: str) -> int:
    """Return how many records an indexer has written by now."""
    try:
        progress = await asyncio.to_thread(store_at(database).progress)
    except NoIndexError:
        return 0
    return sum(of.records for of in progress.values())


async def equal(commands: Commands, database: str) -> int:
    """Return how many records the index has, which the topic has, too."""
    done = await commands("audit", "index", "--database", database, "--verify", "--json")
    assert done.code == 0, done.out + done.err
    assert all(found["equal"] for found in done.objects)
    assert all(found["records"] == found["compared"] for found in done.objects)
    return sum(found["records"] for found in done.objects)


async def test_the_index_answers_as_the_topic_does(
    commands: Commands, topics: Topics, kafka_address: str, database: str, tmp_path: Path
) -> None:
    records = [
        decision("e1", workflow_id="w"),
        decision("e2", disposition=Disposition.DUPLICATE, namespace="billing"),
        decision("e3", disposition=Disposition.DEAD_LETTERED, reason=DeadLetterReason.INVALID),
        decision("e1", disposition=Disposition.CONFLICT, tries=3),
    ]
    await write(kafka_address, topics, *records)
    done = await commands("audit", "index", "--database", database, "--json")
    assert done.code == 0, done.err
    (summary,) = done.objects
    assert (summary["added"], summary["records"], summary["unreadable"]) == (4, 4, 0)
    asked: Sequence[Sequence[str]] = [
        ("list", "--json"),
        ("list", "--limit", "2"),
        ("list", "--namespace", "billing"),
        ("list", "--disposition", "dead_lettered", "--reason", "invalid", "--json"),
        ("list", "--event-id", "nobody"),
        ("show", "e1", "--json"),
        ("export",),
    ]
    for args in asked:
        of_topic, of_index = await asyncio.gather(
            commands("audit", *args), commands("audit", *args, "--database", database)
        )
        assert (of_index.code, sorted(of_index.out.splitlines())) == (
            of_topic.code,
            sorted(of_topic.out.splitlines()),
        ), of_index.err
        if args[0] == "list":
            assert of_index.out == of_topic.out


@pytest.mark.parametrize("args", [("list",), ("list", "--json"), ("export",)], ids=" ".join)
async def test_what_asks_the_index_says_how_far_it_goes(
    commands: Commands, topics: Topics, kafka_address: str, tmp_path: Path, args: tuple[str, ...]
) -> None:
    """Nobody takes a stale answer for the whole one; and on standard output nothing mixes with it."""
    record = decision("first")
    await write(kafka_address, topics, record)
    option = ("--database", str(tmp_path / "audit.duckdb"))
    assert (await commands("audit", "index", *option)).code == 0
    await write(kafka_address, topics, decision("second"))
    done = await commands("audit", *args, *option)
    said = f"The index goes as far as {show_time(record.decided_at)}.\n"
    assert done.err.endswith(said), done.err
    assert said not in done.out
    assert "The index goes" not in (await commands("audit", *args)).err


async def test_the_setting_names_the_index_and_none_asks_the_topic(
    commands: Commands, topics: Topics, kafka_address: str, tmp_path: Path
) -> None:
    file = tmp_path / "audit.duckdb"
    variables = {"COMPLETION_RELAY_AUDIT__DATABASE": str(file)}
    await write(kafka_address, topics, decision("first"))
    assert (await commands("audit", "index", variables=variables)).code == 0
    await write(kafka_address, topics, decision("second"))
    indexed = await commands("audit", "list", "--json", variables=variables)
    read = await commands("audit", "list", "--json", "--database", "none", variables=variables)
    assert [len(done.objects) for done in (indexed, read)] == [1, 2]


async def test_a_second_run_adds_only_what_came_since(
    commands: Commands, topics: Topics, kafka_address: str, database: str
) -> None:
    await write(kafka_address, topics, decision("e1"), decision("e2"))
    added = []
    for more in ((), (decision("e3"),)):
        await write(kafka_address, topics, *more)
        done = await commands("audit", "index", "--database", database, "--json")
        added.append(done.objects[0]["added"])
    assert added == [2, 1]
    assert await equal(commands, database) == 3


async def test_an_indexer_that_was_killed_leaves_nothing_doubled_and_nothing_missing(
    commands: Commands, topics: Topics, kafka_address: str, database: str
) -> None:
    await write_many(kafka_address, topics.audit, MANY)
    indexer = await started(commands, "audit", "index", "--database", database)
    await eventually(lambda: begun(database), timeout=60, what="a batch is written")
    indexer.kill()
    await indexer.wait()
    before = await begun(database)
    done = await commands("audit", "index", "--database", database, "--json")
    assert done.code == 0, done.err
    assert done.objects[0]["added"] == MANY - before
    assert await equal(commands, database) == MANY


async def test_two_indexers_at_once_write_each_record_once(
    commands: Commands, topics: Topics, kafka_address: str, database: str
) -> None:
    await write_many(kafka_address, topics.audit, MANY)
    both = await asyncio.gather(
        *(commands("audit", "index", "--database", database, "--json") for _ in range(2))
    )
    assert [done.code for done in both] == [0, 0], [done.err for done in both]
    assert sum(done.objects[0]["added"] for done in both) == MANY
    assert await equal(commands, database) == MANY


async def test_an_indexer_that_follows_takes_what_comes_and_ends_well_when_told(
    commands: Commands, topics: Topics, kafka_address: str, database: str
) -> None:
    await write(kafka_address, topics, decision("first"))
    indexer = await started(commands, "audit", "index", "--database", database, "-f", "--json")

    async def has(count: int) -> bool:
        return await begun(database) == count

    await eventually(lambda: has(1), timeout=60, what="the first is indexed")
    await write(kafka_address, topics, decision("second"))
    await eventually(lambda: has(2), timeout=60, what="the second is indexed")
    indexer.send_signal(signal.SIGTERM)
    out, _ = await indexer.communicate()
    assert indexer.returncode == 0
    assert b'"added":2' in out


async def test_verify_names_the_partition_whose_rows_are_not_the_topics(
    commands: Commands, topics: Topics, kafka_address: str, database: str
) -> None:
    for partition in range(PARTITIONS):
        await write_to(kafka_address, topics, partition)
    assert (await commands("audit", "index", "--database", database)).code == 0
    change(database, f"update {tables.TABLE} set tries = 9 where audit_partition = 2")
    change(database, f"delete from {tables.TABLE} where audit_partition = 3")
    done = await commands("audit", "index", "--database", database, "--verify", "--json")
    assert done.code == 1
    assert [found["partition"] for found in done.objects if not found["equal"]] == [2, 3]
    said = await commands("audit", "index", "--database", database, "--verify")
    assert "differs from the topic in 2 partitions: make the index anew with --rebuild" in said.err
    assert (await commands("audit", "index", "--database", database, "--rebuild")).code == 0
    assert await equal(commands, database) == PARTITIONS


@pytest.mark.parametrize(
    "made_anew",
    [
        ("next_offset = 99", "at offset 99"),
        # By its last row: the offsets alone would let one pass that has grown since.
        ("last_digest = '00'", "has another record than its index"),
    ],
)
async def test_a_topic_that_was_cut_or_made_anew_is_refused_with_the_fix(
    commands: Commands,
    topics: Topics,
    kafka_address: str,
    database: str,
    made_anew: tuple[str, str],
) -> None:
    changed, said = made_anew
    await write(kafka_address, topics, decision("e"))
    assert (await commands("audit", "index", "--database", database)).code == 0
    change(database, f"update {tables.PROGRESS} set {changed}")
    done = await commands("audit", "index", "--database", database)
    assert done.code == 2
    assert said in done.err
    assert "the topic was made anew or cut: make the index anew with --rebuild" in done.err
    # Who asks for one event is answered all the same, by the topic.
    shown = await commands("audit", "show", "e", "--database", database, "--no-temporal")
    assert shown.code == 0
    assert "The index cannot be asked, so the topic is read" in shown.err


async def test_verify_names_a_partition_that_the_topic_has_not(
    commands: Commands, topics: Topics, kafka_address: str, database: str
) -> None:
    await write(kafka_address, topics, decision("e"))
    assert (await commands("audit", "index", "--database", database)).code == 0
    change(
        database,
        f"insert into {tables.PROGRESS} values (99, 0, 1, 0, 0, null, '0', null, '')",
    )
    done = await commands("audit", "index", "--database", database, "--verify")
    assert done.code == 1
    assert "the topic has no such partition" in done.out


async def test_verify_tells_what_is_not_indexed_yet(
    commands: Commands, topics: Topics, kafka_address: str, database: str
) -> None:
    await write(kafka_address, topics, decision("e"))
    assert (await commands("audit", "index", "--database", database)).code == 0
    await write(kafka_address, topics, decision("e"))
    done = await commands("audit", "index", "--database", database, "--verify", "--json")
    assert done.code == 0
    assert sum(found["not_indexed"] for found in done.objects) == 1


async def test_what_is_no_audit_record_is_counted_and_stops_nothing(
    commands: Commands, topics: Topics, kafka_address: str, database: str
) -> None:
    await produce(kafka_address, topics.audit, b"garbage")
    await produce(kafka_address, topics.audit, None, key=b"e")
    await write(kafka_address, topics, decision("e"))
    done = await commands("audit", "index", "--database", database)
    assert done.code == 0
    assert "2 records on the topic cannot be read as audit records" in done.err
    assert await equal(commands, database) == 1


async def test_without_an_index_the_command_that_makes_one_is_named(
    commands: Commands, tmp_path: Path
) -> None:
    done = await commands("audit", "list", "--database", str(tmp_path / "none.duckdb"))
    assert (done.code, done.out) == (2, "")
    assert "has no index of the audit trail: make it with `completion-relay audit index" in done.err
    assert not (tmp_path / "none.duckdb").exists()


async def test_a_file_that_is_no_database_is_left_alone(commands: Commands, tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("mine " * 1_000)
    done = await commands("audit", "index", "--database", str(file))
    assert done.code == 2
    assert done.err.startswith(f"error: database {file} cannot be opened")
    assert file.read_text().startswith("mine")


@pytest.mark.parametrize(
    "database",
    ["postgresql://ann:s3cret@127.0.0.1:1/relay", "postgresql://ann:s3#cret@127.0.0.1:1/relay"],
)
async def test_a_database_that_is_away_is_told_without_its_password(
    commands: Commands, database: str
) -> None:
    done = await commands("audit", "list", "--database", database)
    assert (done.code, done.out) == (2, "")
    assert done.err.count("\n") == 1
    assert done.err.startswith("error: database postgresql://")
    assert "cret" not in done.err


async def write_to(kafka: str, topics: Topics, partition: int) -> None:
    await produce(kafka, topics.audit, encode_audit(decision("e")), partition=partition)


def change(database: str, sql: str) -> None:
    """Run a statement beside the store."""
    connect: Any
    if "://" in database:
        from psycopg import connect  # noqa: PLC0415 - an extra
    else:
        from duckdb import connect  # noqa: PLC0415 - the same
    with connect(database) as db:
        db.execute(sql)
