"""Reading the fields of a flat record gives what fastavro gives, and nothing but DecodeError else."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st

from completion_schemas import avro
from completion_schemas.avro_rows import RowReader
from completion_schemas.errors import DecodeError

SCHEMA: dict[str, Any] = {
    "type": "record",
    "name": "Everything",
    "fields": [
        {"name": "text", "type": "string"},
        {"name": "long", "type": "long"},
        {"name": "int", "type": "int"},
        {"name": "flag", "type": "boolean"},
        {"name": "maybe_text", "type": ["null", "string"]},
        {"name": "maybe_long", "type": ["null", "long"]},
        {"name": "maybe_flag", "type": ["null", "boolean"]},
        {
            "name": "rows",
            "type": {
                "type": "array",
                "items": {
                    "type": "record",
                    "name": "Row",
                    "fields": [
                        {"name": "at", "type": "long"},
                        {"name": "status", "type": ["null", "string"]},
                    ],
                },
            },
        },
        {"name": "last", "type": "string"},
    ],
}
PARSED = fastavro.parse_schema(SCHEMA)
LONGS = st.integers(-(2**63), 2**63 - 1)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=80)
ROWS = st.fixed_dictionaries(
    {
        "text": TEXTS,
        "long": LONGS,
        "int": st.integers(-(2**31), 2**31 - 1),
        "flag": st.booleans(),
        "maybe_text": st.none() | TEXTS,
        "maybe_long": st.none() | LONGS,
        "maybe_flag": st.none() | st.booleans(),
        "rows": st.lists(st.fixed_dictionaries({"at": LONGS, "status": st.none() | TEXTS})),
        "last": TEXTS,
    }
)
NAMES = [field["name"] for field in SCHEMA["fields"]]


def written(row: dict[str, Any]) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, PARSED, row)
    return out.getvalue()


@given(row=ROWS, before=st.binary(max_size=12))
def test_what_fastavro_wrote_is_read_from_where_it_begins(
    row: dict[str, Any], before: bytes
) -> None:
    assert RowReader(SCHEMA).read(before + written(row), len(before)) == row


@given(row=ROWS, names=st.sets(st.sampled_from(NAMES)))
def test_only_the_fields_that_are_wanted_are_read(row: dict[str, Any], names: set[str]) -> None:
    wanted = {name: row[name] for name in NAMES if name in names}
    assert RowReader(SCHEMA, frozenset(names)).read(written(row), 0) == wanted


@given(
    row=ROWS,
    at=st.integers(0, 10_000),
    instead=st.binary(max_size=12),
    length=st.integers(0, 12),
    names=st.none() | st.sets(st.sampled_from(NAMES)).map(frozenset),
)
def test_damaged_bytes_are_a_row_or_a_decode_error(
    row: dict[str, Any], at: int, instead: bytes, length: int, names: frozenset[str] | None
) -> None:
    data = written(row)
    start = at % (len(data) + 1)
    with contextlib.suppress(DecodeError):
        RowReader(SCHEMA, names).read(data[:start] + instead + data[start + length :], 0)


@given(row=ROWS)
def test_bytes_that_are_missing_or_left_over_are_refused(row: dict[str, Any]) -> None:
    data = written(row)
    for wrong in (data + b"\0", data[:-1], b""):
        with pytest.raises(DecodeError):
            RowReader(SCHEMA, frozenset()).read(wrong, 0)


def test_an_array_in_blocks_that_say_their_size_is_read() -> None:
    row = {"at": 1, "status": None}
    schema = {"fields": [SCHEMA["fields"][7]]}
    block_of_two_in_four_bytes = b"\x03\x08" + b"\x02\x00" * 2
    assert RowReader(schema).read(block_of_two_in_four_bytes + b"\0", 0) == {"rows": [row, row]}


@pytest.mark.parametrize("version", avro.versions("audit"), ids=lambda schema: f"v{schema.version}")
def test_every_shipped_version_of_the_audit_record_can_be_read(version: avro.Schema) -> None:
    assert RowReader(version.definition)


@pytest.mark.parametrize(
    "kind", ["double", ["string", "null"], ["null", "string", "long"], {"type": "map"}], ids=str
)
def test_a_schema_with_a_type_that_has_no_rule_is_refused(kind: object) -> None:
    with pytest.raises(TypeError, match=r"^odd: "):
        RowReader({"fields": [{"name": "odd", "type": kind}]})
