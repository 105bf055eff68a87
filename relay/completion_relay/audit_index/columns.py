"""Room `audit_index`: the columns of the table, which are the audit record's fields. Core: touches nothing.

They come from the newest Avro schema, so that a field that is added there is a
column here without a list to keep in step.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from completion_schemas import avro
from completion_schemas.audit import AuditRecord, audit_from_fields
from completion_schemas.errors import DecodeError

Row = tuple[Any, ...]
"""A record as the table has it: the values of `NAMES`, in that order."""


class Kind(StrEnum):
    """What a column holds, in words that both databases know."""

    TEXT = "text"
    INT = "integer"
    BIGINT = "bigint"
    BOOLEAN = "boolean"


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the table."""

    name: str
    """The contract's name of the field."""
    kind: Kind
    is_json: bool
    """Whether it is a list, which the table has as JSON text."""
    default: Any
    """What the table has of a record that was written before there was the field; `REQUIRED`: all
    have it."""


REQUIRED: Final = object()
_KINDS: Final = {
    "string": Kind.TEXT,
    "int": Kind.INT,
    "long": Kind.BIGINT,
    "boolean": Kind.BOOLEAN,
}


def key_of(text: str) -> int:
    """Return the number in a text's place: 64 bits of BLAKE2b, signed as a `bigint` is."""
    data = text.encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "big", signed=True)


def as_json(value: Any) -> str | None:
    """Return a list as the table has it: JSON without a space, its names in order."""
    if value is None:
        return None
    return json.dumps(value, separators=(",", ":"), sort_keys=True)


def _column(field: Mapping[str, Any]) -> Column:
    kind = field["type"]
    if isinstance(kind, list):
        (kind,) = (part for part in kind if part != "null")
    # A list is of no kind of its own: neither database has one for lists of records that
    # both read alike.
    is_json = not isinstance(kind, str)
    default = field.get("default", REQUIRED)
    if is_json and default is not REQUIRED:
        default = as_json(default)
    return Column(field["name"], Kind.TEXT if is_json else _KINDS[kind], is_json, default)


COLUMNS: Final = tuple(_column(field) for field in avro.latest("audit").definition["fields"])
"""Those of the audit record."""
PARTITION: Final = "audit_partition"
OFFSET: Final = "audit_offset"
"""With the partition: where the record is on the audit topic; `partition` and `offset` are those of the
event that it is about."""
NAMES: Final = (PARTITION, OFFSET, *(column.name for column in COLUMNS))
KEYS: Final = {"event_id": "event_key", "workflow_id": "workflow_key"}
"""Texts that are looked for among millions, and the column of each with a number in its place. DuckDB has no
index: to find an event among ten million it took 1.1 s of CPU to look at the texts, and takes 0.13 s to
look at the numbers. They are no part of a row."""

_KEYED: Final = tuple(NAMES.index(name) for name in KEYS)
_JSON: Final = frozenset(column.name for column in COLUMNS if column.is_json)


def row_of(partition: int, offset: int, fields: Mapping[str, Any]) -> Row:
    """Return a record's row.

    Args:
        partition: Of the audit topic.
        offset: The same.
        fields: All of the record's, as `audit_fields` returns them.
    """
    if _JSON:
        fields = {
            name: as_json(value) if name in _JSON else value for name, value in fields.items()
        }
    return (partition, offset, *(fields[column.name] for column in COLUMNS))


def keys_of(row: Row) -> tuple[int, ...]:
    """Return the numbers of `KEYS` of a row, in their order."""
    return tuple(key_of(row[place]) for place in _KEYED)


def fields_of(row: Sequence[Any]) -> dict[str, Any]:
    """Return the fields of a row of `NAMES`, without its place in the topic."""
    return {
        column.name: json.loads(value) if column.is_json and value is not None else value
        for column, value in zip(COLUMNS, row[2:], strict=True)
    }


def record_of(row: Sequence[Any]) -> AuditRecord | DecodeError:
    """Return the audit record that a row of `NAMES` makes up, or why it makes up none that is known here."""
    try:
        return audit_from_fields(fields_of(row))
    except DecodeError as error:
        return error
    except (KeyError, TypeError, ValueError) as error:
        return DecodeError(f"{type(error).__name__}: {error}")


def quoted(name: str) -> str:
    """Return a column's name as SQL has it: `offset` and `group` are words of SQL's own."""
    return f'"{name}"'


def definitions() -> list[str]:
    """Return the table's columns as `create table` takes them."""
    return [
        f"{PARTITION} integer not null",
        f"{OFFSET} bigint not null",
        *(f"{quoted(column.name)} {column.kind}" for column in COLUMNS),
        *(f"{key} bigint" for key in KEYS.values()),
    ]
