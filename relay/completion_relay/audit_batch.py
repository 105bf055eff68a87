"""Room `audit_trail`, the decoding: the fields of many audit records at once. Core: touches `avro_batch.py`.

What the batch leaves, and what is too little for one, is decoded one by one.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import cache
from typing import Any, Final

from completion_relay.avro_batch import BatchReader
from completion_schemas.audit import Written, audit_fields, written
from completion_schemas.avro import HEADER_BYTES
from completion_schemas.errors import DecodeError

_FEW: Final = 64
"""Records: what a batch takes whatever is in it, these take one by one."""


def all_fields(
    values: Sequence[bytes | None], names: frozenset[str] | None = None
) -> list[dict[str, Any] | DecodeError]:
    """Return what `audit_fields` does of each value, or raises of it.

    Args:
        values: Of audit records, by whichever shipped schema; None of a record without one.
        names: The fields that are wanted, which the newest schema has; None: all.
    """
    found: list[dict[str, Any] | None] = [None] * len(values)
    if len(values) > _FEW:
        # Those of the version that the first has: of two only while relays are upgraded.
        header = (values[0] or b"")[:HEADER_BYTES]
        alike = [n for n, value in enumerate(values) if value and value.startswith(header)]
        for place, fields in zip(
            alike, _batch(header, [values[n] or b"" for n in alike], names), strict=True
        ):
            found[place] = fields
    return [
        _one(value, names) if fields is None else fields
        for value, fields in zip(values, found, strict=True)
    ]


def _batch(
    header: bytes, values: Sequence[bytes], names: frozenset[str] | None
) -> Sequence[dict[str, Any] | None]:
    try:
        reader, how = _reader(header, names)
    except DecodeError:
        return [None] * len(values)
    rows = reader.read(values, HEADER_BYTES)
    for name, default in how.defaults:
        for row in rows:
            if row is not None:
                row[name] = copy.copy(default)
    return rows


@cache
def _reader(header: bytes, names: frozenset[str] | None) -> tuple[BatchReader, Written]:
    how = written(header, names)
    return BatchReader(how.definition, how.names), how


def _one(value: bytes | None, names: frozenset[str] | None) -> dict[str, Any] | DecodeError:
    if value is None:
        return DecodeError("the value is null")
    try:
        return audit_fields(value, names)
    except DecodeError as error:
        return error
