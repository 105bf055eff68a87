"""Rows for the tests of the index."""

from __future__ import annotations

from collections.abc import Sequence

from completion_relay.audit_index.checksum import MODULUS, digest
from completion_relay.audit_index.columns import Row, row_of
from completion_relay.audit_index.store import Chunk
from completion_schemas.audit import AuditRecord, audit_to_json_dict


def rows_of(records: Sequence[AuditRecord], *, partition: int = 0, begin: int = 0) -> list[Row]:
    """Return the rows of records that follow one another."""
    return [
        row_of(partition, begin + number, audit_to_json_dict(record))
        for number, record in enumerate(records)
    ]


def chunk_of(
    rows: Sequence[Row], *, partition: int = 0, expected: int | None = None, begin: int = 0
) -> Chunk:
    """Return a chunk with these rows, which begins where the index is to be; None: it has nothing yet."""
    return Chunk(
        partition=partition,
        expected=expected,
        begin=begin if expected is None else expected,
        next=rows[-1][1] + 1,
        rows=list(rows),
        checksum=sum(map(digest, rows)) % MODULUS,
    )
