"""`completion-relay audit export`: the same decisions in three formats, from a real broker."""

from __future__ import annotations

import csv
import io
import json
import os
from pathlib import Path

import pyarrow.parquet
import pytest
from tests.integration.cli.conftest import Commands
from tests.integration.cli.trail import decision, write
from tests.support import Topics, produce

from completion_schemas.audit import AuditRecord, audit_to_json_dict
from completion_schemas.dispositions import DeadLetterReason, Disposition


@pytest.fixture
async def records(topics: Topics, kafka_address: str) -> list[AuditRecord]:
    """What is on the topic, beside a record that is none."""
    found = [
        decision("e1", detail='a "quoted", detail\nof two lines', replay_of="completions/0/3"),
        decision(
            "e2",
            disposition=Disposition.DEAD_LETTERED,
            reason=DeadLetterReason.INVALID,
            occurred_at=None,
            redelivery=True,
        ),
    ]
    await write(kafka_address, topics, *found)
    await produce(kafka_address, topics.audit, b"garbage")
    return found


def by_event(rows: list[dict[str, object]]) -> list[dict[str, object]]:
    return sorted(rows, key=lambda row: str(row["event_id"]))


async def test_parquet_has_the_fields_and_types_of_the_contract(
    commands: Commands, records: list[AuditRecord], tmp_path: Path
) -> None:
    file = tmp_path / "trail.parquet"
    done = await commands("audit", "export", "--output", str(file))
    assert done.code == 0, done.err
    assert f"2 decisions written to {file} as parquet." in done.err
    assert "1 record on the topic cannot be read" in done.err
    table = pyarrow.parquet.read_table(file)
    assert by_event(table.to_pylist()) == [audit_to_json_dict(record) for record in records]
    assert [
        str(table.schema.field(name).type) for name in ("decided_at", "tries", "redelivery")
    ] == [
        "int64",
        "int32",
        "bool",
    ]
    assert set(os.listdir(tmp_path)) == {"relay.toml", file.name}  # noqa: PTH208 - and no FILE.part


async def test_json_lines_are_what_json_prints(
    commands: Commands, records: list[AuditRecord], tmp_path: Path
) -> None:
    file = tmp_path / "trail.jsonl"
    assert (await commands("audit", "export", "-o", str(file))).code == 0
    with file.open() as lines:
        rows = [json.loads(line) for line in lines]
    assert by_event(rows) == [audit_to_json_dict(record) for record in records]
    done = await commands("audit", "export")
    assert by_event(done.objects) == by_event(rows)


async def test_csv_has_a_line_of_names_and_null_as_an_empty_field(
    commands: Commands, records: list[AuditRecord]
) -> None:
    done = await commands("audit", "export", "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(done.out)))
    wanted = []
    for record in records:
        fields = audit_to_json_dict(record) | {"redelivery": str(record.redelivery).lower()}
        wanted.append({name: "" if v is None else str(v) for name, v in fields.items()})
    assert sorted(rows, key=lambda row: row["event_id"]) == wanted


async def test_only_what_is_asked_for_is_exported_and_nothing_is_no_failure(
    commands: Commands, records: list[AuditRecord]
) -> None:
    done = await commands("audit", "export", "--reason", "invalid")
    assert [row["event_id"] for row in done.objects] == ["e2"]
    done = await commands("audit", "export", "--event-id", "e3")
    assert (done.code, done.out) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--format", "parquet"), "error: Parquet is no text: give a file with --output"),
        (("-o", "/nowhere/trail.csv"), "error: /nowhere/trail.csv cannot be written: No such file"),
    ],
)
async def test_what_cannot_be_written_is_refused_with_the_fix(
    commands: Commands, arguments: tuple[str, ...], said: str
) -> None:
    done = await commands("audit", "export", *arguments)
    assert done.code == 2
    assert done.err.startswith(said)
    assert done.err.count("\n") == 1
