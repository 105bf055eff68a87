"""Decoding records side by side gives what decoding them one by one gives, or leaves them to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.schemas.test_avro_rows import NAMES, ROWS, SCHEMA, TEXTS, written

from completion_relay.audit_batch import all_fields
from completion_relay.avro_batch import BatchReader
from completion_schemas import avro
from completion_schemas.audit import audit_fields
from completion_schemas.avro_rows import RowReader
from completion_schemas.errors import DecodeError

GOLDEN = Path(__file__).parents[3] / "schemas" / "golden" / "audit"
NAMES_WANTED = st.none() | st.sets(st.sampled_from(NAMES)).map(frozenset)
PLAIN = st.fixed_dictionaries(
    {
        "text": TEXTS | st.just("the same"),
        "long": st.integers(-(2**62), 2**62 - 1),
        "int": st.integers(-(2**31), 2**31 - 1),
        "flag": st.booleans(),
        "maybe_text": st.none() | TEXTS,
        "maybe_long": st.none() | st.integers(0, 2**62 - 1),
        "maybe_flag": st.none() | st.booleans(),
        "rows": st.just([]),
        "last": st.just("the same"),
    }
)


@pytest.fixture
def golden_audit() -> dict[int, bytes]:
    """One record of each version."""
    return {
        schema.version: (GOLDEN / f"v{schema.version}.avro").read_bytes()
        for schema in avro.versions("audit")
    }


def one_by_one(values: list[bytes], names: frozenset[str] | None) -> list[dict[str, Any] | None]:
    reader = RowReader(SCHEMA, names)
    rows: list[dict[str, Any] | None] = []
    for value in values:
        try:
            rows.append(reader.read(value, 0))
        except DecodeError:
            rows.append(None)
    return rows


@given(rows=st.lists(PLAIN, min_size=1, max_size=20), names=NAMES_WANTED)
def test_plain_records_are_decoded_side_by_side(
    rows: list[dict[str, Any]], names: frozenset[str] | None
) -> None:
    values = [written(row) for row in rows]
    assert BatchReader(SCHEMA, names).read(values, 0) == one_by_one(values, names)


@given(rows=st.lists(ROWS, min_size=1, max_size=20), names=NAMES_WANTED)
def test_what_is_not_plain_is_left_and_costs_the_others_nothing(
    rows: list[dict[str, Any]], names: frozenset[str] | None
) -> None:
    values = [written(row) for row in rows]
    for found, right in zip(
        BatchReader(SCHEMA, names).read(values, 0), one_by_one(values, names), strict=True
    ):
        assert found in (None, right)


@given(
    rows=st.lists(ROWS, min_size=1, max_size=10),
    data=st.data(),
    names=NAMES_WANTED,
)
def test_damaged_records_are_left_and_are_never_taken_for_others(
    rows: list[dict[str, Any]], data: st.DataObject, names: frozenset[str] | None
) -> None:
    values = [written(row) for row in rows]
    for place in data.draw(st.sets(st.sampled_from(range(len(values))))):
        value = values[place]
        at, length = data.draw(st.integers(0, len(value))), data.draw(st.integers(0, 12))
        values[place] = value[:at] + data.draw(st.binary(max_size=12)) + value[at + length :]
    for found, right in zip(
        BatchReader(SCHEMA, names).read(values, 0), one_by_one(values, names), strict=True
    ):
        assert found in (None, right)


@given(values=st.lists(st.binary(max_size=40), min_size=1, max_size=10))
def test_any_bytes_are_left_or_what_they_are_one_by_one(values: list[bytes]) -> None:
    for found, right in zip(
        BatchReader(SCHEMA).read(values, 0), one_by_one(values, None), strict=True
    ):
        assert found in (None, right)


@pytest.mark.parametrize("version", avro.versions("audit"), ids=lambda schema: f"v{schema.version}")
def test_every_shipped_version_of_the_audit_record_can_be_read(version: avro.Schema) -> None:
    assert BatchReader(version.definition)


def test_a_type_without_a_rule_is_named() -> None:
    with pytest.raises(TypeError, match="weight: the schema has a type without a rule"):
        BatchReader({"fields": [{"name": "weight", "type": "double"}]})


@pytest.mark.source_tree
def test_audit_records_of_two_versions_and_what_is_none_are_each_what_they_are_alone(
    golden_audit: dict[int, bytes],
) -> None:
    kinds: list[bytes | None] = [*golden_audit.values(), None, b"", b"garbage"]
    values = kinds * 30
    for names in (None, frozenset({"event_id", "calls"})):
        for value, found in zip(values, all_fields(values, names), strict=True):
            if value in golden_audit.values():
                assert found == audit_fields(value or b"", names)
            else:
                assert isinstance(found, DecodeError)


@pytest.mark.source_tree
def test_what_a_batch_can_decode_is_not_decoded_one_by_one(
    golden_audit: dict[int, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a scan would be slow, and nothing else would tell."""
    value = golden_audit[min(golden_audit)]
    right = audit_fields(value)
    monkeypatch.setattr("completion_relay.audit_batch.audit_fields", None)
    assert all_fields([value] * 100) == [right] * 100
