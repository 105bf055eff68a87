"""Room `events`: the Avro schemas that are shipped, by kind and version. Touches nothing.

A released version is never edited: a change is a next file beside it (`v2.avsc`).
Avro's single-object encoding names the version by its fingerprint, so a reader
finds the one that a value was written with among these.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from completion_schemas.errors import DecodeError

SINGLE_OBJECT_MARKER = b"\xc3\x01"
HEADER_BYTES = 10
"""Of a value in single-object encoding: the marker, and the fingerprint of its schema."""
_VERSION = re.compile(r"v(\d+)\.avsc")


@dataclass(frozen=True, slots=True, eq=False)
class Schema:
    """One version of one schema."""

    kind: str
    """`event`, `signal` or `audit`."""
    version: int
    definition: dict[str, Any]
    fingerprint: bytes
    """CRC-64-AVRO of the parsing canonical form, 8 bytes, little-endian."""

    @property
    def header(self) -> bytes:
        """What a value in single-object encoding begins with."""
        return SINGLE_OBJECT_MARKER + self.fingerprint


@cache
def versions(kind: str) -> tuple[Schema, ...]:
    """Return every shipped version of a schema, oldest first."""
    # Here and not above: a worker that publishes protobuf has no use for it.
    from fastavro.schema import fingerprint, to_parsing_canonical_form  # noqa: PLC0415 - see above

    found = []
    for file in (files(__package__) / kind).iterdir():
        if match := _VERSION.fullmatch(file.name):
            definition = json.loads(file.read_text())
            # fastavro returns the CRC's bytes in the order that is sent (little-endian).
            crc = fingerprint(to_parsing_canonical_form(definition), "CRC-64-AVRO")
            found.append(Schema(kind, int(match[1]), definition, bytes.fromhex(crc)))
    return tuple(sorted(found, key=lambda schema: schema.version))


def latest(kind: str) -> Schema:
    """Return the version that is written."""
    return versions(kind)[-1]


def open_single_object(value: bytes, kind: str) -> tuple[Schema, bytes]:
    """Return the schema that a value in single-object encoding names, and its body.

    Raises:
        DecodeError: it is not in that encoding, or names a schema that is not shipped.
    """
    if len(value) < HEADER_BYTES or not value.startswith(SINGLE_OBJECT_MARKER):
        raise DecodeError("the value is not in Avro's single-object encoding (C3 01, fingerprint)")
    for schema in versions(kind):
        if value.startswith(schema.header):
            return schema, value[HEADER_BYTES:]
    raise DecodeError(
        f"the value names an Avro schema that is none of the {kind} versions known here: "
        "upgrade, or write it with a shipped version"
    )
