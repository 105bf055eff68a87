"""The index's core: the checksum, the escape for PostgreSQL, what is shown of a database's place."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from tests.strategies import audit_records, texts

from completion_relay.audit_index import location
from completion_relay.audit_index.checksum import MODULUS, as_text, canonical, digest
from completion_relay.audit_index.columns import COLUMNS, NAMES, fields_of, row_of
from completion_relay.audit_index.opening import store_at
from completion_relay.audit_index.postgres import escaped, unescaped
from completion_relay.audit_index.store import AuditIndexError
from completion_schemas.audit import AuditRecord, audit_to_json_dict

FIELDS = [field.name for field in dataclasses.fields(AuditRecord)]


def test_the_columns_are_the_fields_of_the_audit_record() -> None:
    assert [column.name for column in COLUMNS] == FIELDS


@given(record=audit_records())
def test_a_row_gives_the_fields_back(record: AuditRecord) -> None:
    fields = audit_to_json_dict(record)
    assert fields_of(row_of(1, 2, fields)) == fields


@given(record=audit_records(), other=audit_records(), name=st.sampled_from(FIELDS))
def test_any_field_that_differs_makes_another_canonical_form_and_digest(
    record: AuditRecord, other: AuditRecord, name: str
) -> None:
    """One that had names without values once took two texts that were swapped for the same."""
    fields = audit_to_json_dict(record)
    changed = fields | {name: audit_to_json_dict(other)[name]}
    assume(changed != fields)
    row, differing = row_of(1, 2, fields), row_of(1, 2, changed)
    assert canonical(row) != canonical(differing)
    assert digest(row) != digest(differing)


@given(record=audit_records(), place=st.tuples(st.integers(0, 9), st.integers(0, 9)))
def test_a_record_at_another_place_has_another_digest(
    record: AuditRecord, place: tuple[int, int]
) -> None:
    assume(place != (1, 2))
    fields = audit_to_json_dict(record)
    assert digest(row_of(*place, fields)) != digest(row_of(1, 2, fields))


@given(record=audit_records())
def test_two_fields_that_are_swapped_make_another_canonical_form(record: AuditRecord) -> None:
    fields = audit_to_json_dict(record)
    assume(fields["workflow_id"] != fields["run_id"])
    swapped = fields | {"workflow_id": fields["run_id"], "run_id": fields["workflow_id"]}
    assert canonical(row_of(1, 2, fields)) != canonical(row_of(1, 2, swapped))


def test_a_field_at_its_default_is_not_in_the_canonical_form() -> None:
    """So a field that a later schema adds leaves the checksum of what is indexed as it is."""
    row = tuple(
        "x" if name == "event_id" else next((c.default for c in COLUMNS if c.name == name), 0)
        for name in NAMES
    )
    assert '"calls"' not in canonical(row)
    assert '"reason"' not in canonical(row)
    assert '"event_id":"x"' in canonical(row)


def test_a_checksum_is_32_digits_whatever_it_is_the_sum_of() -> None:
    assert as_text(MODULUS + 255) == "0" * 30 + "ff"


@given(text=texts | st.text(alphabet="\x00\x1a01a"))
def test_a_text_for_postgresql_has_no_nul_and_is_read_as_it_was(text: str) -> None:
    assert "\x00" not in escaped(text)
    assert unescaped(escaped(text)) == text


@pytest.mark.parametrize(
    ("database", "shown"),
    [
        ("audit.duckdb", "audit.duckdb"),
        ("/var/lib/audit.duckdb", "/var/lib/audit.duckdb"),
        ("postgresql://ann:s3cret@db:5433/relay?sslmode=require", "postgresql://db:5433/relay"),
        ("postgres:///relay?user=ann&password=s3cret", "postgresql:///relay"),
        ("postgresql://ann:s3:cret@db:x/relay", "postgresql://…"),
        ("postgresql://ann:s3#cret@db/relay", "postgresql://…"),
    ],
)
def test_a_password_in_a_url_is_not_shown(database: str, shown: str) -> None:
    assert location.shown(database) == shown


@pytest.mark.parametrize("database", ["mysql://db/relay", "s3://bucket/audit", "", "a\0b"])
def test_what_is_no_place_of_an_index_is_refused(database: str) -> None:
    with pytest.raises(ValueError, match="postgresql://HOST:PORT/DATABASE"):
        location.checked(database)


@pytest.mark.parametrize(
    "database",
    [
        "postgresql://ann:s3@cret@db/relay",
        "postgresql://ann:12/s3cret@db/relay",
        "postgresql://ann:/s3cret@db/relay",
        "host=db user=ann password=s3cret",
    ],
)
def test_a_place_of_which_a_part_of_the_password_could_be_shown_is_refused(database: str) -> None:
    with pytest.raises(ValueError, match="special characters as %XX") as refused:
        location.checked(database)
    assert "s3" not in str(refused.value)


@pytest.mark.parametrize(
    ("database", "library", "extra"),
    [("audit.duckdb", "duckdb", "audit"), ("postgresql://db/relay", "psycopg", "postgres")],
)
def test_a_library_that_is_missing_is_named_with_its_extra(
    monkeypatch: pytest.MonkeyPatch, database: str, library: str, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(AuditIndexError, match=rf"completion-relay\[relay,{extra}\]"):
        store_at(database)


def test_a_file_that_somebody_has_open_is_waited_for_and_then_told(tmp_path: Path) -> None:
    import duckdb  # noqa: PLC0415 - an extra

    from completion_relay.audit_index.duck import DuckFile  # noqa: PLC0415 - the same

    file = tmp_path / "audit.duckdb"
    held: Any = duckdb.connect(file, config={"threads": 1})
    with (
        held,
        pytest.raises(AuditIndexError, match=r"is in use for more than 0.1 s: .*: end whoever"),
    ):
        DuckFile(file, patience=0.1).prepare("t")
