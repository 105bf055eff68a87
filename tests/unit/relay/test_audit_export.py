"""A file of decisions is there as a whole or not at all."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.strategies import audit_records
from tests.unit.relay.trails import decision

from completion_relay.audit_export import ExportError, Format, exported, format_of, written_to
from completion_schemas.audit import AuditRecord, audit_fields, audit_to_json_dict, encode_audit

ROW: dict[str, Any] = audit_to_json_dict(decision("e", decided=1))


@pytest.mark.parametrize("kind", Format)
def test_an_error_leaves_the_old_file_and_no_part_of_a_new_one(
    kind: Format, tmp_path: Path
) -> None:
    file = tmp_path / "trail"
    file.write_text("old")

    def break_off() -> None:
        with exported(file, kind) as writer:
            writer.write([ROW])
            raise RuntimeError

    with pytest.raises(RuntimeError):
        break_off()
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


def test_an_error_of_others_in_between_stays_what_it_is(tmp_path: Path) -> None:
    """Kafka's time-outs are OSErrors, too."""
    with pytest.raises(TimeoutError), exported(tmp_path / "trail", Format.CSV):
        raise TimeoutError


def test_parquet_without_pyarrow_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with (
        pytest.raises(ExportError, match=r"install completion-relay\[parquet\]"),
        exported(tmp_path / "trail.parquet", Format.PARQUET),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


@given(made=st.lists(audit_records(), max_size=5))
def test_json_lines_lose_nothing(made: list[AuditRecord]) -> None:
    stream = io.StringIO()
    writer = written_to(stream, Format.JSONL)
    writer.write([audit_fields(encode_audit(record)) for record in made])
    # Not splitlines(): U+2028 is a character like any other in JSON.
    lines = stream.getvalue().split("\n")[:-1]
    assert [json.loads(line) for line in lines] == [audit_to_json_dict(record) for record in made]


# What a reader may take for the end of a row, of a field or of a text.
SEPARATING = st.text(st.sampled_from('\r\n",; \ta\x00\x0b\x85\u2028'))


@given(made=st.lists(audit_records(), max_size=5), details=st.lists(SEPARATING, min_size=5))
def test_csv_loses_no_text_and_separates_rows_by_line_feeds(
    made: list[AuditRecord], details: list[str]
) -> None:
    made = [
        dataclasses.replace(record, detail=detail, workflow_id=detail[::-1])
        for record, detail in zip(made, details, strict=False)
    ]
    stream = io.StringIO(newline="")
    writer = written_to(stream, Format.CSV)
    writer.write([audit_fields(encode_audit(record)) for record in made])
    rows = list(rfc4180(stream.getvalue()))
    assert rows == list(csv.reader(io.StringIO(stream.getvalue(), newline=""), strict=True))
    names, *rest = rows
    assert [dict(zip(names, row, strict=True)) for row in rest] == [
        {name: as_csv(value) for name, value in audit_to_json_dict(record).items()}
        for record in made
    ]


def as_csv(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return "" if value is None else str(value)


def rfc4180(text: str) -> Iterator[list[str]]:
    """Yield the rows as a reader by the letter of RFC 4180 has them that takes any line break outside quotes."""
    row: list[str] = []
    for quoted, plain, end in re.findall(r'(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r\n|\r|\n)', text):
        row.append(quoted.replace('""', '"') or plain)
        if end != ",":
            yield row
            row = []


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.jsonl", Format.JSONL),
        ("a.CSV", Format.CSV),
        ("a.parquet", Format.PARQUET),
        ("a.txt", None),
        ("parquet", None),
    ],
)
def test_a_files_ending_says_its_format(name: str, kind: Format | None) -> None:
    assert format_of(Path(name)) is kind
