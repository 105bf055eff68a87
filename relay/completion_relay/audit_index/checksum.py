"""Room `audit_index`: the checksum that shows that a database has what the topic has. Core: touches nothing.

The one place where a record has a canonical form. A partition's checksum is the sum of its
records' digests: rows come from a database in any order, and what is added needs
no look at what is there.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, Final

from completion_relay.audit_index.columns import COLUMNS, Row

_BYTES: Final = 16
MODULUS: Final = 1 << 8 * _BYTES
_ENCODE: Final = json.JSONEncoder(separators=(",", ":")).encode
# By name, whatever the order in which a later schema has them.
_PLACES: Final[tuple[tuple[str, int, Any], ...]] = tuple(
    sorted((column.name, place, column.default) for place, column in enumerate(COLUMNS, 2))
)


def canonical(row: Row) -> str:
    """Return what a record is, as text: two that differ in anything have two.

    JSON of the partition, the offset and the fields by name. A field that has the value of a
    record that was written before there was the field is left out: so the checksum of what was
    indexed before stays what it was when a field is added.
    """
    return _ENCODE(
        [
            row[0],
            row[1],
            {name: row[place] for name, place, default in _PLACES if row[place] != default},
        ]
    )


def digest(row: Row) -> int:
    """Return a record's share of its partition's checksum: 128 bits of BLAKE2b of its canonical form."""
    form = canonical(row).encode()
    return int.from_bytes(hashlib.blake2b(form, digest_size=_BYTES).digest(), "big")


def as_text(checksum: int) -> str:
    """Return a checksum as databases and people have it: 32 hexadecimal digits."""
    return f"{checksum % MODULUS:032x}"
